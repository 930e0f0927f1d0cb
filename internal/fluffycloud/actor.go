// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// actor brings one machine to what its record asks for. There is at most one
// for each machine, and only it touches the machine's process and folder.
type actor struct {
	id   string
	wake chan struct{}
	// process is the machine's, once known.
	process *process
}

// kick makes the machine's actor look at its record again.
func (s *Server) kick(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	a, ok := s.actors[id]
	if !ok {
		a = &actor{id: id, wake: make(chan struct{}, 1)}
		s.actors[id] = a
		s.work.Go(func() { s.act(a) })
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// act works until the machine is at rest or the server closes.
func (s *Server) act(a *actor) {
	for s.ctx.Err() == nil {
		i, ok, err := s.load(a.id)
		if err == nil {
			if !ok || i.State == StateStopped || i.State.gone() {
				if s.retire(a) {
					return
				}
				continue
			}
			err = s.step(a, i)
		}
		if err != nil && s.ctx.Err() == nil {
			s.log.Error("machine", "instance", a.id, "error", err)
			_ = s.pause(s.ctx, nil, 500*time.Millisecond)
		}
	}
}

// retire ends the actor unless it was called meanwhile.
func (s *Server) retire(a *actor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-a.wake:
		return false
	default:
		delete(s.actors, a.id)
		return true
	}
}

func (s *Server) load(id string) (i instance, ok bool, err error) {
	err = s.store.view(func(t *tx) (err error) {
		i, ok, err = get[instance](t, bucketInstances, id)
		return err
	})
	return i, ok, err
}

func (s *Server) step(a *actor, i instance) error {
	switch i.State {
	case StatePending:
		return s.boot(a, i)
	case StateRunning:
		return s.watch(a, i)
	case StateStopping:
		return s.shutDown(a, i)
	default:
		return s.destroy(a, i)
	}
}

// pause waits, and returns early with true when called or with the server.
func (s *Server) pause(ctx context.Context, wake <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-wake:
		return true
	case <-ctx.Done():
		return true
	}
}

// moveOn moves the machine on from a state it is still in. Whatever was asked
// for in between wins.
func (s *Server) moveOn(id string, from, to State, reason string, f func(*instance)) error {
	return s.store.update(func(t *tx) error {
		i, ok, err := get[instance](t, bucketInstances, id)
		if err != nil || !ok || i.State != from {
			return err
		}
		if f != nil {
			f(&i)
		}
		return s.transition(t, &i, to, reason)
	})
}

// bootTime is how long this machine takes to boot.
func (s *Server) bootTime(i instance) time.Duration {
	d := s.opts.BootTime
	if d == 0 {
		var sum int
		for _, b := range []byte(i.ID) {
			sum += int(b)
		}
		d = time.Duration(100+sum*7%200) * time.Millisecond
	}
	return d + i.Fault.delay()
}

// boot starts the machine's process and waits until it reports.
func (s *Server) boot(a *actor, i instance) error {
	if a.process == nil || !a.process.id.Alive() {
		if s.pause(s.ctx, a.wake, s.bootTime(i)) {
			return nil
		}
		if reason := i.Fault.end(); reason != "" {
			return s.moveOn(i.ID, StatePending, StateTerminating, reason+": the laboratory says so", nil)
		}
		if err := s.spawn(a, &i); err != nil {
			return errors.Join(err, s.moveOn(i.ID, StatePending, StateTerminating, reasonBoot+": "+err.Error(), nil))
		}
	}
	report, err := s.awaitReport(a, i)
	if errors.Is(err, errInterrupted) {
		return nil
	}
	if err != nil {
		return s.moveOn(i.ID, StatePending, StateTerminating, reasonBoot+": "+err.Error(), nil)
	}
	return s.moveOn(i.ID, StatePending, StateRunning, "", func(i *instance) {
		i.PrivateIP, i.PublicIP, i.SSHPort = report.Address, report.Address, report.Port
	})
}

// watch waits for the end of a running machine, wanted or not.
func (s *Server) watch(a *actor, i instance) error {
	if a.process == nil {
		a.process = s.attach(i)
	}
	if a.process == nil {
		return s.died(a, i)
	}
	var preempt <-chan time.Time
	if !i.PreemptAt.IsZero() {
		preempt = s.clock.After(i.PreemptAt.Sub(s.clock.Now()))
	}
	select {
	case <-s.ctx.Done():
		return nil
	case <-a.wake:
		return nil
	case <-preempt:
		return s.moveOn(i.ID, StateRunning, StateTerminating, reasonPreempted, nil)
	case <-a.process.done:
		return s.died(a, i)
	}
}

// died finds out why a running machine's process is gone.
func (s *Server) died(a *actor, i instance) error {
	a.process = nil
	var asked guest.SelfRequest
	if err := guest.ReadJSON(s.paths(i.ID).SelfRequest(), &asked); err != nil {
		return s.moveOn(i.ID, StateRunning, StateTerminating, reasonHost, nil)
	}
	to := StateTerminating
	if asked.Action == "stop" && i.Market != marketSpot {
		to = StateStopping
	}
	reason := reasonSelf
	if asked.Reason != "" {
		reason = asked.Reason
	}
	return s.moveOn(i.ID, StateRunning, to, reason, nil)
}

// shutDown stops the machine in good order and keeps its disk.
func (s *Server) shutDown(a *actor, i instance) error {
	s.pause(s.ctx, nil, s.opts.StopTime)
	if err := s.endProcess(a, i, true); err != nil {
		return err
	}
	return s.moveOn(i.ID, StateStopping, StateStopped, i.StateReason, func(i *instance) {
		i.PublicIP = ""
	})
}

// destroy ends the machine and removes its disk.
func (s *Server) destroy(a *actor, i instance) error {
	s.pause(s.ctx, nil, s.opts.StopTime)
	if s.ctx.Err() != nil {
		return nil //nolint:nilerr // the server closes; the next one goes on here
	}
	if err := s.endProcess(a, i, false); err != nil {
		return err
	}
	if err := removeTree(s.paths(i.ID).Dir); err != nil {
		return fmt.Errorf("remove disk: %w", err)
	}
	return s.moveOn(i.ID, StateTerminating, StateTerminated, i.StateReason, func(i *instance) {
		i.PublicIP, i.PrivateIP, i.SSHPort = "", "", 0
	})
}

// byMachineToken finds the machine that a token belongs to.
func (s *Server) byMachineToken(token string) (instance, error) {
	var found []instance
	err := s.store.view(func(t *tx) (err error) {
		found, err = all(t, bucketInstances, func(i instance) bool {
			return i.Token != "" && subtle.ConstantTimeCompare([]byte(i.Token), []byte(token)) == 1
		})
		return err
	})
	if err != nil {
		return instance{}, err
	}
	if len(found) != 1 {
		return instance{}, apiErrorf(http.StatusUnauthorized, "unauthorized", "the machine's token is missing or wrong")
	}
	return found[0], nil
}

// terminateAll ends every machine and waits until the last is gone.
func (s *Server) terminateAll(ctx context.Context) error {
	for {
		var live []instance
		err := s.store.update(func(t *tx) (err error) {
			live, err = all(t, bucketInstances, func(i instance) bool { return !i.State.gone() })
			if err != nil {
				return err
			}
			for _, i := range live {
				if i.State != StateTerminating {
					if err := s.transition(t, &i, StateTerminating, reasonUser); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil || len(live) == 0 {
			return err
		}
		for _, i := range live {
			s.kick(i.ID)
		}
		if s.pause(ctx, s.ctx.Done(), 20*time.Millisecond) {
			return fmt.Errorf("terminate all machines: %d are left: %w", len(live), context.Cause(ctx))
		}
	}
}

// removeTree removes a folder, read-only parts of it included.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	makeWritable(dir)
	return os.RemoveAll(dir)
}
