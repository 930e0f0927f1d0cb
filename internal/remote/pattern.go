// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pattern is a shell pattern of a file on a node, to be matched here as well:
// what a node sends is what it likes.
type pattern struct {
	absolute bool
	words    []word
}

// word is what stands between two slashes.
type word struct {
	text string
	wild *regexp.Regexp // nil where it is to be taken as it is
	// claimed is a word that the node says, as part of its home folder.
	claimed bool
}

// parsePattern reads a pattern; home is the node's.
func parsePattern(text, home string) (pattern, error) {
	if text == "" || strings.ContainsAny(text, "\n\x00") {
		return pattern{}, fmt.Errorf("%q is not a pattern", Clean(text))
	}
	var p pattern
	if rest, ok := strings.CutPrefix(text, "~/"); ok {
		p.absolute, text = true, rest
		for _, w := range split(home) {
			p.words = append(p.words, word{text: w, claimed: true})
		}
	} else if strings.HasPrefix(text, "/") {
		p.absolute = true
	}
	for _, w := range split(text) {
		if w == ".." {
			return pattern{}, fmt.Errorf("%q is not a pattern: it holds \"..\"", Clean(text))
		}
		p.words = append(p.words, parseWord(w))
	}
	return p, nil
}

// split cuts a path at its slashes; those and "." that say nothing are dropped.
func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(w string) bool { return w == "" || w == "." })
}

// parseWord turns what a shell would expand into a regular expression.
func parseWord(text string) word {
	if !strings.ContainsAny(text, `*?[\`) {
		return word{text: text}
	}
	var b strings.Builder
	b.WriteString("^(?s:")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteString(".")
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteString(regexp.QuoteMeta(text[i : i+1]))
		case c == '[' && closing(text[i:]) > 0:
			end := i + closing(text[i:])
			b.WriteString(bracket(text[i+1 : end]))
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(text[i : i+1]))
		}
	}
	b.WriteString(")$")
	re, err := regexp.Compile(b.String())
	if err != nil { // no shell expands it either
		return word{text: text}
	}
	return word{text: text, wild: re}
}

// closing is where the bracket that text begins with ends; 0 is nowhere.
func closing(text string) int {
	i := 1
	if i < len(text) && (text[i] == '!' || text[i] == '^') {
		i++
	}
	for first := true; i < len(text); first = false {
		if strings.HasPrefix(text[i:], "[:") {
			if end := strings.Index(text[i:], ":]"); end > 0 {
				i += end + 2
				continue
			}
		}
		if text[i] == ']' && !first {
			return i
		}
		i++
	}
	return 0
}

// bracket turns what is between brackets into a regular expression.
func bracket(text string) string {
	not := ""
	if text[0] == '!' || text[0] == '^' {
		not, text = "^", text[1:]
	}
	text = strings.ReplaceAll(text, `\`, `\\`)
	if rest, ok := strings.CutPrefix(text, "]"); ok {
		text = `\]` + rest
	}
	if rest, ok := strings.CutPrefix(text, "^"); ok {
		text = `\^` + rest
	}
	return "[" + not + text + "]"
}

// matches does as a shell: a wildcard does not stand for a dot at the start.
func (w word) matches(name string) bool {
	if name == w.text {
		return true
	}
	if w.wild == nil || strings.HasPrefix(name, ".") && !strings.HasPrefix(strings.TrimPrefix(w.text, `\`), ".") {
		return false
	}
	return w.wild.MatchString(name)
}

// covers reports whether the pattern asks for the file or for a folder it is in.
func (p pattern) covers(words []string) bool {
	if len(words) < len(p.words) {
		return false
	}
	for i, w := range p.words {
		if !w.matches(words[i]) {
			return false
		}
	}
	return true
}

// spells reports whether the pattern says its word i itself, without wildcards.
func (p pattern) spells(i int) bool {
	return i < len(p.words) && p.words[i].wild == nil && !p.words[i].claimed
}

// asked are the patterns of a fetch, with the folders of the node that they are
// relative to.
type asked struct {
	base     []string
	patterns []pattern
}

func parseAsked(base, home string, texts []string) (asked, error) {
	a := asked{base: split(base)}
	for _, text := range texts {
		p, err := parsePattern(text, home)
		if err != nil {
			return asked{}, err
		}
		a.patterns = append(a.patterns, p)
	}
	return a, nil
}

// judge says why a file of a checked name is not taken; empty is that it is. A
// word of it that is dangerous has to be named.
func (a asked) judge(name string) string {
	words := split(name)
	why := "nothing asks for it"
	for _, p := range a.patterns {
		full, from := words, 0
		if p.absolute { // below the base, or with its first slash lost
			full, from = slices.Concat(a.base, words), len(a.base)
			if !p.covers(full) {
				full, from = words, 0
			}
		}
		if !p.covers(full) {
			continue
		}
		at := 0
		for at < len(words) && (!dangerous(words[at]) || p.spells(from+at)) {
			at++
		}
		if at == len(words) {
			return ""
		}
		why = fmt.Sprintf("%s could change what Terraform or git does; name it without a wildcard if you want it", words[at])
	}
	return why
}
