// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"io"
	"regexp"
	"sync"
)

var pidPattern = regexp.MustCompile(`^([2-9]|[1-9][0-9]{1,9})$`)

// framed passes on what follows the line that is its marker, and keeps the end
// of what came before for the error that explains its absence.
type framed struct {
	marker string
	w      io.Writer

	mu     sync.Mutex
	before []byte
	after  bool
	closed bool
	pid    string
}

// process is the number that followed the marker, empty until it came.
func (f *framed) process() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pid
}

func (f *framed) begun() bool { return f.after }

// shut drops what comes later, so that w is the caller's own again.
func (f *framed) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *framed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(p)
	if f.closed {
		return n, nil
	}
	if !f.after {
		f.before = append(f.before, p...)
		at := bytes.Index(f.before, []byte(f.marker+" "))
		end := -1
		if at >= 0 {
			end = bytes.IndexByte(f.before[at:], '\n')
		}
		if end < 0 {
			if over := len(f.before) - 8192; over > 0 {
				f.before = append(f.before[:0], f.before[over:]...)
			}
			return n, nil
		}
		f.after = true
		p = f.before[at+end+1:]
		if pid := string(f.before[at+len(f.marker)+1 : at+end]); pidPattern.MatchString(pid) {
			f.pid = pid
		}
		f.before = f.before[:at]
	}
	if f.w == nil || len(p) == 0 {
		return n, nil
	}
	if _, err := f.w.Write(p); err != nil {
		return 0, &outputError{err}
	}
	return n, nil
}

func noise(frames ...*framed) string {
	var all []byte
	for _, f := range frames {
		all = append(all, f.before...)
	}
	if text := Clean(string(all)); text != "" {
		return text
	}
	return "nothing"
}
