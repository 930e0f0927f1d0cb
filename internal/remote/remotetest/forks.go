// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"maps"
	"sync"
)

// Forks counts the processes that the commands of a node start, by themselves
// and through all that they start, however long that lives. The same work makes
// the same number on every machine, busy or not: programs that only wait are
// not counted. Only Linux can count.
type Forks struct {
	mu       sync.Mutex
	forks    int
	programs map[string]int
}

// Count is how many processes were forked so far, without those that sleep.
func (f *Forks) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forks - f.programs["sleep"]
}

// Programs says how often each program was executed so far.
func (f *Forks) Programs() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.programs)
}

// ended is how a process ended; signal is empty where none killed it.
type ended struct {
	code   int
	signal string
}
