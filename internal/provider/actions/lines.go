// SPDX-License-Identifier: MPL-2.0

package actions

import (
	"bytes"
	"sync"
)

// Bounds of what is shown of what machines print.
const (
	mostShown = 4 << 20
	mostLine  = 16 << 10
)

// lines shows what is written to it, whole lines at a time. Its methods may be called
// by several goroutines.
type lines struct {
	prefix string
	show   func(format string, args ...any)

	mu    sync.Mutex
	part  []byte
	shown int
}

// Write implements io.Writer. It never fails: what is too much is dropped, and what
// prints it goes on.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	whole := bytes.LastIndexByte(l.part, '\n') + 1
	if whole == 0 && len(l.part) > mostLine {
		whole = len(l.part)
	}
	if whole > 0 {
		l.say(l.part[:whole])
		l.part = append([]byte(nil), l.part[whole:]...)
	}
	return len(p), nil
}

// end shows a last line that has no end.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.say(l.part)
		l.part = nil
	}
}

func (l *lines) say(text []byte) {
	before := l.shown
	l.shown += len(text)
	switch {
	case before > mostShown:
	case l.shown > mostShown:
		l.show("%s[what follows is not shown: it is more than %d MiB]", l.prefix, mostShown>>20)
	default:
		text = bytes.TrimRight(text, "\n")
		l.show("%s%s", l.prefix, bytes.ReplaceAll(text, []byte("\n"), []byte("\n"+l.prefix)))
	}
}
