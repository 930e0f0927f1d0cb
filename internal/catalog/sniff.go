// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"unicode/utf8"
)

// sniff recognizes what is no catalog at all.
func sniff(path string, text []byte) error {
	head := bytes.TrimSpace(text[:min(len(text), 512)])
	bad := func(row int, problem string) error { return &FileError{Path: path, Row: row, Problem: problem} }
	switch {
	case len(head) == 0:
		return bad(0, "it is empty")
	case head[0] == '<':
		return bad(1, "it is an HTML or XML page, not a catalog; a login or error page was probably saved in its place")
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return bad(1, "it is gzip-compressed; decompress it")
	case head[0] == '{' || head[0] == '[':
		return bad(1, "it is JSON, not a catalog")
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return bad(1+bytes.Count(text[:i], []byte("\n")), "a NUL byte; the file is not text")
	}
	if !utf8.Valid(text) {
		for i, l := range bytes.Split(text, []byte("\n")) {
			if !utf8.Valid(l) {
				return bad(i+1, "it is not valid UTF-8")
			}
		}
	}
	return nil
}
