// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// fault is one rule of the laboratory: which calls it strikes and how. Rules
// are looked at in the order they were added; the first that is due strikes.
type fault struct {
	ID    string     `json:"id"`
	Op    string     `json:"op"`
	Match faultMatch `json:"match,omitzero"`
	// After is how many matching calls are spared first.
	After int `json:"after,omitempty"`
	// Times is how many calls are struck; 0 is all until the rule is removed.
	Times  int    `json:"times,omitempty"`
	Effect effect `json:"effect"`
	// Seen and Fired count matching and struck calls.
	Seen  int `json:"seen"`
	Fired int `json:"fired"`
}

// faultMatch narrows a fault; empty fields match anything.
type faultMatch struct {
	Region       string `json:"region,omitempty"`
	Zone         string `json:"zone,omitempty"`
	InstanceType string `json:"instance_type,omitempty"`
	Market       string `json:"market,omitempty"`
	NamePrefix   string `json:"name_prefix,omitempty"`
}

// effect is what a fault does. Several at once add up.
type effect struct {
	// Error answers without doing anything. Status may be left out where the
	// code implies it.
	Error *apiError `json:"error,omitempty"`
	// Drop closes the connection without doing anything.
	Drop bool `json:"drop,omitempty"`
	// TimeoutAfterApply does it all, then closes the connection.
	TimeoutAfterApply bool `json:"timeout_after_apply,omitempty"`
	// DelayMS holds the call up.
	DelayMS int `json:"delay_ms,omitempty"`
	// Silent answers well and does nothing.
	Silent bool `json:"silent,omitempty"`
	// Body answers 200 with this text instead of the real answer.
	Body *string `json:"body,omitempty"`
	// Empty makes a list come back empty.
	Empty bool `json:"empty,omitempty"`

	// HideForMS keeps a launched machine out of lists and gets.
	HideForMS int `json:"hide_for_ms,omitempty"`
	// LateArrivalMS fails the launch, and the machine appears later all the same.
	LateArrivalMS int `json:"late_arrival_ms,omitempty"`
	// Duplicate ignores the client token.
	Duplicate bool `json:"duplicate,omitempty"`
	// DropTags loses the tags of a launch or tag call.
	DropTags bool `json:"drop_tags,omitempty"`
	// PreemptAfterMS preempts the machine that long after its launch.
	PreemptAfterMS int `json:"preempt_after_ms,omitempty"`

	// Boot is what goes wrong in the machine: slow, fail, no_capacity, no_ssh, die_in_setup,
	// silent, babble, wrong_host_key, exec_refused, no_exit_status.
	Boot string `json:"boot,omitempty"`
	// BootDelayMS is how much longer a slow boot takes; default 5000.
	BootDelayMS int `json:"boot_delay_ms,omitempty"`
	// AtExec is the command during which the machine dies; default 1, the first.
	AtExec int `json:"at_exec,omitempty"`
}

// bootFault is what a machine's next boot suffers.
type bootFault struct {
	Boot    string `json:"boot,omitempty"`
	DelayMS int    `json:"delay_ms,omitempty"`
	AtExec  int    `json:"at_exec,omitempty"`
}

const defaultSlowBoot = 5000

// guest is the part of the fault that strikes inside the machine.
func (f bootFault) guest() guest.Fault {
	switch f.Boot {
	case "no_ssh":
		return guest.Fault{SSH: "none"}
	case "die_in_setup":
		return guest.Fault{DieAtExec: max(f.AtExec, 1)}
	case "silent", "babble", "wrong_host_key", "exec_refused", "no_exit_status":
		return guest.Fault{SSH: f.Boot}
	default:
		return guest.Fault{}
	}
}

// end says why the machine ends before it runs; empty is that it runs.
func (f bootFault) end() string {
	switch f.Boot {
	case "fail":
		return reasonBoot
	case "no_capacity":
		return reasonCapacity
	}
	return ""
}

// delay is how much longer the boot takes.
func (f bootFault) delay() time.Duration {
	if f.DelayMS == 0 && f.Boot == "slow" {
		return defaultSlowBoot * time.Millisecond
	}
	return time.Duration(f.DelayMS) * time.Millisecond
}

func faultOps() []string {
	return []string{"launch", "list", "get", "terminate", "stop", "start", "tag", "expiry", "firewall", "key", "boot", "disk", "account", "*"}
}

func bootKinds() []string {
	return []string{"", "slow", "fail", "no_capacity", "no_ssh", "die_in_setup", "silent", "babble", "wrong_host_key", "exec_refused", "no_exit_status"}
}

// check completes a fault and says what is wrong with it.
func (f *fault) check() error {
	if !slices.Contains(faultOps(), f.Op) {
		return invalid("op", "%q is none of %s", f.Op, strings.Join(faultOps(), ", "))
	}
	if !slices.Contains(bootKinds(), f.Effect.Boot) {
		return invalid("effect.boot", "%q is none of %s", f.Effect.Boot, strings.Join(bootKinds()[1:], ", "))
	}
	if f.Effect == (effect{}) {
		return invalid("effect", "is empty; give for example %s", `{"error":{"code":"insufficient_capacity"}}`)
	}
	if f.After < 0 || f.Times < 0 {
		return invalid("after, times", "must not be negative")
	}
	if e := f.Effect.Error; e != nil {
		if e.Code == "" {
			return invalid("effect.error.code", "is missing")
		}
		if e.Status == 0 {
			e.Status = defaultStatus(e.Code)
		}
		if e.Status < 400 || e.Status > 599 {
			return invalid("effect.error.status", "must be from 400 to 599")
		}
		if e.Message == "" {
			e.Message = "the fault laboratory says no"
		}
	}
	f.ID, f.Seen, f.Fired = "fault-"+randomHex(6), 0, 0
	return nil
}

// subject is what a fault may match on.
type subject struct{ region, zone, instanceType, market, name string }

func subjectOf(i Instance) subject {
	return subject{region: i.Region, zone: i.Zone, instanceType: i.InstanceType, market: i.Market, name: i.Name}
}

func (m faultMatch) covers(s subject) bool {
	return (m.Region == "" || m.Region == s.region) && (m.Zone == "" || m.Zone == s.zone) &&
		(m.InstanceType == "" || m.InstanceType == s.instanceType) &&
		(m.Market == "" || m.Market == s.market) && strings.HasPrefix(s.name, m.NamePrefix)
}

// strike finds the effect that is due for a call and counts it.
func (s *Server) strike(op string, on subject) (effect, error) {
	// Most of the time there is no fault, and nothing to write down.
	var exists bool
	err := s.store.view(func(t *tx) error {
		k, _ := t.Bucket([]byte(bucketFaults)).Cursor().First()
		exists = k != nil
		return nil
	})
	if err != nil || !exists {
		return effect{}, err
	}
	var due effect
	err = s.store.update(func(t *tx) error {
		faults, err := all[fault](t, bucketFaults, nil)
		if err != nil {
			return err
		}
		for _, f := range faults {
			if (f.Op != "*" && f.Op != op) || (f.Op == "*" && op == "boot") || !f.Match.covers(on) {
				continue
			}
			if f.Times > 0 && f.Fired >= f.Times {
				continue
			}
			f.Seen++
			strikes := f.Seen > f.After
			if strikes {
				f.Fired++
			}
			if err := put(t, bucketFaults, faultKey(t, f.ID), f); err != nil {
				return err
			}
			if strikes {
				due = f.Effect
				return nil
			}
		}
		return nil
	})
	return due, err
}

// faultKey finds the key of a stored fault; keys sort in the order of adding.
func faultKey(t *tx, id string) string {
	key := ""
	_ = t.Bucket([]byte(bucketFaults)).ForEach(func(k, _ []byte) error {
		if strings.HasSuffix(string(k), "/"+id) {
			key = string(k)
		}
		return nil
	})
	return key
}

// suffer applies the part of a fault that comes before a call's own work.
func (s *Server) suffer(ctx context.Context, c *call, op string, on subject) error {
	due, err := s.strike(op, on)
	if err != nil {
		return err
	}
	c.effect = due
	if due.DelayMS > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return errDropped
		case <-time.After(time.Duration(due.DelayMS) * time.Millisecond):
		}
	}
	if due.Drop {
		return errDropped
	}
	if due.Error != nil && due.LateArrivalMS == 0 {
		return due.Error
	}
	return nil
}

func (s *Server) listFaults(_ context.Context, _ *call) (reply, error) {
	faults := []fault{}
	err := s.store.view(func(t *tx) (err error) {
		faults, err = all[fault](t, bucketFaults, nil)
		return err
	})
	return reply{http.StatusOK, map[string]any{"faults": faults}}, err
}

func (s *Server) addFault(_ context.Context, c *call) (reply, error) {
	var f fault
	if err := c.decode(&f); err != nil {
		return reply{}, err
	}
	if err := f.check(); err != nil {
		return reply{}, err
	}
	err := s.store.update(func(t *tx) error {
		seq, err := t.Bucket([]byte(bucketFaults)).NextSequence()
		if err != nil {
			return fmt.Errorf("number the fault: %w", err)
		}
		return put(t, bucketFaults, fmt.Sprintf("%016x/%s", seq, f.ID), f)
	})
	return reply{http.StatusCreated, map[string]any{"fault": f}}, err
}

func (s *Server) deleteFault(_ context.Context, c *call) (reply, error) {
	return reply{status: http.StatusNoContent}, s.store.update(func(t *tx) error {
		key := faultKey(t, c.PathValue("id"))
		if key == "" {
			return notFound("fault", c.PathValue("id"))
		}
		return remove(t, bucketFaults, key)
	})
}

func (s *Server) clearFaults(context.Context, *call) (reply, error) {
	return reply{status: http.StatusNoContent}, s.store.update(func(t *tx) error {
		b := t.Bucket([]byte(bucketFaults))
		for k, _ := b.Cursor().First(); k != nil; k, _ = b.Cursor().First() {
			if err := b.Delete(k); err != nil {
				return fmt.Errorf("clear faults: %w", err)
			}
		}
		return nil
	})
}
