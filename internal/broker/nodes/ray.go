// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// rayLeave bounds a node's goodbye to Ray before it is removed.
const rayLeave = 20 * time.Second

// ray is the bringing up of Ray on nodes of a cluster.
type ray struct {
	Reach
	cluster cluster.Cluster
	config  clusterconfig.Ray
	log     *slog.Logger
	// env is the user's own; pip reads its settings there.
	env map[string]string
}

// NoRay says that a cloud's template cannot install Ray.
func NoRay(cloudName string) error {
	return fmt.Errorf("the cluster template of cloud %s does not say how to install Ray; include \"ray.piece.tmpl\" under \"ray:\" as the provider's own templates do, or use runtime = %q", cloudName, cluster.RuntimeSSH)
}

// others dials whom nodes that are added concern besides: the head alone, or
// all where the head itself is new. The cluster's nodes are put in their order.
func (r *ray) others(ctx context.Context, added int) ([]Node, error) {
	rest := slices.Clone(r.cluster.Nodes[added:])
	if at := slices.IndexFunc(rest, func(n cluster.Node) bool { return n.Rank == 0 }); at >= 0 {
		rest[0], rest[at] = rest[at], rest[0]
		copy(r.cluster.Nodes[added:], rest)
		rest = rest[:1]
	}
	concerned := r.cluster
	concerned.Nodes = rest
	return r.DialAll(ctx, concerned)
}

// join starts the head, then the workers, and waits until all are there.
func (r ray) join(ctx context.Context, head Node, clients []Node, nodes []cluster.Node) error {
	secret, err := r.ask(ctx, head, 0, "secret", nil)
	if err != nil {
		return err
	}
	session, err := r.ask(ctx, head, 0, "up", nil)
	if err != nil {
		return err
	}
	words := strings.Fields(session)
	if len(words) != 2 {
		return errors.New("the head of Ray names no session")
	}
	err = r.each(ctx, clients, nodes, func(ctx context.Context, client Node, n cluster.Node) error {
		if n.Rank == 0 {
			return nil
		}
		if _, err := r.ask(ctx, client, n.Rank, "secret -", strings.NewReader(secret)); err != nil {
			return err
		}
		_, err := r.ask(ctx, client, n.Rank, "up "+remote.Quote(words[0])+" "+remote.Quote(words[1]), nil)
		return err
	})
	if err != nil {
		return err
	}
	_, err = r.ask(ctx, head, 0, fmt.Sprintf("wait %d", len(r.cluster.Nodes)), nil)
	return err
}

// each does f on the nodes in parallel; the first failure ends the others.
func (r ray) each(ctx context.Context, clients []Node, nodes []cluster.Node, f func(context.Context, Node, cluster.Node) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, client := range clients {
		group.Go(func() error { return f(ctx, client, nodes[i]) })
	}
	return group.Wait()
}

// install brings the script, what it must know of the node, and Ray.
func (r ray) install(ctx context.Context, client Node, n cluster.Node) error {
	head := slices.IndexFunc(r.cluster.Nodes, func(n cluster.Node) bool { return n.Rank == 0 })
	about := clusterconfig.RayNode{Rank: n.Rank, Address: n.Address(), Head: n.Address()}
	if head >= 0 {
		about.Head = r.cluster.Nodes[head].Address()
	}
	about.Accelerator, about.Count = r.cluster.Accelerator(), r.cluster.AcceleratorsPerNode()
	text := `umask 077
mkdir -p ~/.sky/ray && cd ~/.sky/ray && printf %s "$SKY_RAY_CONF" >conf.new && cat >ray.sh.new && mv -f conf.new conf && mv -f ray.sh.new ray.sh &&
unset SKY_RAY_CONF && exec sh ray.sh install </dev/null`
	env := maps.Clone(r.env)
	if env == nil {
		env = map[string]string{}
	}
	env["SKY_RAY_CONF"] = r.config.Conf(about)
	_, err := r.run(ctx, client, n.Rank, "the installation of Ray on", remote.Command{Script: text, Stdin: strings.NewReader(script.OnNode(r.config.Script)), Env: env})
	return err
}

// ask runs a command of the script and returns what it prints, which is not logged.
func (r ray) ask(ctx context.Context, client Node, rank int, command string, stdin io.Reader) (string, error) {
	return r.run(ctx, client, rank, "the start of Ray on", remote.Command{Script: "exec sh ~/.sky/ray/ray.sh " + command, Stdin: stdin})
}

func (r ray) run(ctx context.Context, client Node, rank int, what string, cmd remote.Command) (string, error) {
	said, out := &tail{limit: 4 << 10}, &tail{limit: 4 << 10}
	lines := newLogLines(ctx, r.log.With("rank", rank, "script", "ray"))
	cmd.Stdout, cmd.Stderr = out, io.MultiWriter(said, lines)
	code, err := client.Run(ctx, cmd)
	lines.flush()
	if err != nil {
		return "", fmt.Errorf("%s rank %d: %w", what, rank, err)
	}
	if code != 0 {
		return "", &SetupError{Cluster: r.cluster.Name, What: what, Rank: rank, ExitCode: code, Tail: said.String(), LogPath: r.Folder(r.cluster).LogPath()}
	}
	return out.String(), nil
}

// rayUp installs Ray on the nodes of the clients, the first of c.Nodes, and has
// them run in one Ray with the others. It may be repeated: what runs goes on.
func (via Reach) rayUp(ctx context.Context, log *slog.Logger, clients []Node, c cluster.Cluster, env map[string]string) error {
	cfg, err := via.Render(c)
	if err != nil {
		return err
	}
	if cfg.Ray.Script == "" {
		return NoRay(c.Cloud)
	}
	c.Nodes = slices.Clone(c.Nodes)
	r := ray{Reach: via, cluster: c, config: cfg.Ray, log: log, env: env}
	nodes := c.Nodes
	if len(clients) < len(nodes) {
		more, err := r.others(ctx, len(clients))
		if err != nil {
			return err
		}
		defer CloseAll(more)
		clients = slices.Concat(clients, more)
		nodes = nodes[:len(clients)]
	}
	if err := r.each(ctx, clients, nodes, r.install); err != nil {
		return err
	}
	head := slices.IndexFunc(nodes, func(n cluster.Node) bool { return n.Rank == 0 })
	if head < 0 {
		return errors.New("the cluster has no head")
	}
	return r.join(ctx, clients[head], clients, nodes)
}

// RayAgain starts Ray on a cluster whose machines were started again.
func (via Reach) RayAgain(ctx context.Context, clients []Node, c cluster.Cluster) error {
	if c.Runtime != cluster.RuntimeRay {
		return nil
	}
	log, closeLog, err := via.Folder(c).OpenLog()
	if err != nil {
		return err
	}
	defer closeLog()
	return via.rayUp(ctx, log, clients, c, nil)
}

// RayDown ends Ray on all nodes of the clients.
func (via Reach) RayDown(ctx context.Context, log *slog.Logger, clients []Node, c cluster.Cluster) error {
	r := ray{Reach: via, cluster: c, log: log}
	return r.each(ctx, clients, c.Nodes, func(ctx context.Context, client Node, n cluster.Node) error {
		_, err := r.run(ctx, client, n.Rank, "the end of Ray on", remote.Command{Script: `cd ~/.sky/ray 2>/dev/null || exit 0; exec sh ray.sh down`})
		return err
	})
}

// RayLeaves lets nodes that are about to be removed say goodbye, so that no job
// is placed on them in their last moments. It ends what runs there, so they are
// drained before. Where they say nothing, Ray finds out.
func (via Reach) RayLeaves(ctx context.Context, c cluster.Cluster, nodes int) {
	if c.Runtime != cluster.RuntimeRay {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rayLeave)
	defer cancel()
	leaving := c
	leaving.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n cluster.Node) bool { return n.Rank < nodes })
	clients, err := via.DialAll(ctx, leaving)
	if err == nil {
		err = via.RayDown(ctx, via.Log, clients, leaving)
		CloseAll(clients)
	}
	if err != nil {
		via.Log.InfoContext(ctx, "nodes leave Ray without a word", "cluster", c.Name, "reason", err.Error())
	}
}
