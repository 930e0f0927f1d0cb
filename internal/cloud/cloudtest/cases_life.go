// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guard"
)

func lifeCases() []Case {
	stop := func(c cloud.Capabilities) bool { return c.Stop }
	return []Case{
		{Name: "life/absent cluster", run: absent},
		{Name: "life/no owner", run: noOwner},
		{Name: "life/terminate twice", run: terminateTwice},
		{Name: "life/terminate at once", run: terminateAtOnce},
		{Name: "life/terminate some", applies: func(c cloud.Capabilities) bool { return c.MultiNode }, run: terminateSome},
		{Name: "life/terminate cancelled", run: terminateCancelled},
		{Name: "life/stop and resume", applies: stop, run: stopResume},
		{Name: "life/stop some", applies: func(c cloud.Capabilities) bool { return c.Stop && c.MultiNode }, run: stopSome},
		{Name: "life/change while stopped", applies: stop, run: changeStopped},
		{Name: "life/terminate stopped", applies: stop, run: terminateStopped},
		{Name: "life/cannot stop", applies: func(c cloud.Capabilities) bool { return !c.Stop }, run: cannotStop(cloud.OnDemand)},
		{
			Name:    "life/cannot stop spot",
			applies: func(c cloud.Capabilities) bool { return c.Spot && !c.StopSpot },
			run:     cannotStop(cloud.Spot),
		},
		{
			Name:    "life/stop and resume spot",
			applies: func(c cloud.Capabilities) bool { return c.Spot && c.StopSpot },
			run:     stopResumeSpot,
		},
		{Name: "life/query by place", run: queryByPlace},
		{Name: "life/the dead are remembered as dead", run: ended},
		{Name: "wait/cancelled", run: waitCancelled},
		{Name: "wait/until gone", run: waitGone},
		{Name: "wait/machine died", run: waitDied},
	}
}

func absent(ctx context.Context, w *world) error {
	c := w.cluster(1)
	if err := w.lists(ctx, c.ref, ""); err != nil {
		return err
	}
	if _, err := w.Describe(ctx, c.ref); !errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("Describe of nothing returned %v, want ErrNotFound", err)
	}
	if err := w.Commit(ctx, c.ref); !errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("Commit of nothing returned %v, want ErrNotFound", err)
	}
	if w.caps.Stop {
		if err := w.Stop(ctx, c.ref); !errors.Is(err, cloud.ErrNotFound) {
			return fmt.Errorf("Stop of nothing returned %v, want ErrNotFound", err)
		}
	}
	if err := w.Wait(ctx, c.ref, cloud.StateTerminated); err != nil {
		return fmt.Errorf("Wait for the end of nothing: %w", err)
	}
	return c.remove(ctx)
}

// noOwner: a reference without an owner would match other people's machines.
func noOwner(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	ref := c.ref
	ref.Owner = ""
	if _, err := w.Query(ctx, ref); err == nil {
		return errors.New("Query takes a reference without an owner")
	}
	if err := w.Terminate(ctx, ref); err == nil {
		return errors.New("Terminate takes a reference without an owner")
	}
	if err := w.CleanupPorts(ctx, ref); err == nil {
		return errors.New("CleanupPorts takes a reference without an owner")
	}
	return w.lists(ctx, c.ref, cloud.StateRunning, ids(machines)...)
}

// gone says that nothing of the cluster is left that costs money, right now.
func (c *cluster) gone(ctx context.Context) error {
	if err := c.w.lists(ctx, c.ref, ""); err != nil {
		return err
	}
	got, err := c.w.count(ctx)
	if err != nil {
		return err
	}
	if got.paid() != c.w.before.paid() {
		return fmt.Errorf("after Terminate the account holds %+v, want the machines, disks and addresses of %+v", got, c.w.before)
	}
	return nil
}

func terminateTwice(ctx context.Context, w *world) error {
	c := w.cluster(min(2, w.most()))
	if _, err := c.up(ctx); err != nil {
		return err
	}
	for _, when := range []string{"Terminate", "Terminate again"} {
		if err := w.Terminate(ctx, c.ref); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		if err := c.gone(ctx); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
	}
	if _, err := w.Describe(ctx, c.ref); !errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("Describe after Terminate returned %v, want ErrNotFound", err)
	}
	return nil
}

// most is how many machines a cluster may have.
func (w *world) most() int {
	if w.caps.MultiNode {
		return 3
	}
	return 1
}

// terminateAtOnce does not wait for the machines to run.
func terminateAtOnce(ctx context.Context, w *world) error {
	c := w.cluster(w.most())
	if _, err := c.run(ctx); err != nil {
		return fmt.Errorf("Run: %w", err)
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	return c.gone(ctx)
}

func terminateSome(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 3)
	if err != nil {
		return err
	}
	if err := w.Terminate(ctx, c.narrowed()); err != nil {
		return fmt.Errorf("Terminate of no instances: %w", err)
	}
	if err := w.lists(ctx, c.ref, cloud.StateRunning, ids(all)...); err != nil {
		return fmt.Errorf("after Terminate of no instances: %w", err)
	}
	if err := w.Terminate(ctx, c.narrowed(all[2].ID)); err != nil {
		return fmt.Errorf("Terminate of rank 2: %w", err)
	}
	if err := w.lists(ctx, c.ref, cloud.StateRunning, all[0].ID, all[1].ID); err != nil {
		return fmt.Errorf("after Terminate of rank 2: %w", err)
	}
	if err := w.lists(ctx, c.narrowed(all[0].ID), cloud.StateRunning, all[0].ID); err != nil {
		return fmt.Errorf("narrowed: %w", err)
	}
	return w.machinesAre(ctx, 2)
}

func stopResume(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, min(2, w.most()))
	if err != nil {
		return err
	}
	return c.stopsAndResumes(ctx, all)
}

func (c *cluster) stopsAndResumes(ctx context.Context, all []cloud.Instance) error {
	w := c.w
	running, err := w.count(ctx)
	if err != nil {
		return err
	}
	for _, when := range []string{"Stop", "Stop again"} {
		if err := w.Stop(ctx, c.ref); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		if err := w.lists(ctx, c.ref, cloud.StateStopped, ids(all)...); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
	}
	if _, err := w.Describe(ctx, c.ref); !errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("Describe of a stopped cluster returned %v, want ErrNotFound", err)
	}
	if err := w.countsAre(ctx, running, "stopped,"); err != nil {
		return err
	}
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run of a stopped cluster: %w", err)
	}
	if !sameSet(record.Resumed, ids(all)) || len(record.Created)+len(record.Adopted) > 0 {
		return fmt.Errorf("Run of a stopped cluster reports %+v, want %v resumed", record, ids(all))
	}
	back, err := c.up(ctx)
	if err != nil {
		return err
	}
	for rank := range back {
		if back[rank].ID != all[rank].ID {
			return fmt.Errorf("rank %d came back as %s, was %s", rank, back[rank].ID, all[rank].ID)
		}
	}
	return nil
}

func stopResumeSpot(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 1, market(cloud.Spot))
	if err != nil {
		return err
	}
	return c.stopsAndResumes(ctx, all)
}

// changeStopped: labels of stopped machines change, and the machines stay so.
func changeStopped(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	if err := w.Stop(ctx, c.ref); err != nil {
		return fmt.Errorf("Stop: %w", err)
	}
	c.spec.LeaveStopped = true
	if w.caps.Labels {
		c.spec.Labels = map[string]string{"team": "climate"}
	}
	record, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("Run that leaves stopped machines: %w", err)
	}
	if len(record.Created)+len(record.Resumed) > 0 || !sameSet(record.Adopted, ids(machines)) {
		return fmt.Errorf("it did %+v, want %v adopted", record, ids(machines))
	}
	if err := w.lists(ctx, c.ref, cloud.StateStopped, machines[0].ID); err != nil {
		return err
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	if w.caps.Labels && (len(got[0].Labels) != 1 || got[0].Labels["team"] != "climate") {
		return fmt.Errorf("the labels are %v", got[0].Labels)
	}
	c.spec.LeaveStopped = false
	_, err = c.up(ctx)
	return err
}

func terminateStopped(ctx context.Context, w *world) error {
	c := w.cluster(min(2, w.most()))
	if _, err := c.up(ctx); err != nil {
		return err
	}
	if err := w.Stop(ctx, c.ref); err != nil {
		return fmt.Errorf("Stop: %w", err)
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	return c.gone(ctx)
}

func cannotStop(m cloud.Market) func(context.Context, *world) error {
	return func(ctx context.Context, w *world) error {
		c, all, err := w.up(ctx, 1, market(m))
		if err != nil {
			return err
		}
		if err := w.Stop(ctx, c.ref); err == nil {
			return errors.New("Stop reports success on machines that cannot stop")
		}
		return w.lists(ctx, c.ref, cloud.StateRunning, ids(all)...)
	}
}

func queryByPlace(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	everywhere := cloud.ClusterRef{Owner: w.owner, Cloud: c.ref.Cloud}
	if err := w.lists(ctx, everywhere, cloud.StateRunning, ids(all)...); err != nil {
		return fmt.Errorf("the whole owner: %w", err)
	}
	elsewhere := c.ref
	elsewhere.Region, elsewhere.Zone = "nowhere-1", ""
	got, err := w.Query(ctx, elsewhere)
	if err == nil && len(got) > 0 {
		return fmt.Errorf("another region shows %v", ids(got))
	}
	return nil
}

func waitCancelled(ctx context.Context, w *world) error {
	c, all, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(200*time.Millisecond, cancel) // by then it waits
	defer timer.Stop()
	err, late := guard.Promptly("a cancelled Wait", func() error {
		return w.Wait(waiting, c.ref, cloud.StateTerminated) // it never gets there
	})
	if late != nil {
		return late
	}
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a cancelled Wait returned %v, want the context's error", err)
	}
	return w.lists(ctx, c.ref, cloud.StateRunning, ids(all)...)
}

// waitDied: nobody should wait for what cannot come.
func waitDied(ctx context.Context, w *world) error {
	killer, err := hook[Killer](w)
	if err != nil {
		return err
	}
	c, all, err := w.up(ctx, min(2, w.most()))
	if err != nil {
		return err
	}
	last := all[len(all)-1].ID
	if err := killer.KillMachine(ctx, last); err != nil {
		return fmt.Errorf("kill %s: %w", last, err)
	}
	err, late := guard.Promptly("a Wait for a dead machine", func() error {
		return w.Wait(ctx, c.narrowed(ids(all)...), cloud.StateRunning)
	})
	if late != nil {
		return late
	}
	if err == nil || ctx.Err() != nil {
		return fmt.Errorf("Wait for a dead machine returned %v, want an error at once", err)
	}
	return nil
}
