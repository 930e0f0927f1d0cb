// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/change"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/held"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/observe"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// state is the state folder, as this broker works with it.
func (b *Broker) state() statedir.Dir {
	return statedir.Dir{
		Path: b.cfg.StateDir, Home: b.cfg.Home, KeyPath: b.cfg.KeyPath, Own: b.cfg.Signers, Bastion: b.cfg.Bastion,
		Log: b.cfg.Log, Now: b.cfg.Now, Hooks: b.hooks, Busy: b.busy,
	}
}

// folder is the folder for the broker's own clusters of a name.
func (b *Broker) folder(name string) statedir.Folder { return b.state().Cluster(b.owner, name) }

// folderOf is the folder of a cluster, whose owner may be another than the
// broker's: the provider's owner was changed since.
func (b *Broker) folderOf(c cluster.Cluster) statedir.Folder {
	return b.state().Cluster(cmp.Or(c.Owner, b.owner), c.Name)
}

// LogPath is the file that holds everything that launches of a cluster did.
func (b *Broker) LogPath(name string) string { return b.folder(name).LogPath() }

// KnownHostsPath is a known_hosts file with the pinned keys of a cluster's nodes.
func (b *Broker) KnownHostsPath(c cluster.Cluster) string { return b.folderOf(c).KnownHostsPath() }

// KeyFile is the file on this computer with a key that the cluster's machines
// accept; empty is none: the key is not here, or is no file.
func (b *Broker) KeyFile(c cluster.Cluster) string { return b.folderOf(c).KeyFile(c) }

// SignersOf are the keys to log in to the cluster's machines with. None at all is
// a *cluster.MissingKeyError.
func (b *Broker) SignersOf(c cluster.Cluster) ([]ssh.Signer, error) { return b.folderOf(c).Signers(c) }

// SaveSettings keeps text beside the cluster's record until the cluster is
// removed. The broker does not look into it.
func (b *Broker) SaveSettings(c cluster.Cluster, text []byte) error {
	return b.folderOf(c).SaveSettings(c, text)
}

// Settings returns what was saved last, nil where nothing was or where it
// cannot be read.
func (b *Broker) Settings(c cluster.Cluster) []byte { return b.folderOf(c).Settings(c) }

// WriteSSHFiles renews known_hosts and ssh_config of a cluster that this state
// folder need not know. A folder that cannot be written to hinders nothing else.
func (b *Broker) WriteSSHFiles(ctx context.Context, c cluster.Cluster) {
	b.folderOf(c).RenewSSHFilesOf(ctx, c)
}

// reach is how this broker reaches the nodes of clusters.
func (b *Broker) reach() nodes.Reach {
	return nodes.Reach{
		Connect: b.dial, Bastion: b.cfg.Bastion, Patience: b.cfg.Timeouts.SSH, Folder: b.folderOf, Ended: b.ended,
		TemplateDir: b.cfg.TemplateDir, StateDir: b.cfg.StateDir, Log: b.cfg.Log, Now: b.cfg.Now,
	}
}

// ended reports whether the cloud says that a machine does not run. A cloud that
// cannot be asked says nothing.
func (b *Broker) ended(ctx context.Context, c cluster.Cluster, n cluster.Node) bool {
	session, err := b.down().OpenFor(ctx, c)
	return err == nil && clouds.Ended(ctx, session, b.cfg.Timeouts.Gone, c, n)
}

// Teardown is how this broker removes what was launched. It is an error where the
// owner id is good for this process alone: what it looks for cannot be there.
func (b *Broker) Teardown() (teardown.Teardown, error) { return b.down(), b.owned() }

// down is how this broker removes what was launched.
func (b *Broker) down() teardown.Teardown {
	t := b.cfg.Timeouts
	return teardown.Teardown{
		Owner: b.owner, Clouds: b.clouds, State: b.state(), Gone: t.Gone, ListDelay: t.ListDelay, Cleanup: t.Cleanup, Now: b.cfg.Now, Log: b.cfg.Log,
	}
}

// marks are the marks of what Terraform holds.
func (b *Broker) marks() held.Marks {
	return held.Marks{Owner: b.owner, State: b.state(), Memory: &b.memory}
}

// observer is how this broker finds clusters and looks at them.
func (b *Broker) observer() observe.Observer {
	return observe.Observer{Down: b.down(), Reach: b.reach(), Held: b.marks()}
}

// maker is how this broker brings machines up.
func (b *Broker) maker() bringup.Maker {
	return bringup.Maker{Reach: b.reach(), Clouds: b.clouds, Timeouts: b.cfg.Timeouts, Images: b.cfg.Images, Queue: &b.queue}
}

// changer is how this broker changes clusters.
func (b *Broker) changer() change.Changer {
	return change.Changer{Down: b.down(), Observer: b.observer(), Make: b.maker()}
}
