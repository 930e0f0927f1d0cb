// SPDX-License-Identifier: MPL-2.0

// Package nodes reaches the machines of a cluster over SSH, and does on them what
// makes them its nodes: files, setup, Ray and autostop.
package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// dialHead connects to rank 0 alone.
func (via Reach) dialHead(ctx context.Context, c cluster.Cluster) ([]Node, error) {
	c.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n cluster.Node) bool { return n.Rank != 0 })
	if len(c.Nodes) == 0 {
		return nil, fmt.Errorf("cluster %q has no head", c.Name)
	}
	return via.DialAll(ctx, c)
}

// Reach is how the machines of clusters are reached, and what is done on them.
type Reach struct {
	// Connect dials a machine; it keeps trying until its context ends.
	Connect func(context.Context, remote.Target, []ssh.Signer) (Node, error)
	// Bastion is on the way to the nodes of its clouds; nil is none.
	Bastion *cluster.Bastion
	// Patience is how long a machine may take to answer.
	Patience time.Duration
	// Folder has the keys and the log of a cluster.
	Folder func(cluster.Cluster) statedir.Folder
	// Ended asks the cloud whether a machine does not run any more.
	Ended func(context.Context, cluster.Cluster, cluster.Node) bool
	// TemplateDir may hold <cloud>.yaml.tmpl files that override the embedded ones.
	TemplateDir string
	// StateDir is no part of what is uploaded.
	StateDir string
	Log      *slog.Logger
	Now      func() time.Time
}

func (via Reach) signers(c cluster.Cluster) ([]ssh.Signer, error) { return via.Folder(c).Signers(c) }

// Node is what the broker does with a machine over SSH.
type Node interface {
	Run(ctx context.Context, cmd remote.Command) (exitCode int, err error)
	RunStep(ctx context.Context, step *remote.Step) (exitCode int, err error)
	PutTree(ctx context.Context, src, dest string, leave ...string) error
	Close() error
}

// Dial connects to a node; it keeps trying until ctx ends.
func Dial(ctx context.Context, target remote.Target, signers []ssh.Signer) (Node, error) {
	return remote.DialWait(ctx, target, remote.Options{Signers: signers})
}

// DialAll connects to every node, in rank order.
func (via Reach) DialAll(ctx context.Context, c cluster.Cluster) ([]Node, error) {
	return via.DialNodes(ctx, c, nil)
}

// DialNodes is dialAll that counts the nodes that answer.
func (via Reach) DialNodes(ctx context.Context, c cluster.Cluster, count *Progress) ([]Node, error) {
	signers, err := via.signers(c)
	if err != nil {
		return nil, err
	}
	bastion, err := via.Bastion.To(ctx, c.Cloud)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, via.Patience,
		fmt.Errorf("no SSH within %s of the machines running", via.Patience))
	defer cancel()
	clients := make([]Node, len(c.Nodes))
	group, groupCtx := errgroup.WithContext(bounded)
	for i, n := range c.Nodes {
		group.Go(func() error {
			target := remote.Target{Host: n.ExternalIP, Port: n.SSHPort, User: c.SSHUser, HostKey: n.HostKey, Bastion: bastion}
			client, err := via.answering(groupCtx, target, signers)
			if err != nil {
				return fmt.Errorf("rank %d (%s): %w", n.Rank, n.InstanceID, err)
			}
			clients[i] = via.lasting(c, n, target, signers, client, count)
			count.One(ctx)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		CloseAll(clients)
		return nil, err
	}
	return clients, nil
}

// CloseAll ends the connections that there are.
func CloseAll(clients []Node) {
	for _, c := range clients {
		if c != nil {
			_ = c.Close()
		}
	}
}
