// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"unicode/utf8"
)

const (
	// bufferBytes is how much of a text is read at once.
	bufferBytes = 64 << 10
	// maxRowBytes bounds a row; those in use have some hundred bytes. A longer one
	// is the sign of a quote that is never closed.
	maxRowBytes = 256 << 10
	// presentRow stands for the row that is being read, in an error of text.
	presentRow = -1

	byteOrderMark = "\xef\xbb\xbf"
)

// text is the text of a catalog as it is read: it is hashed on the way, and ends
// with a *FileError at what no catalog holds. Memory does not grow with it.
type text struct {
	in         io.Reader
	size, done int64
	hash       hash.Hash
	// record is where the record that is being read begins; its reader sets it.
	record int64
	// lines is how many were checked; tail the begin of a letter whose other bytes
	// come next.
	lines int
	tail  []byte
	last  byte
	err   error
}

func newText(in io.Reader, size int64) *text { return &text{in: in, size: size, hash: sha256.New()} }

// sum is the SHA-256 of what was read.
func (t *text) sum() [32]byte { return [32]byte(t.hash.Sum(nil)) }

// Read implements io.Reader.
func (t *text) Read(p []byte) (int, error) {
	switch {
	case t.err != nil:
		return 0, t.err
	case t.done-t.record > maxRowBytes+bufferBytes:
		return 0, t.fail(presentRow, fmt.Sprintf("it is longer than %d KiB; a quote is probably not closed", maxRowBytes>>10))
	case t.done == t.size:
		return 0, t.end()
	}
	n, err := io.ReadFull(t.in, p[:min(int64(len(p)), t.size-t.done)])
	first := t.done == 0
	t.done += int64(n)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		t.err = fmt.Errorf("after %d of %d bytes: %w", t.done, t.size, err)
		return 0, t.err
	}
	_, _ = t.hash.Write(p[:n])
	if first {
		if row, problem := notCSV(p[:n]); problem != "" {
			return 0, t.fail(row, problem)
		}
	}
	t.last = p[n-1]
	return t.check(p[:n])
}

// check returns how much of what was read is text.
func (t *text) check(p []byte) (int, error) {
	before := len(t.tail)
	all := append(t.tail, p...)
	whole := len(all) - unfinished(all)
	bad, problem := notText(all[:whole])
	t.lines += bytes.Count(all[:bad], []byte("\n"))
	if t.tail = append(t.tail[:0], all[whole:]...); problem == "" {
		return len(p), nil
	}
	// The lines before it are read, since one of them may be wrong too.
	good := max(bytes.LastIndexByte(all[:bad], '\n')+1-before, 0)
	err := t.fail(t.lines+1, problem)
	if good > 0 {
		err = nil
	}
	return good, err
}

// end is what comes after the last byte: io.EOF if the text is whole.
func (t *text) end() error {
	switch {
	case t.size == 0:
		return t.fail(0, "it is empty")
	case len(t.tail) > 0:
		return t.fail(t.lines+1, notUTF8)
	case t.last != '\n':
		return t.fail(presentRow, "the file ends without a newline, so its last row may be cut off; end it with a newline if it is whole")
	}
	return io.EOF
}

func (t *text) fail(row int, problem string) error {
	t.err = &FileError{Row: row, Problem: problem}
	return t.err
}

// unfinished is how many bytes at the end of a text begin a letter without
// ending it.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if c := p[len(p)-n]; utf8.RuneStart(c) {
			if utf8.FullRune(p[len(p)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

// Sniff recognizes what is no catalog at all.
func Sniff(path string, text []byte) error {
	row, problem := notCSV(text)
	if problem == "" {
		var at int
		if at, problem = notText(text); problem != "" {
			row = 1 + bytes.Count(text[:at], []byte("\n"))
		}
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

const notUTF8 = "it is not valid UTF-8"

// notText returns where a text holds what no text does, and its length where it
// does not.
func notText(text []byte) (at int, problem string) {
	if !utf8.Valid(text) {
		for letter, size := utf8.DecodeRune(text); letter != utf8.RuneError || size != 1; letter, size = utf8.DecodeRune(text[at:]) {
			at += size
		}
		return at, notUTF8
	}
	if at = bytes.IndexByte(text, 0); at >= 0 {
		return at, "a NUL byte; the file is not text"
	}
	return len(text), ""
}
