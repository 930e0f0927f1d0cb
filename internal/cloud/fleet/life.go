// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Wait implements cloud.Provisioner.
func (f *Fleet[N, R]) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if want == cloud.StateTerminated {
		var g gone[N, R]
		return f.watch(ctx, ref, func(_ context.Context, c Inventory[N]) (bool, error) { return g.look(f, c), nil })
	}
	w := f.waiter(want)
	var last Inventory[N]
	var seen stays
	err := f.watch(ctx, ref, func(_ context.Context, c Inventory[N]) (bool, error) {
		last = c
		done, err := w.look(ref, c.result())
		if !done && err == nil && want == cloud.StateRunning {
			err = f.overdue(c, &seen)
		}
		return done, err
	})
	return f.explain(ctx, last, err)
}

// stays tell since when machines have been in a status.
type stays map[string]stay

type stay struct {
	status string
	since  time.Time
}

// overdue is the error of a machine that has been as it is for too long.
func (f *Fleet[N, R]) overdue(c Inventory[N], seen *stays) error {
	if f.Hooks.Overdue == nil {
		return nil
	}
	if *seen == nil {
		*seen = stays{}
	}
	for _, m := range c.Staying() {
		if (*seen)[m.ID].status != m.Status {
			(*seen)[m.ID] = stay{m.Status, time.Now()}
		}
		if m.State == cloud.StateRunning && m.ExternalIP != "" {
			continue
		}
		if why := f.Hooks.Overdue(m, time.Since((*seen)[m.ID].since)); why != "" {
			m.Reason = why
			return m.stuck(cloud.StateRunning)
		}
	}
	return nil
}

func (f *Fleet[N, R]) waiter(want cloud.State) *waiter[Machine[N]] {
	return &waiter[Machine[N]]{
		Want: want, Looks: min(2, f.QuietLooks), MissingLooks: f.MissingLooks,
		As:    func(m Machine[N]) cloud.Instance { return m.Instance },
		Stuck: func(m Machine[N]) error { return m.stuck(want) },
	}
}

// explain adds to the error of a machine that stopped by itself why it did.
func (f *Fleet[N, R]) explain(ctx context.Context, c Inventory[N], err error) error {
	var stuck *MachineError
	if f.Hooks.Explain == nil || ctx.Err() != nil || !errors.As(err, &stuck) {
		return err
	}
	for _, m := range c.Machines {
		if m.String() != stuck.ID || (m.State != cloud.StateStopped && m.State != cloud.StateStopping) {
			continue
		}
		if why := f.Hooks.Explain(ctx, m); why != "" {
			stuck.Reason = why
		}
	}
	return err
}

// gone decides, look by look, whether nothing is left.
type gone[N, R any] struct {
	quiet int
	// ended are machines whose removal the cloud confirmed.
	ended []string
}

// look reports whether nothing was seen often enough in a row. What is listed as
// terminated is proof; what is merely not listed may be late.
func (g *gone[N, R]) look(f *Fleet[N, R], c Inventory[N]) bool {
	if len(c.Live())+len(c.Unlisted) > 0 || c.Doubtful {
		g.quiet = 0
		return false
	}
	g.quiet++
	missed := slices.ContainsFunc(c.Missing, func(id string) bool { return !slices.Contains(g.ended, id) })
	switch {
	case missed:
		return g.quiet >= f.MissingLooks
	case len(c.Machines) > 0:
		return g.quiet >= min(2, f.QuietLooks)
	default:
		return g.quiet >= f.QuietLooks
	}
}

// Describe implements cloud.Provisioner.
func (f *Fleet[N, R]) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	found, err := f.Look(ctx, ref)
	if err != nil {
		return cloud.ClusterInfo{}, err
	}
	info := cloud.ClusterInfo{SSHUser: f.SSHUser}
	if info.Instances, err = runningOf(ref.Cluster, f.portable(ref, found.Machines)); err != nil {
		return info, err
	}
	running := found.Machines[slices.IndexFunc(found.Machines, func(m Machine[N]) bool { return m.State == cloud.StateRunning })]
	switch {
	case running.SSHUser != "":
		info.SSHUser = running.SSHUser
	case f.Hooks.SSHUser != nil:
		info.SSHUser, err = f.Hooks.SSHUser(ctx, running)
	}
	return info, err
}

// portable are machines in the words all clouds share, with a zone in the words
// of whoever asks.
func (f *Fleet[N, R]) portable(ref cloud.ClusterRef, machines []Machine[N]) []cloud.Instance {
	out := make([]cloud.Instance, 0, len(machines))
	for _, m := range machines {
		if f.Hooks.Zone != nil && ref.Zone != "" {
			m.Zone = ref.Zone
		}
		out = append(out, m.Instance)
	}
	return out
}

// Query implements cloud.Provisioner. What this process launched a moment ago
// counts before any listing shows it.
func (f *Fleet[N, R]) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := f.Look(ctx, ref)
	if err != nil {
		return nil, err
	}
	live := found.Live()
	if f.Hooks.Explain != nil {
		_ = eachOf(f.Parallel, len(live), func(i int) error {
			if live[i].State == cloud.StateStopped && live[i].Reason == "" {
				live[i].Reason = f.Hooks.Explain(ctx, live[i])
			}
			return nil
		})
	}
	for _, m := range found.Unlisted {
		if m.ID != "" {
			live = append(live, m)
		}
	}
	return f.portable(ref, live), nil
}

// Ended implements cloud.Chronicler, for clouds that list the dead for a while.
func (f *Fleet[N, R]) Ended(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := f.Look(ctx, ref)
	if err != nil {
		return nil, err
	}
	dead := slices.DeleteFunc(found.Machines, func(m Machine[N]) bool { return m.State != cloud.StateTerminated })
	return f.portable(ref, dead), nil
}

// Commit implements cloud.Provisioner. It returns once every machine shows the
// mark, and no deadline at which it would remove itself.
func (f *Fleet[N, R]) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	if f.checkRef(ref) != nil && ref.Owner != "" {
		return fmt.Errorf("commit cluster %q: machines %v are none of %s: %w", ref.Cluster, ref.Instances, f.Name, cloud.ErrNotFound)
	}
	return f.watch(ctx, ref, func(ctx context.Context, c Inventory[N]) (bool, error) {
		if len(c.Unlisted) > 0 {
			return false, nil
		}
		live := c.Staying()
		if err := checkPresent(ref, ids(live)); err != nil {
			return false, fmt.Errorf("commit %w", err)
		}
		if i := slices.IndexFunc(live, func(m Machine[N]) bool { return m.untagged }); i >= 0 {
			return false, fmt.Errorf("commit machine %s: it shows no ownership tags, so that nobody would find it again", live[i])
		}
		if err := f.Calls.Mark(ctx, live); err != nil {
			return false, fmt.Errorf("commit machines %v: %w", ids(live), err)
		}
		return !slices.ContainsFunc(live, func(m Machine[N]) bool { return !m.Committed || !m.Deadline.IsZero() }), nil
	})
}

// Stop implements cloud.Provisioner.
func (f *Fleet[N, R]) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	found, err := f.Look(ctx, ref)
	if err != nil {
		return err
	}
	for _, m := range found.Staying() {
		if why := f.Capabilities.CannotStop(cloud.Offer{Cloud: f.Name, Market: m.Market, InstanceType: cloud.InstanceType{Name: m.Type}}); why != "" {
			return ConfigErrorf(cloud.ScopeCloud, "machine %s: %s", m, why)
		}
	}
	w := f.waiter(cloud.StateStopped)
	return f.watch(ctx, ref, func(ctx context.Context, c Inventory[N]) (bool, error) {
		busy := slices.DeleteFunc(c.Live(), func(m Machine[N]) bool { return m.State != cloud.StateRunning && m.State != cloud.StatePending })
		if len(busy) > 0 {
			if err := f.Calls.StopMachines(ctx, busy); err != nil {
				return false, fmt.Errorf("stop machines %v: %w", ids(busy), err)
			}
		}
		return w.look(ref, c.result())
	})
}

// Terminate implements cloud.Provisioner. What is paid for beside the machines
// goes after them.
func (f *Fleet[N, R]) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	removed := map[cloud.Identity]bool{}
	_, err := f.removeMachines(ctx, ref, removed)
	if err == nil {
		err = f.removePaid(ctx, ref, removed)
	}
	if err != nil {
		return fmt.Errorf("terminate cluster %q: %w", ref.Cluster, err)
	}
	if ref.Zone, err = f.zone(ctx, ref.Region, ref.Zone); err == nil {
		f.recent.forget(func(m Machine[N]) bool { return selects(ref, m) })
	}
	return err
}

// removeMachines sees the machines of ref gone, notes their identities and
// reports whether there were any. It asks again at every look, since a request
// may be lost, and believes only what it sees.
func (f *Fleet[N, R]) removeMachines(ctx context.Context, ref cloud.ClusterRef, removed map[cloud.Identity]bool) (some bool, err error) {
	var g gone[N, R]
	err = f.watch(ctx, ref, func(ctx context.Context, c Inventory[N]) (bool, error) {
		for _, m := range c.Machines {
			removed[m.Identity] = true
		}
		some = some || len(c.Live())+len(c.Unlisted) > 0
		going := slices.Concat(c.Staying(), c.Unlisted) // one that is late may be there; the next look tells
		if len(going) > 0 {
			if err := f.Calls.DeleteMachines(ctx, going); err != nil {
				return false, fmt.Errorf("remove machines %v: %w", ids(going), err)
			}
		}
		if f.DeleteConfirms {
			g.ended = append(g.ended, ids(going)...)
		}
		return g.look(f, c), nil
	})
	return some, err
}
