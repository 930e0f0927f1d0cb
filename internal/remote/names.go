// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxName bounds a name, in bytes, as Linux does.
const maxName = 4096

// badName says why a name of a node's file is no name to write; empty is that
// it is one.
func badName(name string) string {
	switch {
	case len(name) > maxName:
		return "its name is too long"
	case !utf8.ValidString(name):
		return "its name is not UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return "its name holds control characters"
	case strings.HasPrefix(name, "/"):
		return "its name is absolute"
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "its name leads out of the folder"
	case runtime.GOOS == "windows" && strings.ContainsAny(name, `\:`):
		return "Windows has no such names"
	}
	return ""
}

// Endings, beginnings and names of files that Terraform, OpenTofu and git read
// where they lie, and do what they say.
var (
	dangerousEnds   = []string{".tf", ".tf.json", ".tofu", ".tofu.json", ".tftest.hcl", ".tftest.json", ".tfquery.hcl"}
	dangerousStarts = []string{".terraform", ".tofu", "terraform.tfstate", "terraform.d", "terraform.rc", ".git"}
	shortName       = regexp.MustCompile(`^[^.]{1,6}~[0-9]`)
)

// dangerous reports whether a file or folder of that name could change what
// Terraform or git does in the folder that outputs go to.
func dangerous(word string) bool {
	word = strings.TrimRight(folded(word), ". ") // which Windows drops
	if shortName.MatchString(word) && (runtime.GOOS == "windows" || strings.HasPrefix(word, "git")) {
		return true
	}
	return strings.Contains(word, ".tfvars") ||
		slices.ContainsFunc(dangerousEnds, func(end string) bool { return strings.HasSuffix(word, end) }) ||
		slices.ContainsFunc(dangerousStarts, func(start string) bool { return strings.HasPrefix(word, start) })
}

// folded is alike for names that some file system takes for the same.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return unicode.ToLower(least)
	}, norm.NFC.String(name))
}

// spellings remembers how the words of paths were written, each below the words
// before it.
type spellings map[spelling]spelled

type spelling struct {
	below int
	word  string // folded
}

type spelled struct {
	number int
	word   string
}

// add remembers a path, and returns the other spelling that a word of it was met
// with; empty is none.
func (s spellings) add(words []string) (was string) {
	below := 0
	for _, w := range words {
		key := spelling{below, folded(w)}
		met, ok := s[key]
		if ok && met.word != w {
			return met.word
		}
		if !ok {
			met = spelled{len(s) + 1, w}
			s[key] = met
		}
		below = met.number
	}
	return ""
}
