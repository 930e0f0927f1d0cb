// SPDX-License-Identifier: MPL-2.0

// Package ignore says what ignore files leave out of a folder, as git reads
// them; a test compares it with git itself.
package ignore

import (
	"bytes"
	"slices"
	"strings"
)

// Rules are ignore files in order of precedence, the most general first. The
// zero value leaves nothing out. Rules never change: With makes new ones.
type Rules struct{ files []file }

// file is one ignore file.
type file struct {
	base     string // the folder it is for: empty, or with a slash at its end
	patterns []pattern
}

// pattern is one line.
type pattern struct {
	keep    bool   // "!": what matches is not left out
	folders bool   // a slash at the end: folders alone
	name    bool   // no other slash: the last segment is matched
	prefix  string // begins the text to match, literally
	rest    glob   // matches what follows
	literal bool   // there is no rest
}

// With adds the text of an ignore file that lies in the folder base, which is
// slash-separated and relative to where all names are.
func (r Rules) With(base string, text []byte) Rules {
	if base == "." {
		base = ""
	}
	if base != "" {
		base += "/"
	}
	f := file{base: base}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	for line := range strings.Lines(string(text)) {
		if ended, ok := strings.CutSuffix(line, "\n"); ok {
			line = strings.TrimSuffix(ended, "\r")
		}
		if p, ok := parse(line); ok {
			f.patterns = append(f.patterns, p)
		}
	}
	if len(f.patterns) == 0 {
		return r
	}
	return Rules{files: append(r.files[:len(r.files):len(r.files)], f)}
}

// Match reports what the last rule for a name says of it, whatever holds for
// the folders around: that it is left out or kept, or nothing.
func (r Rules) Match(name string, isFolder bool) (leftOut, said bool) {
	last := name[strings.LastIndexByte(name, '/')+1:]
	for i := len(r.files) - 1; i >= 0; i-- {
		f := &r.files[i]
		below, ok := strings.CutPrefix(name, f.base)
		if !ok {
			continue
		}
		for j := len(f.patterns) - 1; j >= 0; j-- {
			if p := &f.patterns[j]; (isFolder || !p.folders) && p.matches(below, last) {
				return !p.keep, true
			}
		}
	}
	return false, false
}

// Naming gives the rules less the lines that leave out a folder, where the folder
// is left out: what its user says by naming it.
func (r Rules) Naming(folder string) Rules {
	if out, _ := r.Match(folder, true); !out {
		return r
	}
	last := folder[strings.LastIndexByte(folder, '/')+1:]
	var left Rules
	for _, f := range r.files {
		below, ok := strings.CutPrefix(folder, f.base)
		leaves := func(p pattern) bool { return ok && !p.keep && p.matches(below, last) }
		f.patterns = slices.DeleteFunc(slices.Clone(f.patterns), leaves)
		left.files = append(left.files, f)
	}
	return left
}

// parse reads a line; comments and what can match nothing are none.
func parse(line string) (pattern, bool) {
	var p pattern
	if strings.HasPrefix(line, "#") {
		return p, false
	}
	line = trim(line)
	line, p.keep = strings.CutPrefix(line, "!")
	line, p.folders = strings.CutSuffix(line, "/")
	p.name = !strings.Contains(line, "/")
	if !p.name {
		line = strings.TrimPrefix(line, "/")
	}
	if line == "" {
		return p, false
	}
	// What follows a literal prefix is a pattern of its own, to git too: "**"
	// there stands at a beginning.
	wild := strings.IndexAny(line, `*?[\`)
	if p.literal = wild < 0; p.literal {
		p.prefix = line
		return p, true
	}
	if !p.name {
		p.prefix, line = line[:wild], line[wild:]
	}
	var ok bool
	p.rest, ok = compile(line, !p.name)
	return p, ok
}

// trim takes spaces off the end, but for one after a backslash.
func trim(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ':
			continue
		case '\\':
			if i++; i == len(line) {
				return line
			}
		}
		end = i + 1
	}
	return line[:end]
}

func (p *pattern) matches(below, last string) bool {
	if p.name {
		below = last
	}
	if p.literal {
		return below == p.prefix
	}
	rest, ok := strings.CutPrefix(below, p.prefix)
	return ok && p.rest.match(rest)
}
