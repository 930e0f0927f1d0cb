// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"bytes"
	"unicode/utf8"
)

// Sniff recognizes what is no catalog at all.
func Sniff(path string, text []byte) error {
	row, problem := notCSV(text)
	if problem == "" {
		row, problem = notText(text)
	}
	if problem != "" {
		return &FileError{Path: path, Row: row, Problem: problem}
	}
	return nil
}

// notCSV tells by how a text begins that it is something else: what, and on
// which line, 0 for all of it.
func notCSV(text []byte) (row int, problem string) {
	head := bytes.TrimSpace(text[:min(len(text), 512)])
	switch {
	case len(head) == 0:
		return 0, "it is empty"
	case head[0] == '<':
		return 1, "it is an HTML or XML page, not a catalog; a login or error page was probably saved in its place"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return 1, "it is gzip-compressed; decompress it"
	case head[0] == '{' || head[0] == '[':
		return 1, "it is JSON, not a catalog"
	}
	return 0, ""
}

// notText tells on which line a text holds what no text does.
func notText(text []byte) (row int, problem string) {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return 1 + bytes.Count(text[:i], []byte("\n")), "a NUL byte; the file is not text"
	}
	if !utf8.Valid(text) {
		for i, l := range bytes.Split(text, []byte("\n")) {
			if !utf8.Valid(l) {
				return i + 1, "it is not valid UTF-8"
			}
		}
	}
	return 0, ""
}
