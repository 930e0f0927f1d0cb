// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// sweep looks for machines of this launch that came late, after their attempt
// was observed gone, and for those of generations that were, and removes them.
// Those of the present attempt stay; it is nil between two attempts, and is the
// one about to be committed, unless another launch goes first. It returns the survivors with
// an error.
func (l *launch) sweep(ctx context.Context, present *bringup.BringUp) (survivors []clouds.Machines, err error) {
	ctx, cancel := teardown.Detached(ctx, l.down.Cleanup)
	defer cancel()
	var where []string
	if present != nil {
		where = l.openCandidates(ctx)
	}
	for _, g := range l.journal.Generations() {
		for _, p := range g.AllPlaces() {
			_, err := l.down.Clouds.Open(ctx, p.Ref.Cloud)
			if err == nil && !slices.Contains(where, p.Ref.Cloud) {
				where = append(where, p.Ref.Cloud)
			}
		}
	}
	var inventory []clouds.Machines
	policy := teardown.RemovePolicy()
	if present != nil {
		policy.Attempts = 1
	}
	err = retry.Do(ctx, policy, func(ctx context.Context) (err error) {
		if inventory, err = l.down.Clouds.Inventory(ctx, l.down.Owner, l.spec.Name, where); err != nil && l.denied(ctx, where, err) {
			return retry.Stop(err)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for machines that came late: %w", err)
	}
	if present != nil {
		if err := l.checkConcurrent(inventory); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, f := range inventory {
		if left, err := l.removeStragglers(ctx, f, present); err != nil {
			survivors, errs = append(survivors, left...), append(errs, err)
		}
	}
	return survivors, errors.Join(errs...)
}

// denied reports whether err is one of credentials, which waiting cannot cure.
func (l *launch) denied(ctx context.Context, where []string, err error) bool {
	return slices.ContainsFunc(where, func(name string) bool {
		session, serr := l.down.Clouds.Open(ctx, name)
		return serr == nil && session.Classify(err).Kind == cloud.KindAuth
	})
}

// removeStragglers removes what came late of a generation on a cloud. It returns the
// survivors, by region, with an error.
func (l *launch) removeStragglers(ctx context.Context, f clouds.Machines, present *bringup.BringUp) ([]clouds.Machines, error) {
	if g := l.journal.Find(f.Generation); g == nil || (f.Generation != l.gen && !g.Straggles(f.Committed())) {
		return nil, nil
	}
	late := slices.DeleteFunc(f.Alive, func(i cloud.Instance) bool {
		return present != nil && slices.Contains(present.Created, i.ID)
	})
	if len(late) == 0 {
		return nil, nil
	}
	l.log.WarnContext(ctx, "removing machines that came late", "generation", f.Generation, "instances", clouds.IDText(late))
	session, err := l.down.Clouds.Open(ctx, f.Cloud)
	if err != nil {
		f.Alive = late
		return l.noteStragglers(ctx, "", f), err
	}
	ref := cloud.ClusterRef{Owner: l.down.Owner, Cluster: l.spec.Name, Generation: f.Generation, Cloud: f.Cloud, Instances: clouds.IDs(late)}
	r := l.down.Removal(session, ref, clouds.IDs(late))
	r.KeepRules = true
	survivors, err := r.Do(ctx)
	if err == nil {
		return nil, nil
	}
	f.Alive = slices.DeleteFunc(late, func(i cloud.Instance) bool { return !slices.Contains(survivors, i.ID) })
	return l.noteStragglers(ctx, session.Account, f), err
}

// noteStragglers takes machines that came late and could not be removed apart by
// region, and records where they are: their attempt was observed gone, and
// nobody would look there again. Those of another generation need no record,
// since every launch and removal looks for them.
func (l *launch) noteStragglers(ctx context.Context, account string, f clouds.Machines) []clouds.Machines {
	var out []clouds.Machines
	for _, inst := range f.Alive {
		at := slices.IndexFunc(out, func(o clouds.Machines) bool { return o.Alive[0].Region == inst.Region })
		if at < 0 {
			at = len(out)
			out = append(out, clouds.Machines{Cloud: f.Cloud, Generation: f.Generation})
		}
		out[at].Alive = append(out[at].Alive, inst)
	}
	if f.Generation != l.gen {
		return out
	}
	for _, o := range out {
		ref := cloud.ClusterRef{Owner: l.down.Owner, Cluster: l.spec.Name, Generation: f.Generation, Cloud: f.Cloud, Region: o.Alive[0].Region}
		l.note(ctx, journal.Entry{Event: journal.EventStraggler, Generation: l.gen, Ref: &ref, Account: account, Instances: clouds.IDs(o.Alive)})
	}
	return out
}

// placementOf is where machines of another attempt came late and live.
func (l *launch) placementOf(f clouds.Machines) cloud.Placement {
	first := f.Alive[0]
	for _, row := range slices.Backward(l.attempts) {
		o := row.Placement.Offer
		if o.Cloud == f.Cloud && o.Region == first.Region && (o.Zone == "" || o.Zone == first.Zone) && o.InstanceType.Name == first.Type {
			return row.Placement
		}
	}
	return cloud.Placement{Nodes: len(f.Alive), Offer: cloud.Offer{
		Cloud: f.Cloud, Region: first.Region, Zone: first.Zone, Market: first.Market, InstanceType: cloud.InstanceType{Name: first.Type},
	}}
}
