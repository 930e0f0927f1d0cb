// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"
)

// RemoveLeftovers removes what the cloud keeps of a cluster whose machines are
// gone (ErrGone), rules and keys. It removes no machine, no cloud removes rules
// that a machine still uses, and the private key on this computer stays, so a
// mistake about the machines does no harm.
func (b *Broker) RemoveLeftovers(ctx context.Context, c Cluster) error {
	return b.removeLeftovers(ctx, c, true)
}

// removeLeftovers is RemoveLeftovers; lost says that nobody wanted the end.
func (b *Broker) removeLeftovers(ctx context.Context, c Cluster, lost bool) error {
	b.actFor(c.Name, c.Owner)
	release, err := b.lockOrGoOn(ctx, c.Name, "removing leftovers")
	if err != nil {
		return err
	}
	defer release()
	session, err := b.openFor(ctx, c)
	if err != nil {
		return err
	}
	return b.withKnown(ctx, c.Name, func(j *journal) error {
		if lost {
			if err := noteLost(j, c.Generation); err != nil {
				b.log.WarnContext(ctx, "the loss of a cluster is not recorded", "cluster", c.Name, "error", err)
			}
		}
		if err := session.CleanupPorts(ctx, c.ref()); err != nil {
			return fmt.Errorf("remove the rules and keys of cluster %q: %w", c.Name, err)
		}
		if g := j.find(c.Generation); lost && (g == nil || !g.livesBeside(c)) {
			// No destroy will come by: its state goes. Its keys stay, for the next launch
			// of the name or gc to delete: should the cloud be wrong, no other opens it.
			b.noteRemoved(ctx, j, c.Name, c.Generation)
		}
		return nil
	})
}

// livesBeside reports whether machines of the generation may be in another place
// than the cluster's, left by attempts that failed.
func (g *generation) livesBeside(c Cluster) bool {
	return slices.ContainsFunc(g.Places, func(p place) bool {
		return !p.Removed && (p.Ref.Cloud != c.Cloud || p.Ref.Region != c.Region)
	})
}
