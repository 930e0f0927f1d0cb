// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// sweep looks for machines of this launch that came late, after their attempt
// was observed gone, and for those of generations that were, and removes them.
// Those of the present attempt stay; it is nil between two attempts, and is the
// one about to be committed, unless it has a rival. It returns the ids of the
// survivors with an error.
func (l *launch) sweep(ctx context.Context, present *attempt) ([]string, error) {
	ctx, cancel := detached(ctx, l.cfg.Timeouts.Cleanup)
	defer cancel()
	var clouds []string
	if present != nil {
		clouds = l.openCandidates(ctx)
	}
	for _, g := range l.journal.generations() {
		for _, p := range g.places() {
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
	err := retry.Do(ctx, policy, func(ctx context.Context) (err error) {
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
	for _, f := range census {
		if survivors, err := l.sweepFound(ctx, f, present); err != nil {
			return survivors, err
		}
	}
	return nil, nil
}

// denied reports whether err is one of credentials, which waiting cannot cure.
func (b *Broker) denied(ctx context.Context, clouds []string, err error) bool {
	return slices.ContainsFunc(clouds, func(name string) bool {
		session, serr := b.session(ctx, name)
		return serr == nil && session.Classify(err).Kind == cloud.KindAuth
	})
}

func (l *launch) sweepFound(ctx context.Context, f found, present *attempt) ([]string, error) {
	if g := l.journal.find(f.generation); g == nil || (f.generation != l.gen && !g.late(f)) {
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
		return idsOf(late), err
	}
	ref := cloud.ClusterRef{Owner: l.owner, Cluster: l.spec.Name, Generation: f.generation, Cloud: f.cloud, Instances: idsOf(late)}
	r := l.removal(session, ref, idsOf(late))
	r.keepRules = true
	return r.do(ctx)
}
