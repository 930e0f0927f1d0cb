// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// What each user of the broker asks of it.
var _ interface {
	launcher
	changer
	refresher
	planner
	finder
	clusterFiles
} = (*broker.Broker)(nil)

// launcher makes and removes clusters.
type launcher interface {
	Launch(ctx context.Context, spec broker.Spec) (broker.Cluster, error)
	Stop(ctx context.Context, c broker.Cluster) (broker.Cluster, error)
	Destroy(ctx context.Context, c broker.Cluster) error
}

// changer changes clusters in place.
type changer interface {
	Update(ctx context.Context, c broker.Cluster, spec broker.Spec, what broker.Changes) (broker.Cluster, error)
	Resize(ctx context.Context, c broker.Cluster, spec broker.Spec, nodes int) (broker.Cluster, error)
	Restore(ctx context.Context, c broker.Cluster, spec broker.Spec) (broker.Cluster, error)
	Start(ctx context.Context, c broker.Cluster, spec broker.Spec) (broker.Cluster, error)
	Stop(ctx context.Context, c broker.Cluster) (broker.Cluster, error)
}

// refresher says what became of clusters.
type refresher interface {
	Refresh(ctx context.Context, c broker.Cluster) (broker.Cluster, error)
	RemoveLeftovers(ctx context.Context, c broker.Cluster) error
	Drift(ctx context.Context, c broker.Cluster, spec broker.Spec) ([]string, error)
}

// planner is what a plan tells and asks beside the catalogs.
type planner interface {
	NoteHeld(ctx context.Context, owner, name, generation string)
	NoteReplacement(ctx context.Context, name string, held ...broker.Cluster) error
	Strangers(ctx context.Context, name string, clouds []string) []cloud.Thing
}

// finder finds clusters that this state does not hold.
type finder interface {
	Find(ctx context.Context, id string) (broker.Cluster, error)
	FindByName(ctx context.Context, name string, clouds []string) (broker.Cluster, error)
	Observe(ctx context.Context, c broker.Cluster) (broker.Cluster, error)
	WriteSSHFiles(ctx context.Context, c broker.Cluster)
}

// clusterFiles are what this computer keeps of clusters.
type clusterFiles interface {
	KeyFile(c broker.Cluster) string
	KnownHostsPath(c broker.Cluster) string
	SaveSettings(c broker.Cluster, text []byte) error
	Settings(c broker.Cluster) []byte
}
