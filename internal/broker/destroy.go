// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Destroy removes the cluster's machines, rules and keys, and returns only
// after their absence was observed. A cluster that is gone already is success.
// What an unfinished launch of the same name left goes with it.
func (b *Broker) Destroy(ctx context.Context, c Cluster) error {
	release, err := b.lockCluster(ctx, c.Name, "destroying")
	if err != nil {
		return err
	}
	defer release()
	session, err := b.openFor(ctx, c)
	if err != nil {
		return fmt.Errorf("nothing was removed: %w", err)
	}
	return b.withJournal(c.Name, func(j *journal) error {
		if err := b.removeCluster(ctx, session, j, c); err != nil {
			return err
		}
		return b.removeStrays(ctx, j, c)
	})
}

func (b *Broker) removeCluster(ctx context.Context, session cloud.Session, j *journal, c Cluster) error {
	ref := c.ref()
	known := c.instanceIDs()
	if err := j.append(entry{Event: eventRemoving, Generation: c.Generation, Ref: &ref, Instances: known}); err != nil {
		return err
	}
	b.log.InfoContext(ctx, "removing the cluster", "cluster", c.Name, "generation", c.Generation, "instances", known)
	r := removal{session: session, ref: ref, known: known, gone: b.cfg.Timeouts.Gone}
	if survivors, err := r.do(ctx); err != nil {
		return fmt.Errorf("cluster %q is not removed; still alive: %v: %w", c.Name, survivors, err)
	}
	return b.forget(j, c.Name, c.Generation)
}

// forget records that a generation is gone and deletes its keys.
func (b *Broker) forget(j *journal, name, gen string) error {
	if err := j.append(entry{Event: eventRemoved, Generation: gen}); err != nil {
		return err
	}
	err := removeKeys(b.ClusterDir(name), gen)
	for _, g := range slices.Backward(j.generations()) {
		if g.Complete && !g.Removed && g.Cluster != nil {
			return errors.Join(err, b.writeKnownHosts(*g.Cluster))
		}
	}
	if rerr := os.Remove(b.KnownHostsPath(name)); rerr != nil && !isMissing(rerr) {
		err = errors.Join(err, rerr)
	}
	return err
}

// removeStrays removes what the journal knows of unfinished launches.
func (b *Broker) removeStrays(ctx context.Context, j *journal, c Cluster) error {
	for _, g := range j.generations() {
		if g.Removed || g.Complete || g.ID == c.Generation {
			continue
		}
		for _, ref := range g.Refs {
			session, err := b.session(ctx, ref.Cloud)
			if err != nil {
				return fmt.Errorf("an unfinished launch of cluster %q may have left machines in %s: %w", c.Name, cloud.ShortPlace(ref.Cloud, ref.Region, ref.Zone), err)
			}
			r := removal{session: session, ref: ref, gone: b.cfg.Timeouts.Gone}
			if survivors, err := r.do(ctx); err != nil {
				return fmt.Errorf("an unfinished launch of cluster %q left %v: %w", c.Name, survivors, err)
			}
		}
		if err := b.forget(j, c.Name, g.ID); err != nil {
			return err
		}
	}
	return nil
}
