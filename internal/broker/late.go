// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// sweep looks for machines of this launch that came late, after their attempt
// was observed gone, and for those of generations that were, and removes them.
// Those of the present attempt stay; it is nil between two attempts, and is the
// one about to be committed, unless it has a rival. It returns the survivors with
// an error.
func (l *launch) sweep(ctx context.Context, present *attempt) (survivors []found, err error) {
	ctx, cancel := detached(ctx, l.cfg.Timeouts.Cleanup)
	defer cancel()
	var clouds []string
	if present != nil {
		clouds = l.openCandidates(ctx)
	}
	for _, g := range l.journal.Generations() {
		for _, p := range g.AllPlaces() {
			_, err := l.session(ctx, p.Ref.Cloud)
			if err == nil && !slices.Contains(clouds, p.Ref.Cloud) {
				clouds = append(clouds, p.Ref.Cloud)
			}
		}
	}
	var census []found
	policy := removePolicy()
	if present != nil {
		policy.Attempts = 1
	}
	err = retry.Do(ctx, policy, func(ctx context.Context) (err error) {
		if census, err = l.takeCensus(ctx, l.spec.Name, clouds); err != nil && l.denied(ctx, clouds, err) {
			return retry.Stop(err)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for machines that came late: %w", err)
	}
	if present != nil {
		if err := present.rival(census); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, f := range census {
		if left, err := l.sweepFound(ctx, f, present); err != nil {
			survivors, errs = append(survivors, left...), append(errs, err)
		}
	}
	return survivors, errors.Join(errs...)
}

// denied reports whether err is one of credentials, which waiting cannot cure.
func (b *Broker) denied(ctx context.Context, clouds []string, err error) bool {
	return slices.ContainsFunc(clouds, func(name string) bool {
		session, serr := b.session(ctx, name)
		return serr == nil && session.Classify(err).Kind == cloud.KindAuth
	})
}

// sweepFound removes what came late of a generation on a cloud. It returns the
// survivors, by region, with an error.
func (l *launch) sweepFound(ctx context.Context, f found, present *attempt) ([]found, error) {
	if g := l.journal.Find(f.generation); g == nil || (f.generation != l.gen && !g.Straggles(f.committed())) {
		return nil, nil
	}
	late := slices.DeleteFunc(f.alive, func(i cloud.Instance) bool {
		return present != nil && slices.Contains(present.created, i.ID)
	})
	if len(late) == 0 {
		return nil, nil
	}
	l.log.WarnContext(ctx, "removing machines that came late", "generation", f.generation, "instances", ids(late))
	session, err := l.session(ctx, f.cloud)
	if err != nil {
		f.alive = late
		return l.noteLate(ctx, "", f), err
	}
	ref := cloud.ClusterRef{Owner: l.owner, Cluster: l.spec.Name, Generation: f.generation, Cloud: f.cloud, Instances: idsOf(late)}
	r := l.removal(session, ref, idsOf(late))
	r.keepRules = true
	survivors, err := r.do(ctx)
	if err == nil {
		return nil, nil
	}
	f.alive = slices.DeleteFunc(late, func(i cloud.Instance) bool { return !slices.Contains(survivors, i.ID) })
	return l.noteLate(ctx, session.Account, f), err
}

// noteLate takes machines that came late and could not be removed apart by
// region, and records where they are: their attempt was observed gone, and
// nobody would look there again. Those of another generation need no record,
// since every launch and removal looks for them.
func (l *launch) noteLate(ctx context.Context, account string, f found) []found {
	var out []found
	for _, inst := range f.alive {
		at := slices.IndexFunc(out, func(o found) bool { return o.alive[0].Region == inst.Region })
		if at < 0 {
			at = len(out)
			out = append(out, found{cloud: f.cloud, generation: f.generation})
		}
		out[at].alive = append(out[at].alive, inst)
	}
	if f.generation != l.gen {
		return out
	}
	for _, o := range out {
		ref := cloud.ClusterRef{Owner: l.owner, Cluster: l.spec.Name, Generation: f.generation, Cloud: f.cloud, Region: o.alive[0].Region}
		l.note(ctx, journal.Entry{Event: journal.EventStraggler, Generation: l.gen, Ref: &ref, Account: account, Instances: idsOf(o.alive)})
	}
	return out
}

// allIDs are the ids of all machines found.
func allIDs(all []found) []string {
	var out []string
	for _, f := range all {
		out = append(out, idsOf(f.alive)...)
	}
	return out
}

// insteadAt is the attempt as if it had been made where machines of another one
// came late and live.
func (a *attempt) insteadAt(f found) *attempt {
	first := f.alive[0]
	other := *a
	other.placement = cloud.Placement{Nodes: len(f.alive), Offer: cloud.Offer{
		Cloud: f.cloud, Region: first.Region, Zone: first.Zone, Market: first.Market, InstanceType: cloud.InstanceType{Name: first.Type},
	}}
	for _, row := range a.attempts {
		o := row.Placement.Offer
		if o.Cloud == f.cloud && o.Region == first.Region && (o.Zone == "" || o.Zone == first.Zone) && o.InstanceType.Name == first.Type {
			other.placement = row.Placement
		}
	}
	return &other
}
