// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
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
	Launch(ctx context.Context, spec broker.Spec) (cluster.Cluster, error)
	Stop(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	Destroy(ctx context.Context, c cluster.Cluster) error
}

// changer changes clusters in place.
type changer interface {
	Update(ctx context.Context, c cluster.Cluster, spec broker.Spec, what broker.Changes) (cluster.Cluster, error)
	Resize(ctx context.Context, c cluster.Cluster, spec broker.Spec, nodes int) (cluster.Cluster, error)
	Restore(ctx context.Context, c cluster.Cluster, spec broker.Spec) (cluster.Cluster, error)
	Start(ctx context.Context, c cluster.Cluster, spec broker.Spec) (cluster.Cluster, error)
	Stop(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
}

// refresher says what became of clusters.
type refresher interface {
	Refresh(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	RemoveRules(ctx context.Context, c cluster.Cluster) error
	Drift(ctx context.Context, c cluster.Cluster, spec broker.Spec) ([]string, error)
	Forgotten(ctx context.Context, cloudName string) ([]cloud.Instance, error)
}

// planner is what a plan tells and asks beside the catalogs.
type planner interface {
	NoteHeld(ctx context.Context, owner, name, generation string)
	NoteReplacement(ctx context.Context, name string, held ...cluster.Cluster) error
	Strangers(ctx context.Context, name string, clouds []string) []cloud.Thing
}

// finder finds clusters that this state does not hold.
type finder interface {
	Find(ctx context.Context, id string) (cluster.Cluster, error)
	FindByName(ctx context.Context, name string, clouds []string) (cluster.Cluster, error)
	Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	WriteSSHFiles(ctx context.Context, c cluster.Cluster)
}

// clusterFiles are what this computer keeps of clusters.
type clusterFiles interface {
	KeyFile(c cluster.Cluster) string
	KnownHostsPath(c cluster.Cluster) string
	SaveSettings(c cluster.Cluster, text []byte) error
	Settings(c cluster.Cluster) []byte
}
