// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// maxQuoted bounds what an error quotes of the other side, in bytes.
const maxQuoted = 600

var privateKeyBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)

// Quote returns s as one word for a POSIX shell.
func Quote(s string) string { return script.Quote(s) }

// Clean makes text of the other side fit for an error or a log: bounded,
// without control characters, invalid UTF-8 or private keys.
func Clean(s string) string {
	s = Scrub(s)
	if len(s) <= maxQuoted {
		return s
	}
	cut := len(s) - maxQuoted
	for cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut++
	}
	return "[...] " + s[cut:]
}

// Scrub is Clean without its bound.
func Scrub(s string) string {
	return strings.TrimSpace(Plain(privateKeyBlock.ReplaceAllString(s, "(private key removed)")))
}

// sequences are what terminals obey: control sequences (colours, the cursor),
// strings (titles, the clipboard), and the short ones, in 7 and in 8 bits.
var sequences = regexp.MustCompile("(\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" +
	"|(\x1b[\\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\x07\x1b\u009c\n]*(\x07|\x1b\\\\|\u009c)" +
	"|\x1b[ -/]*[0-~]")

// Plain leaves of text of the other side what does no harm in a terminal: of
// lines that were written over, as progress bars are, the last version, and none
// of control sequences, control characters and what turns the direction of text.
func Plain(s string) string {
	s = strings.ReplaceAll(sequences.ReplaceAllString(strings.ToValidUTF8(s, "?"), ""), "\r\n", "\n")
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = strings.Map(func(r rune) rune {
			if r == '\t' || unicode.IsGraphic(r) || r == zeroWidthJoiner {
				return r
			}
			return -1
		}, line[strings.LastIndexByte(line, '\r')+1:])
	}
	return strings.Join(lines, "\n")
}

// zeroWidthJoiner makes one picture of several.
const zeroWidthJoiner = '\u200d'

// Redact replaces every secret in text. Values too short to be recognised as
// secrets, under four bytes, are left alone.
func Redact(text string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) >= 4 {
			text = strings.ReplaceAll(text, secret, "(redacted)")
		}
	}
	return text
}

// peerError keeps an error's identity and cleans its text.
type peerError struct{ err error }

func (e *peerError) Error() string { return Clean(e.err.Error()) }
func (e *peerError) Unwrap() error { return e.err }

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n > t.max {
		p = p[n-t.max:]
	}
	if over := len(t.buf) + len(p) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// capped keeps the first bytes written to it and remembers whether there were more.
type capped struct {
	max  int
	buf  bytes.Buffer
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if room := c.max - c.buf.Len(); len(p) > room {
		c.over = true
		c.buf.Write(p[:room])
	} else {
		c.buf.Write(p)
	}
	return len(p), nil
}
