// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func sessionCases() []Case {
	multi := func(c cloud.Capabilities) bool { return c.MultiNode }
	return []Case{
		{Name: "session/another sees what the first launched", run: anotherSees},
		{Name: "session/another adopts and removes", run: anotherRemoves},
		{Name: "session/at once from several", run: severalAtOnce},
		{Name: "session/nodes at once from several", applies: multi, run: severalNodesAtOnce},
		{Name: "lag/run again", run: lagRunAgain},
		{Name: "lag/commit and terminate", run: lagLife},
		{Name: "lag/another session", run: lagAnother},
	}
}

// anotherSees: what a process that launched nothing is shown is complete.
func anotherSees(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, w.most())
	if err != nil {
		return err
	}
	if err := w.Commit(ctx, c.ref); err != nil {
		return fmt.Errorf("Commit: %w", err)
	}
	other, err := w.another(ctx)
	if err != nil {
		return err
	}
	for what, ref := range map[string]cloud.ClusterRef{
		"the cluster": c.ref, "all of the owner": {Owner: c.ref.Owner, Cloud: c.ref.Cloud},
		"every generation and place": {Owner: c.ref.Owner, Cloud: c.ref.Cloud, Cluster: c.ref.Cluster}, "by id": c.narrowed(ids(machines)...),
	} {
		if err := other.lists(ctx, ref, cloud.StateRunning, ids(machines)...); err != nil {
			return fmt.Errorf("in another session, %s: %w", what, err)
		}
	}
	got, err := other.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query in another session: %w", err)
	}
	for _, in := range got {
		i := slices.IndexFunc(machines, func(m cloud.Instance) bool { return m.ID == in.ID })
		if in.Identity != machines[i].Identity || !in.Committed {
			return fmt.Errorf("another session shows %+v as %+v, committed %t", machines[i].Identity, in.Identity, in.Committed)
		}
	}
	info, err := other.Describe(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Describe in another session: %w", err)
	}
	own, err := w.Describe(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	if !slices.Equal(ids(info.Instances), ids(own.Instances)) || info.SSHUser != own.SSHUser {
		return fmt.Errorf("another session describes %v as %q, the first %v as %q", ids(info.Instances), info.SSHUser, ids(own.Instances), own.SSHUser)
	}
	return nil
}

// anotherRemoves: what one process launched another one takes over, and leaves
// nothing of it.
func anotherRemoves(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1, ports(portRange(8080, 8080)))
	if err != nil {
		return err
	}
	other, err := w.another(ctx)
	if err != nil {
		return err
	}
	theirs := c.under(other)
	record, err := theirs.run(ctx)
	if err != nil {
		return fmt.Errorf("Run in another session: %w", err)
	}
	if !sameSet(record.Adopted, ids(machines)) || len(record.Created)+len(record.Resumed) > 0 {
		return fmt.Errorf("Run in another session reports %+v, want %v adopted", record, ids(machines))
	}
	if w.caps.PortsLater {
		if err := other.OpenPorts(ctx, c.ref, theirs.cfg, []cloud.PortRange{portRange(443, 443)}); err != nil {
			return fmt.Errorf("OpenPorts in another session: %w", err)
		}
		if err := w.gateIs(ctx, machines[0].ID, portRange(443, 443)); err != nil {
			return fmt.Errorf("after OpenPorts in another session: %w", err)
		}
	}
	if err := theirs.remove(ctx); err != nil {
		return fmt.Errorf("in another session: %w", err)
	}
	return w.countsAre(ctx, w.before, "after another session removed the cluster,")
}

func severalAtOnce(ctx context.Context, w *world) error { return w.atOnce(ctx, w.cluster(1)) }

func severalNodesAtOnce(ctx context.Context, w *world) error { return w.atOnce(ctx, w.cluster(3)) }

// atOnce launches the cluster from several sessions at once. There is one
// machine of each identity in the end, whether the cloud sees to it by tokens
// or names or the driver by giving way, and what a Run reports lives.
func (w *world) atOnce(ctx context.Context, c *cluster) error {
	const sessions = 4
	var (
		wg      sync.WaitGroup
		records [sessions]cloud.RunRecord
		errs    [sessions]error
		start   = make(chan struct{})
	)
	for i := range sessions {
		other, err := w.another(ctx)
		if err != nil {
			return err
		}
		theirs := c.under(other)
		spec := theirs.current()
		wg.Go(func() {
			<-start
			if theirs.cfg, errs[i] = other.Bootstrap(ctx, spec, c.at); errs[i] == nil {
				records[i], errs[i] = other.Run(ctx, c.ref, theirs.cfg)
			}
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("several sessions at once: %w", err)
	}
	alive, err := c.up(ctx)
	if err != nil {
		return fmt.Errorf("after several sessions at once: %w", err)
	}
	if err := w.machinesAre(ctx, len(c.attempts)); err != nil {
		return fmt.Errorf("after several sessions at once: %w", err)
	}
	for _, r := range records {
		if all := slices.Concat(r.Created, r.Adopted, r.Resumed); !sameSet(all, ids(alive)) {
			return fmt.Errorf("of several sessions at once one reports %+v, where %v live", r, ids(alive))
		}
	}
	return nil
}

// lag makes lists lag until the end of the case.
func (w *world) lag(ctx context.Context) error {
	l, err := hook[Lagger](w)
	if err != nil {
		return err
	}
	stop, err := l.Lag(ctx)
	if err != nil {
		return fmt.Errorf("make lists lag: %w", err)
	}
	w.undo = append(w.undo, stop)
	return nil
}

// lagRunAgain: a machine that no list shows yet is not made again.
func lagRunAgain(ctx context.Context, w *world) error {
	if err := w.lag(ctx); err != nil {
		return err
	}
	c := w.cluster(w.most())
	first, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run: %w", err)
	}
	again, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run again while lists lag: %w", err)
	}
	if all := slices.Concat(again.Created, again.Adopted); !sameSet(all, first.Created) {
		return fmt.Errorf("Run again while lists lag reports %+v, the first made %v", again, first.Created)
	}
	if err := w.Wait(ctx, c.narrowed(first.Created...), cloud.StateRunning); err != nil {
		return fmt.Errorf("Wait while lists lag: %w", err)
	}
	return w.machinesAre(ctx, len(c.attempts))
}

// lagLife: a machine that no list shows yet is not taken for dead.
func lagLife(ctx context.Context, w *world) error {
	if err := w.lag(ctx); err != nil {
		return err
	}
	c := w.cluster(w.most())
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run: %w", err)
	}
	named := c.narrowed(record.Created...)
	if err := w.Wait(ctx, named, cloud.StateRunning); err != nil {
		return fmt.Errorf("Wait while lists lag: %w", err)
	}
	if err := w.Commit(ctx, named); err != nil {
		return fmt.Errorf("Commit while lists lag: %w", err)
	}
	if err := w.Terminate(ctx, named); err != nil {
		return fmt.Errorf("Terminate while lists lag: %w", err)
	}
	if err := w.machinesAre(ctx, 0); err != nil {
		return fmt.Errorf("Terminate by id while lists lag: %w", err)
	}
	// One that ended is launched anew and removed at once, by the reference alone.
	d := w.cluster(1)
	if _, err := d.run(ctx); err != nil {
		return fmt.Errorf("Run: %w", err)
	}
	if err := w.Terminate(ctx, d.ref); err != nil {
		return fmt.Errorf("Terminate while lists lag: %w", err)
	}
	if err := w.machinesAre(ctx, 0); err != nil {
		return fmt.Errorf("Terminate while lists lag: %w", err)
	}
	return nil
}

// lagAnother: a second session asks for what the first launched a moment ago.
func lagAnother(ctx context.Context, w *world) error {
	if err := w.lag(ctx); err != nil {
		return err
	}
	c := w.cluster(1)
	first, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run: %w", err)
	}
	other, err := w.another(ctx)
	if err != nil {
		return err
	}
	theirs := c.under(other)
	record, err := theirs.run(ctx)
	if err != nil {
		return fmt.Errorf("Run in another session while lists lag: %w", err)
	}
	if all := slices.Concat(record.Created, record.Adopted); !sameSet(all, first.Created) {
		return fmt.Errorf("Run in another session while lists lag reports %+v, the first made %v", record, first.Created)
	}
	if err := other.Wait(ctx, c.narrowed(first.Created...), cloud.StateRunning); err != nil {
		return fmt.Errorf("Wait in another session while lists lag: %w", err)
	}
	if err := w.machinesAre(ctx, 1); err != nil {
		return fmt.Errorf("while lists lag: %w", err)
	}
	if err := other.Terminate(ctx, c.narrowed(first.Created...)); err != nil {
		return fmt.Errorf("Terminate in another session while lists lag: %w", err)
	}
	return w.machinesAre(ctx, 0)
}
