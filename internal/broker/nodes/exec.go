// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// Exec is a command for nodes of a cluster.
type Exec struct {
	// Script is run as setup is; see the package script.
	Script string
	Envs   map[string]string
	// Ranks are where; none is every node.
	Ranks []int
	// Output makes the writer of what a rank prints. It is written to by one
	// goroutine a stream.
	Output func(rank int) io.Writer
}

// Executed is how the command ended on a node.
type Executed struct {
	Rank, Code int
	// Err is that the node could not be asked, or that the connection was lost: the
	// command may have run then, and is not run again.
	Err error
}

// sweepTime bounds the removal of a script that was run.
const sweepTime = 10 * time.Second

// mostExec bounds on how many nodes a command runs at the same time.
const mostExec = 64

// Exec runs the command on the nodes at once, and returns how it ended on each, in the
// order of their ranks. Nothing runs unless every node answers.
func (via Reach) Exec(ctx context.Context, c cluster.Cluster, e Exec) ([]Executed, error) {
	c.Nodes = slices.Clone(c.Nodes)
	if len(e.Ranks) > 0 {
		c.Nodes = slices.DeleteFunc(c.Nodes, func(n cluster.Node) bool { return !slices.Contains(e.Ranks, n.Rank) })
	}
	for _, n := range c.Nodes {
		if !n.Runs() {
			return nil, fmt.Errorf("rank %d of cluster %q is %s", n.Rank, c.Name, n.State)
		}
	}
	for _, rank := range e.Ranks {
		if !slices.ContainsFunc(c.Nodes, func(n cluster.Node) bool { return n.Rank == rank }) {
			return nil, fmt.Errorf("cluster %q has %d nodes, and none of rank %d", c.Name, c.Size, rank)
		}
	}
	clients, err := via.DialAll(ctx, c)
	if err != nil {
		return nil, err
	}
	defer CloseAll(clients)
	done := make([]Executed, len(c.Nodes))
	name := "exec-" + rand.Text()
	var group errgroup.Group
	group.SetLimit(mostExec)
	for i, n := range c.Nodes {
		group.Go(func() error {
			done[i] = Executed{Rank: n.Rank}
			done[i].Code, done[i].Err = e.on(ctx, clients[i], name, e.Output(n.Rank))
			return nil
		})
	}
	return done, group.Wait()
}

// on runs the command on one node, and leaves nothing of it there.
func (e Exec) on(ctx context.Context, node Node, name string, out io.Writer) (int, error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepTime)
		defer cancel()
		_, _ = node.Run(ctx, remote.Command{Script: "rm -f .sky/scripts/" + name + "*"}) // no more than a file
	}()
	return node.Run(ctx, remote.Command{Script: script.Become(name, e.Script), Env: script.Env(e.Envs), Stdout: out, Stderr: out})
}
