// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"errors"
	"sync"
)

// errKilled is what the calls of a dead process return, once it may end.
var errKilled = errors.New("this process is dead")

// Process is one run of the provider. It can be killed at any point: from then
// on nothing it does has an effect.
type Process struct {
	// KillAt is the point at which it dies, counted from 1; 0 is never. KillOn
	// kills at the point of that name, the first time after Skip ones.
	KillAt int
	KillOn string
	Skip   int
	// Torn is for the test: death in the midst of a line of its journal.
	Torn bool
	// OnKill runs when it dies.
	OnKill func()
	// Trace are the points it passed.
	Trace []string
	// Died is closed at its death.
	Died chan struct{}

	mu    sync.Mutex
	calls int
	dead  bool
	// resume lets the dead process's goroutines end, when the test is over.
	resume chan struct{}
}

// NewProcess returns a living process, whose goroutines end after its death
// once resume is closed.
func NewProcess(resume chan struct{}) *Process {
	return &Process{Died: make(chan struct{}), resume: resume}
}

// Point is a place where the process may die. A dead one stays there until the
// test is over. A nil process lives for ever.
func (p *Process) Point(name string) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	p.calls++
	if !p.dead {
		p.Trace = append(p.Trace, name)
	}
	if p.KillOn == name {
		p.Skip--
	}
	if !p.dead && (p.calls == p.KillAt || (p.KillOn == name && p.Skip < 0)) {
		p.dead = true
		if p.OnKill != nil {
			p.OnKill()
		}
		close(p.Died)
	}
	dead := p.dead
	p.mu.Unlock()
	if dead {
		<-p.resume
		return errKilled
	}
	return nil
}
