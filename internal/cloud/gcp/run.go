// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Run implements cloud.Provisioner.
func (d *driver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	var record cloud.RunRecord
	if err := checkSpec(cfg.Spec, cfg.Placement); err != nil {
		return record, err
	}
	ref.Instances = nil
	found, err := d.look(ctx, ref)
	if err != nil {
		return record, err
	}
	plan, err := fleet.Sort(ref, cfg.Spec.Nodes, found.staying(), func(m machine) cloud.Instance { return m.portable(d.sshPort) },
		func(m machine) error { return m.stuck(cloud.StateRunning) })
	if err != nil {
		return record, err
	}
	for _, m := range plan.Adopt {
		if err := d.adopt(ctx, m, cfg, &record); err != nil {
			return record, err
		}
	}
	if err := d.create(ctx, plan.Create, cfg, &record); err != nil {
		return record, err
	}
	return record, d.checkSingle(ctx, ref, cfg.Spec.Nodes, record)
}

// adopt takes a machine that is there: it brings its labels up to date and
// resumes it where it is stopped.
func (d *driver) adopt(ctx context.Context, m machine, cfg cloud.RunConfig, record *cloud.RunRecord) error {
	if err := checkPlace(m, cfg.Placement); err != nil {
		return err
	}
	err := d.setLabels(ctx, m, cfg.Spec)
	if err != nil && isTransient(err) { // a lost answer, or somebody else was quicker: look again
		var now *machine
		if now, err = d.get(ctx, m.zone, m.id); err == nil && now != nil {
			err = d.setLabels(ctx, *now, cfg.Spec)
		}
	}
	if err != nil {
		return fmt.Errorf("label machine %s: %w", m, err)
	}
	left := cfg.Spec.LeaveStopped && (m.state == cloud.StateStopped || m.state == cloud.StateStopping)
	if left || m.state == cloud.StatePending || m.state == cloud.StateRunning {
		record.Adopted = append(record.Adopted, m.id)
		return nil
	}
	if err := d.resume(ctx, m); err != nil {
		return fmt.Errorf("start machine %s (rank %d): %w", m, m.identity.Rank, err)
	}
	record.Resumed = append(record.Resumed, m.id)
	return nil
}

// resume starts a stopped machine, once it is stopped. A lack of capacity is
// the operation's own error; the machine then stays stopped, with its disk.
func (d *driver) resume(ctx context.Context, m machine) error {
	missed := 0
	return d.watch(ctx, m.ref(), func(ctx context.Context, c census) (bool, error) {
		if len(c.machines) == 0 {
			if missed++; missed >= d.missingLooks {
				return false, fmt.Errorf("it is not there any more: %w", cloud.ErrNotFound)
			}
			return false, nil
		}
		switch now := c.machines[0]; now.state {
		case cloud.StatePending, cloud.StateRunning:
			return true, nil
		case cloud.StateStopped:
			return false, d.c.do(ctx, "start machine "+m.name, func(ctx context.Context) (*compute.Operation, error) {
				if now.status == "SUSPENDED" {
					return d.c.api.resumeInstance(ctx, m.zone, m.id)
				}
				return d.c.api.startInstance(ctx, m.zone, m.id)
			})
		case cloud.StateTerminating, cloud.StateTerminated:
			return false, now.stuck(cloud.StateRunning)
		case cloud.StateStopping, cloud.StateUnknown:
		}
		return false, nil
	})
}

// create launches the nodes in rank order.
func (d *driver) create(ctx context.Context, nodes []cloud.NodeSpec, cfg cloud.RunConfig, record *cloud.RunRecord) error {
	made, errs := fleet.Launch(parallel, nodes, func(n cloud.NodeSpec) (string, error) { return d.createOne(ctx, n, cfg) })
	record.Created = made
	return errors.Join(errs...)
}

// replays is how many operations of earlier failures may come before a new one.
const replays = 8

// createOne launches one machine. The id may come together with an error: the
// machine is there, but not as asked for.
func (d *driver) createOne(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig) (string, error) {
	rank, zone := n.Identity.Rank, cfg.Placement.Offer.Zone
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("launch rank %d: %w", rank, context.Cause(ctx))
	}
	in, err := d.instance(n, cfg)
	if err != nil {
		return "", err
	}
	d.recent.expect(n.Identity, zone, in.Name)
	for try := 0; ; try++ {
		op, err := d.insert(ctx, zone, in, requestID(n.Identity, try))
		answered := op != nil && op.Status == "DONE"
		if err == nil {
			err = d.c.await(ctx, op)
		}
		var failed *OperationError
		switch {
		case err == nil:
			id, err := d.launched(ctx, n, cfg, op)
			return id, wrapLaunch(rank, zone, err)
		case hasCode(err, codeExists, codeExistsOp):
			id, err := d.existing(ctx, n, cfg, in.Name)
			return id, wrapLaunch(rank, zone, err)
		case errors.As(err, &failed) && answered && try < replays:
			continue // that was an earlier failure, told again
		case isRefused(err):
			d.recent.drop(zone, in.Name)
		}
		return "", wrapLaunch(rank, zone, err)
	}
}

func wrapLaunch(rank int, zone string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("launch rank %d in %s: %w", rank, zone, err)
}

// insert asks for the machine. The request id makes it safe to ask again.
func (d *driver) insert(ctx context.Context, zone string, in *compute.Instance, request string) (*compute.Operation, error) {
	op, err := call(ctx, d.c, "insert "+in.Name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.insertInstance(ctx, zone, in, request)
	})
	if err == nil {
		d.recent.accepted(zone, in.Name, op.Name)
	}
	return op, err
}

// launched finds the machine that an insert made. One that is gone already was
// made by an earlier request for the same machine.
func (d *driver) launched(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig, op *compute.Operation) (string, error) {
	var m *machine
	looks := d.poll
	looks.Attempts = d.missingLooks
	err := retry.Poll(ctx, looks, func(ctx context.Context) (bool, error) {
		var err error
		m, err = d.get(ctx, cfg.Placement.Offer.Zone, strconv.FormatUint(op.TargetId, 10))
		return m != nil, err
	})
	switch {
	case m == nil && ctx.Err() == nil && (err == nil || !isTransient(err)) && len(causesOf(err)) == 0:
		d.recent.drop(cfg.Placement.Offer.Zone, n.Identity.Name(maxNameLength))
		return "", fmt.Errorf("machine %d was there and is gone: %w", op.TargetId, cloud.ErrSpent)
	case m == nil:
		return "", err
	}
	return d.accept(ctx, *m, n, cfg)
}

// existing takes a machine that somebody else made of the same identity.
func (d *driver) existing(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig, name string) (string, error) {
	m, err := d.get(ctx, cfg.Placement.Offer.Zone, name)
	switch {
	case err != nil:
		return "", err
	case m == nil:
		return "", &fleet.MachineError{ID: name, Rank: n.Identity.Rank, State: cloud.StateTerminating, Reason: "one of its name is being removed", Want: cloud.StateRunning}
	case !m.owned || m.identity != n.Identity:
		d.recent.drop(m.zone, m.name)
		return "", fleet.ConfigErrorf(cloud.ScopeZone, "machine %s has the name of rank %d and is somebody else's", m, n.Identity.Rank)
	}
	return d.accept(ctx, *m, n, cfg)
}

// accept checks a machine that was just made. One that cannot be found again by
// its labels is removed at once, since nobody else ever would.
func (d *driver) accept(ctx context.Context, m machine, n cloud.NodeSpec, cfg cloud.RunConfig) (string, error) {
	if !m.owned || m.identity != n.Identity {
		end := d.remove(context.WithoutCancel(ctx), m)
		return m.id, errors.Join(fmt.Errorf("machine %s does not keep its ownership labels and was removed", m), end)
	}
	d.recent.saw(m)
	if m.state == cloud.StateTerminating {
		return "", fmt.Errorf("%w: %w", m.stuck(cloud.StateRunning), cloud.ErrSpent)
	}
	return m.id, checkPlace(m, cfg.Placement)
}

// checkPlace refuses a machine that is not what the placement says.
func checkPlace(m machine, at cloud.Placement) error {
	o := at.Offer
	if m.zone == o.Zone && m.typ == o.InstanceType.Name && (o.Market == "" || m.market == o.Market) {
		return nil
	}
	return fleet.ConfigErrorf(cloud.ScopeZone, "machine %s (rank %d) is a %s %s in %s, not %s",
		m, m.identity.Rank, m.market, m.typ, m.zone, at)
}

// checkSingle looks once more after launches: a machine nobody knows of was
// made by somebody else with the cluster's identity.
func (d *driver) checkSingle(ctx context.Context, ref cloud.ClusterRef, nodes []cloud.NodeSpec, record cloud.RunRecord) error {
	if len(record.Created) == 0 {
		return nil
	}
	found, err := d.look(ctx, ref)
	if err != nil {
		return fmt.Errorf("look again after launching: %w", err)
	}
	return fleet.CheckSingle(ref, nodes, record, ids(found.staying())) //nolint:wrapcheck // it names the cluster
}
