// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// adoptable reports whether a complete generation is the lost result of this
// very launch: same home, same spec, never seen in state, all machines there
// and the key on this computer.
func (l *launch) adoptable(g *journal.Generation, alive []cloud.Instance) bool {
	own := l.memory.Launched(g.ID)
	if own || g.Recorded || g.Cluster == nil || g.Home != l.down.State.Home || g.Digest != l.digest {
		return false
	}
	running := 0
	for _, inst := range alive {
		if inst.State == cloud.StateRunning {
			running++
		}
	}
	return running == g.Cluster.Size && len(alive) == running && l.reaches(*g.Cluster)
}

// adopt finishes the commit of a generation that a crash kept from state.
func (l *launch) adopt(ctx context.Context, g *journal.Generation) (*cluster.Cluster, error) {
	c := *g.Cluster
	l.log.WarnContext(ctx, "adopting the cluster of an earlier launch that was cut off before its state was saved", "generation", g.ID)
	session, err := l.down.Clouds.Open(ctx, c.Cloud)
	if err != nil {
		return nil, err
	}
	if err := session.Commit(ctx, c.Ref()); err != nil {
		return nil, fmt.Errorf("adopt generation %s: %w", g.ID, err)
	}
	if err := l.journal.Append(journal.Entry{Event: journal.EventCommitted, Generation: g.ID, Cluster: &c}); err != nil {
		return nil, err
	}
	l.memory.NoteLaunched(g.ID, l.spec.Name)
	return &c, nil
}

func (l *launch) taken(cloudName string, g *journal.Generation, alive []cloud.Instance) error {
	e := &ImportError{Name: l.spec.Name, ID: cloudName + "/" + alive[0].Region + "/" + l.spec.Name}
	for _, inst := range alive {
		e.Instances = append(e.Instances, inst.ID)
	}
	if g != nil {
		e.Home = g.Home
		own := l.memory.Launched(g.ID)
		e.Edited = !own && g.LaunchedHere && !g.Recorded && g.Home == l.down.State.Home && g.Digest != l.digest
		e.Ended = !own && g.LaunchedHere && g.Recorded && g.Home == l.down.State.Home
	}
	return e
}
