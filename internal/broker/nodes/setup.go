// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// remoteWorkdir is where workdir lands on every node, as in SkyPilot.
const remoteWorkdir = "~/sky_workdir"

// SetupError says that the user's setup, or the upload of the user's files,
// failed on a node, by its own nature: on another machine it would fail as well.
type SetupError struct {
	Cluster  string
	Rank     int
	ExitCode int
	// Err is how it failed where no exit code tells.
	Err error
	// Files says that files did not arrive, and setup was not run.
	Files bool
	// What failed where it was not the user's script; empty is that.
	What string
	// Tail holds the last lines of what the script printed.
	Tail string
	// Kept says that the machines were left running, as asked for.
	Kept bool
	// Running says that the cluster ran before: it stays, whatever was asked for.
	Running bool
	LogPath string
}

// Error implements error.
func (e *SetupError) Error() string {
	fate := "the cluster was removed (on_setup_failure = \"destroy\")"
	switch {
	case e.Running && e.Kept && e.Files:
		fate = "its machines run on and are billed, and the next apply uploads again"
	case e.Running && e.Kept:
		fate = "its machines run on and are billed, and the next apply runs setup again"
	case e.Running:
		fate = "the nodes that were to be added are removed again, and the others run on"
	case e.Kept:
		fate = "the cluster is kept and billed (on_setup_failure = \"keep\"). The next apply replaces it, unless \"terraform untaint <its address>\" comes first"
	}
	what, how := cmp.Or(e.What, "setup of"), fmt.Sprintf("ended with exit code %d on rank %d", e.ExitCode, e.Rank)
	if e.Err != nil {
		how = fmt.Sprintf("failed on rank %d: %v", e.Rank, e.Err)
	}
	text := fmt.Sprintf("%s cluster %q %s; %s. The whole log is in %s", what, e.Cluster, how, fate, e.LogPath)
	if e.Tail == "" {
		return text
	}
	return text + ". Its last lines:\n" + e.Tail
}

// Unwrap returns how it failed where no exit code tells.
func (e *SetupError) Unwrap() error { return e.Err }

// Work is what is done on each node when a cluster is set up.
type Work struct {
	// Prepare is the template's own setup, which is safe to repeat.
	Prepare string
	// Setup is the user's script.
	Setup string
	Envs  map[string]string
	// Workdir and FileMounts are what is uploaded.
	Workdir    string
	FileMounts map[string]string
}

// SetupReason is the failure as the status of the cluster says it.
func SetupReason(e *SetupError) string {
	if e.Err != nil {
		return fmt.Sprintf("%s on rank %d: %s", cluster.SetupFailed, e.Rank, cluster.OneLine(e.Err.Error()))
	}
	return fmt.Sprintf("%s on rank %d with exit code %d", cluster.SetupFailed, e.Rank, e.ExitCode)
}

// nodeSetup is the work on one node.
type nodeSetup struct {
	client  Node
	cluster cluster.Cluster
	work    Work
	rank    int
	log     *slog.Logger
	logPath string
	// stateDir is no part of what is uploaded.
	stateDir string
}

func (n nodeSetup) run(ctx context.Context) error {
	if n.work.Prepare != "" {
		if err := n.script(ctx, "prepare", "cd ~/sky_workdir 2>/dev/null || cd ~ || exit 1\n"+n.work.Prepare); err != nil {
			return err
		}
	}
	if err := n.sync(ctx); err != nil {
		return err
	}
	if n.work.Setup == "" {
		return nil
	}
	step := remote.NewStep(remote.Command{})
	step.Script = script.Become("setup", step.Watch(script.Normalize(n.work.Setup)))
	return n.follow(ctx, "setup", step)
}

// sync uploads the working folder and the file mounts.
func (n nodeSetup) sync(ctx context.Context) error {
	if n.work.Workdir != "" {
		if err := n.upload(ctx, "workdir", n.work.Workdir, remoteWorkdir); err != nil {
			return err
		}
	}
	for _, dest := range slices.Sorted(maps.Keys(n.work.FileMounts)) {
		if err := n.upload(ctx, "file_mounts", n.work.FileMounts[dest], dest); err != nil {
			return err
		}
	}
	return nil
}

// upload brings files to the node. What keeps them away other than the way there
// is the user's: it would do so on every machine.
func (n nodeSetup) upload(ctx context.Context, what, src, dest string) error {
	err := n.client.PutTree(ctx, src, dest, n.stateDir)
	if err == nil || ctx.Err() != nil || LostNode(err) {
		return n.onRank(err)
	}
	return &SetupError{
		Cluster: n.cluster.Name, Rank: n.rank, Err: err, Files: true, LogPath: n.logPath,
		What: fmt.Sprintf("uploading %s %s to %s for", what, src, dest),
	}
}

// onRank names the node in an error.
func (n nodeSetup) onRank(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rank %d: %w", n.rank, err)
}

// script runs shell on the node, once, and logs what it prints.
func (n nodeSetup) script(ctx context.Context, name, text string) error {
	return n.follow(ctx, name, remote.NewStep(remote.Command{Script: text}))
}

// follow runs a step with the user's variables, and logs what it prints.
func (n nodeSetup) follow(ctx context.Context, name string, step *remote.Step) error {
	out := &tail{limit: 4 << 10}
	lines := newLogLines(ctx, n.log.With("rank", n.rank, "script", name))
	both := &inTurn{w: io.MultiWriter(out, lines)}
	step.Env, step.Stdout, step.Stderr = script.Env(n.env()), both, both
	code, err := n.client.RunStep(ctx, step)
	lines.flush()
	failed := (*remote.StepError)(nil)
	if err != nil && !errors.As(err, &failed) {
		return fmt.Errorf("%s on rank %d: %w", name, n.rank, err)
	}
	if code == 0 {
		return nil
	}
	e := &SetupError{Cluster: n.cluster.Name, Rank: n.rank, ExitCode: code, Tail: out.String(), LogPath: n.logPath}
	if failed != nil {
		e.Err = failed
	}
	return e
}

// env is what a setup script sees: SkyPilot's variables and the user's own.
func (n nodeSetup) env() map[string]string {
	nodes := slices.SortedFunc(slices.Values(n.cluster.Nodes), func(x, y cluster.Node) int { return x.Rank - y.Rank })
	ips := make([]string, len(nodes))
	for i, node := range nodes {
		ips[i] = node.InternalIP
	}
	env := map[string]string{
		"SKYPILOT_SETUP_NODE_RANK":         strconv.Itoa(n.rank),
		"SKYPILOT_SETUP_NODE_IPS":          strings.Join(ips, "\n"),
		"SKYPILOT_SETUP_NUM_GPUS_PER_NODE": strconv.Itoa(int(math.Ceil(n.cluster.AcceleratorsPerNode()))),
		"SKYPILOT_NUM_NODES":               strconv.Itoa(len(ips)),
	}
	maps.Copy(env, n.work.Envs)
	return env
}

// inTurn lets several goroutines write, one after the other.
type inTurn struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *inTurn) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(p)
}

// SetUpNodes brings files and setup to the nodes of the clients, the first of
// c.Nodes, in parallel. The first failure ends the others.
func (via Reach) SetUpNodes(ctx context.Context, log *slog.Logger, clients []Node, c cluster.Cluster, work Work) error {
	if c.Runtime == cluster.RuntimeRay {
		if err := OverLinks(ctx, func() error { return via.rayUp(ctx, log, clients, c, work.Envs) }); err != nil {
			return err
		}
	}
	count, end := Begin(ctx, log, via.Now, Phase{From: 65, To: 98, Waiting: "files and setup on every node"}, len(clients))
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	for i, client := range clients {
		group.Go(func() error {
			n := nodeSetup{client: client, cluster: c, work: work, rank: c.Nodes[i].Rank, log: log, logPath: via.Folder(c).LogPath(), stateDir: via.StateDir}
			if err := n.run(ctx); err != nil {
				return err
			}
			count.One(ctx)
			return nil
		})
	}
	return group.Wait()
}
