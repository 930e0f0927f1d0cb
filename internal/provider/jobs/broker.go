// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

var (
	_ clusters = (*broker.Broker)(nil)
	_ keyRing  = (*broker.Broker)(nil)
	_ current  = (*broker.Broker)(nil)
)

// clusters is what jobs ask the broker about the machines that they run on.
type clusters interface {
	Find(ctx context.Context, id string) (cluster.Cluster, error)
	FindGeneration(ctx context.Context, id string, w broker.Whose) (cluster.Cluster, error)
	Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	Refresh(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	Owner() string
	LogPath(name string) string
}

// keyRing has the keys that log in there.
type keyRing interface {
	SignersOf(c cluster.Cluster) ([]ssh.Signer, error)
}

// current knows which generation of a cluster is there now, as far as this
// process has seen.
type current interface{ Current(id string) string }
