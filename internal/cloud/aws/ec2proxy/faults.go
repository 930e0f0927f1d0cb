// SPDX-License-Identifier: MPL-2.0

package ec2proxy

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Fault is something that goes wrong.
type Fault struct {
	// Action is the call it strikes, such as "RunInstances".
	Action string
	// Match narrows it to calls with these parameters.
	Match map[string]string
	// Skip lets that many matching calls pass first.
	Skip int
	// Times is how often it strikes; 0 is until it is removed.
	Times int
	// Status, Code and Message are the error answered. Without a code the call
	// has its effect and its answer is lost.
	Status        int
	Code, Message string
	// Silent answers well and does nothing.
	Silent bool
	// Starve ends what RunInstances made, for lack of capacity, before it runs.
	Starve bool
	// Unaddressed lets what RunInstances made run that long without a public address.
	Unaddressed time.Duration
}

type armed struct {
	Fault
	seen, struck int
}

// Inject arms a fault until remove is called.
func (p *Proxy) Inject(f Fault) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &armed{Fault: f}
	p.faults = append(p.faults, a)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = slices.DeleteFunc(p.faults, func(x *armed) bool { return x == a })
	}
}

// spoil does to machines what a fault says of them.
func (p *Proxy) spoil(r *http.Request, f Fault, ids []string) {
	for _, id := range ids {
		if f.Starve {
			p.ask(r, url.Values{"Action": {"TerminateInstances"}, "InstanceId.1": {id}})
		}
		p.mu.Lock()
		if p.starved == nil {
			p.starved, p.blank = map[string]bool{}, map[string]time.Time{}
		}
		p.starved[id], p.blank[id] = f.Starve, time.Now().Add(f.Unaddressed)
		p.mu.Unlock()
	}
}

// Lag makes listings lag from now on, as HideFor does.
func (p *Proxy) Lag(hideFor time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.HideFor = hideFor
}
