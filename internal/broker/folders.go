// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// state is the state folder, as this broker works with it.
func (b *Broker) state() statedir.Dir {
	return statedir.Dir{
		Path: b.cfg.StateDir, Home: b.cfg.Home, KeyPath: b.cfg.KeyPath, Own: b.cfg.Signers, Bastion: b.cfg.Bastion,
		Log: b.log, Now: b.cfg.Now, Hooks: b.hooks, Busy: b.busy,
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
	if err := b.folderOf(c).WriteSSHFiles(c); err != nil {
		b.log.WarnContext(ctx, "known_hosts and ssh_config could not be written", "cluster", c.Name, "error", err)
	}
}
