// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Accepted are the keys of this computer that a running node of the cluster lets
// in. New nodes get these and no others: a colleague's own key would open them
// alone, and nobody could use the cluster as a whole. Where no node runs, none can
// be asked, and all keys that may be the cluster's count.
func (via Reach) Accepted(ctx context.Context, c cluster.Cluster) ([]ssh.Signer, error) {
	signers, err := via.signers(c)
	i := slices.IndexFunc(c.Nodes, func(n cluster.Node) bool { return n.State == cloud.StateRunning })
	if err != nil || i < 0 {
		return signers, err
	}
	bastion, err := via.Bastion.To(ctx, c.Cloud)
	if err != nil {
		return nil, err
	}
	n := c.Nodes[i]
	target := remote.Target{Host: n.ExternalIP, Port: n.SSHPort, User: c.SSHUser, HostKey: n.HostKey, Bastion: bastion}
	ctx, cancel := context.WithTimeoutCause(ctx, via.Patience, fmt.Errorf("no SSH within %s", via.Patience))
	defer cancel()
	errs := make([]error, len(signers))
	var all sync.WaitGroup
	for i, signer := range signers {
		all.Go(func() { // each for itself, to learn which are let in
			client, err := via.Connect(ctx, target, []ssh.Signer{signer})
			if errs[i] = err; err == nil {
				_ = client.Close()
				time.AfterFunc(askEvery, cancel) // a node that answers one answers all
			}
		})
	}
	all.Wait()
	var in []ssh.Signer
	for i, err := range errs {
		if err == nil {
			in = append(in, signers[i])
		}
	}
	if len(in) == 0 {
		return nil, fmt.Errorf("rank %d of cluster %q (%s), which runs, lets none of the keys of this computer in, and new nodes must have the key of the others; "+
			"set ssh_private_key_path or ssh_private_key in the provider block, or SKY_SSH_PRIVATE_KEY, to the one it was launched with: %w",
			n.Rank, c.Name, n.InstanceID, errors.Join(errs...))
	}
	return in, nil
}

// MoreKeys are those of nodes that a cluster gets, as far as this computer has
// them.
func (via Reach) MoreKeys(ctx context.Context, c cluster.Cluster, nodes int) (statedir.Keyring, error) {
	signers, err := via.Accepted(ctx, c)
	if err != nil {
		return statedir.Keyring{}, fmt.Errorf("new nodes could not be reached: %w", err)
	}
	return via.Folder(c).MoreKeys(c, signers, nodes)
}
