// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// FileError says what is wrong with a catalog file, and where.
type FileError struct {
	// Path names the file as the user would open it.
	Path string
	// Row counts lines from 1, the header's line; 0 is the file as a whole.
	Row int
	// Column is the header's name of the field; empty is the row as a whole.
	Column string
	// Problem says what is wrong and what would be right.
	Problem string
}

// Error implements error.
func (e *FileError) Error() string {
	where := e.Path
	if e.Row > 0 {
		where += fmt.Sprintf(", row %d", e.Row)
	}
	if e.Column != "" {
		where += fmt.Sprintf(", column %s", e.Column)
	}
	return where + ": " + e.Problem
}

// scanner splits CSV text (RFC 4180, LF or CRLF, an optional byte order mark)
// into records without allocating for them. It exists because a catalog is
// parsed while somebody waits: encoding/csv costs a string for each record and
// gocsv reflection for each field.
type scanner struct {
	feed *feed
	// block is the one in use; all is its text, after the begin of the row that the
	// block before ended in, and text the whole lines of it.
	block     block
	all, text []byte
	pos       int
	// before is how much of the feed lies before text.
	before int64
	// row is the line on which the last record began, next the line after it.
	row, next int
	fields    [][]byte
	// buf holds the fields that had doubled quotes.
	buf []byte
	// err says what is wrong with the text; readErr why it could not be had.
	err     string
	readErr error
	// prefix is how many leading fields are worth comparing with those of the
	// record before; head is their text, and same that both had the same, so that
	// the fields stand as they are.
	prefix    int
	head      []byte
	same      bool
	headBuf   int
	headLines int
	// guess is what the record may end in, after as many fields as guessAfter; ended
	// is where that end began in text, and guessed that it was as guessed.
	guess      *ending
	guessAfter int
	ended      int
	guessed    bool
}

// ending is how a record ends: its text and its fields, which lie in it.
type ending struct {
	text   []byte
	fields [][]byte
}

// ending returns how the record just scanned ends; nil where that cannot be
// guessed again.
func (s *scanner) ending() *ending {
	text := bytes.Clone(s.text[s.ended:s.pos])
	if bytes.IndexByte(text, '"') >= 0 {
		return nil
	}
	e := &ending{text: text}
	for _, f := range s.fields[s.guessAfter:] {
		e.fields = append(e.fields, text[:len(f)])
		text = text[len(f)+1:]
	}
	return e
}

func newScanner(f *feed) *scanner { return &scanner{feed: f, next: 1} }

// refill goes on to the next block; what lies from a position on in the present
// one stays. It reports false where nothing comes or something is wrong.
func (s *scanner) refill(from int) bool {
	if s.block.last || s.err != "" || s.readErr != nil {
		return false
	}
	first := s.block.mem == nil
	s.before += int64(from)
	s.all, s.text, s.pos, s.head = s.all[from:], nil, 0, nil
	for len(s.text) == 0 && !s.block.last {
		if len(s.all) > maxRowBytes {
			s.row = s.next
			s.fail(fmt.Sprintf("it is longer than %d KiB; a quote is probably not closed", maxRowBytes>>10))
			return false
		}
		b := <-s.feed.blocks
		if s.readErr = b.err; b.err != nil {
			return false
		}
		start := maxRowBytes - len(s.all)
		copy(b.mem[start:], s.all)
		if s.block.mem != nil {
			s.feed.free <- s.block.mem
		}
		s.block, s.all = b, b.mem[start:]
		if s.text = s.all; !b.last {
			s.text = s.all[:bytes.LastIndexByte(s.all, '\n')+1]
		}
	}
	return s.check(first)
}

// check looks at a text that is new for what is no text, or no catalog at all.
func (s *scanner) check(first bool) bool {
	line, problem := 0, ""
	if first {
		s.pos = len(s.text) - len(bytes.TrimPrefix(s.text, []byte("\xef\xbb\xbf")))
		line, problem = notCSV(s.text)
	}
	if problem == "" {
		line, problem = notText(s.text)
	}
	if problem != "" {
		s.row = s.next - 1 + line
		s.fail(problem)
	}
	return problem == ""
}

// scan reads the next record into s.fields, which are valid until the next
// call. It reports false at the end and on an error, which s.err or s.readErr
// then tells.
func (s *scanner) scan() bool {
	for s.skipBlank() {
		start := s.pos
		if s.record() {
			return true
		}
		if s.err != "" || s.block.last {
			s.fail(cmp.Or(s.err, "the file ends inside a quoted field; it may be cut off"))
			return false
		}
		s.next = s.row
		if !s.refill(start) {
			return false
		}
	}
	return false
}

// skipBlank goes on to the next line that is not blank.
func (s *scanner) skipBlank() bool {
	for {
		for s.pos < len(s.text) && (s.text[s.pos] == '\n' || bytes.HasPrefix(s.text[s.pos:], []byte("\r\n"))) {
			if s.text[s.pos] == '\n' {
				s.next++
			}
			s.pos++
		}
		if s.pos < len(s.text) {
			return true
		}
		if !s.refill(s.pos) {
			return false
		}
	}
}

// record reads a record. It reports false on an error, and, without one, where
// the record goes on beyond the text.
func (s *scanner) record() bool {
	s.row = s.next
	start := s.pos
	if s.same = len(s.head) > 0 && bytes.HasPrefix(s.text[start:], s.head); s.same {
		s.fields, s.buf = s.fields[:s.prefix], s.buf[:s.headBuf]
		s.pos, s.next = start+len(s.head), s.next+s.headLines
	} else {
		s.fields, s.buf, s.head = s.fields[:0], s.buf[:0], nil
	}
	s.guessed = false
	for {
		if len(s.fields) == s.guessAfter {
			if s.ended = s.pos; s.guess != nil && bytes.HasPrefix(s.text[s.pos:], s.guess.text) {
				s.fields, s.guessed = append(s.fields, s.guess.fields...), true
				s.pos, s.next = s.pos+len(s.guess.text), s.next+1
				return true
			}
		}
		last, ok := s.field()
		if !ok {
			return false
		}
		if last {
			return true
		}
		if len(s.fields) == s.prefix && !s.same {
			s.head, s.headBuf, s.headLines = s.text[start:s.pos], len(s.buf), s.next-s.row
		}
	}
}

// field reads one field and what ends it.
func (s *scanner) field() (last, ok bool) {
	if s.pos < len(s.text) && s.text[s.pos] == '"' {
		return s.quoted()
	}
	start := s.pos
	i := special(s.text, start)
	if i == len(s.text) {
		return s.fail("the file ends without a newline, so its last row may be cut off; end it with a newline if it is whole")
	}
	switch s.text[i] {
	case ',':
		s.fields = append(s.fields, s.text[start:i])
		s.pos = i + 1
		return false, true
	case '\n':
		end := i
		if end > start && s.text[end-1] == '\r' {
			end--
		}
		s.fields = append(s.fields, s.text[start:end])
		s.pos = i + 1
		s.next++
		return true, true
	}
	return s.fail("a quote stands inside an unquoted field; quote the whole field and double its quotes")
}

// special returns where the first comma, quote or newline from i on is, or the
// length. It looks at eight bytes at a time: a byte that is zero after the
// exclusive or with the wanted one borrows from its highest bit.
func special(text []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		comma, quote, line := w^(ones*','), w^(ones*'"'), w^(ones*'\n')
		if found := ((comma-ones)&^comma | (quote-ones)&^quote | (line-ones)&^line) & highs; found != 0 {
			return i + bits.TrailingZeros64(found)>>3
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == ',' || c == '"' || c == '\n' {
			return i
		}
	}
	return i
}

func (s *scanner) quoted() (last, ok bool) {
	mark := len(s.buf)
	for i := s.pos + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\n':
			s.next++
			s.buf = append(s.buf, c)
		case c != '"':
			s.buf = append(s.buf, c)
		case i+1 < len(s.text) && s.text[i+1] == '"':
			s.buf = append(s.buf, '"')
			i++
		default:
			s.fields = append(s.fields, s.buf[mark:len(s.buf):len(s.buf)])
			return s.afterQuote(i + 1)
		}
	}
	return false, false
}

func (s *scanner) afterQuote(i int) (last, ok bool) {
	rest := s.text[i:]
	switch {
	case len(rest) == 0:
		return s.fail("the file ends without a newline, so its last row may be cut off; end it with a newline if it is whole")
	case rest[0] == ',':
		s.pos = i + 1
		return false, true
	case rest[0] == '\n':
		s.pos, s.next = i+1, s.next+1
		return true, true
	case bytes.HasPrefix(rest, []byte("\r\n")):
		s.pos, s.next = i+2, s.next+1
		return true, true
	}
	return s.fail("text follows the closing quote of a field; put a comma between, or double the quote")
}

func (s *scanner) fail(problem string) (last, ok bool) {
	s.err, s.pos = problem, len(s.text)
	return false, false
}
