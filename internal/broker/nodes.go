// SPDX-License-Identifier: MPL-2.0

package broker

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

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
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

// node is what the broker does with a machine over SSH.
type node interface {
	Run(ctx context.Context, cmd remote.Command) (exitCode int, err error)
	RunStep(ctx context.Context, step *remote.Step) (exitCode int, err error)
	PutTree(ctx context.Context, src, dest string, leave ...string) error
	Close() error
}

// dialSSH connects to a node; it keeps trying until ctx ends.
func dialSSH(ctx context.Context, target remote.Target, signers []ssh.Signer) (node, error) {
	return remote.DialWait(ctx, target, remote.Options{Signers: signers})
}

// connectAndSetUp dials every node and sets all up, over one connection a node.
func (a *attempt) connectAndSetUp(ctx context.Context, _ cloud.Session) error {
	dialled, end := a.begin(ctx, a.log, phase{55, 65, "every node to answer over SSH", a.cfg.Timeouts.SSH}, a.cluster.Size)
	clients, err := a.dialNodes(ctx, a.cluster, dialled)
	if end(); err != nil {
		return a.unreachable(ctx, err)
	}
	defer closeAll(clients)
	a.reached, a.step = true, "setup"
	prepare := a.config.Setup
	err = a.setUpNodes(ctx, a.log, clients, a.cluster, a.spec, prepare)
	var setup *SetupError
	if keep := a.spec.OnSetupFailure == SetupFailureKeep && errors.As(err, &setup); a.spec.Autostop != nil && (err == nil || keep) {
		a.step = "autostop"
		if aerr := overLinks(ctx, func() error { return a.arm(ctx, a.log, clients, a.cluster) }); aerr != nil {
			return a.unreachable(ctx, errors.Join(aerr, err))
		}
	}
	if setup == nil && err != nil {
		return a.unreachable(ctx, err)
	}
	if setup == nil || a.spec.OnSetupFailure != SetupFailureKeep || ctx.Err() != nil {
		return err
	}
	return a.keepDespite(ctx, setup)
}

// keepDespite commits a cluster whose setup failed and returns the failure.
func (a *attempt) keepDespite(ctx context.Context, setup *SetupError) error {
	session, err := a.session(ctx, a.placement.Offer.Cloud)
	if err != nil {
		return err
	}
	a.cluster.StatusReason = setupFailedReason(setup)
	if err := a.commit(ctx, session); err != nil {
		return err
	}
	setup.Kept = true
	return setup
}

func setupFailedReason(e *SetupError) string {
	if e.Err != nil {
		return fmt.Sprintf("%s on rank %d: %s", cluster.SetupFailed, e.Rank, oneLine(e.Err.Error()))
	}
	return fmt.Sprintf("%s on rank %d with exit code %d", cluster.SetupFailed, e.Rank, e.ExitCode)
}

// dialAll connects to every node, in rank order.
func (b *Broker) dialAll(ctx context.Context, c cluster.Cluster) ([]node, error) {
	return b.dialNodes(ctx, c, nil)
}

// dialNodes is dialAll that counts the nodes that answer.
func (b *Broker) dialNodes(ctx context.Context, c cluster.Cluster, count *progress) ([]node, error) {
	signers, err := b.SignersOf(c)
	if err != nil {
		return nil, err
	}
	bastion, err := b.through(ctx, c.Cloud)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, b.cfg.Timeouts.SSH,
		fmt.Errorf("no SSH within %s of the machines running", b.cfg.Timeouts.SSH))
	defer cancel()
	clients := make([]node, len(c.Nodes))
	group, groupCtx := errgroup.WithContext(bounded)
	for i, n := range c.Nodes {
		group.Go(func() error {
			target := remote.Target{Host: n.ExternalIP, Port: n.SSHPort, User: c.SSHUser, HostKey: n.HostKey, Bastion: bastion}
			client, err := b.answering(groupCtx, target, signers)
			if err != nil {
				return fmt.Errorf("rank %d (%s): %w", n.Rank, n.InstanceID, err)
			}
			clients[i] = b.lasting(c, n, target, signers, client, count)
			count.one(ctx)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		closeAll(clients)
		return nil, err
	}
	return clients, nil
}

func closeAll(clients []node) {
	for _, c := range clients {
		if c != nil {
			_ = c.Close()
		}
	}
}

// setUpNodes brings files and setup to the nodes of the clients, the first of
// c.Nodes, in parallel. The first failure ends the others.
func (b *Broker) setUpNodes(ctx context.Context, log *slog.Logger, clients []node, c cluster.Cluster, spec Spec, prepare string) error {
	if c.Runtime == cluster.RuntimeRay {
		if err := overLinks(ctx, func() error { return b.rayUp(ctx, log, clients, c, spec.Envs) }); err != nil {
			return err
		}
	}
	count, end := b.begin(ctx, log, phase{65, 98, "files and setup on every node", 0}, len(clients))
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	for i, client := range clients {
		group.Go(func() error {
			n := nodeSetup{client: client, cluster: c, spec: spec, rank: c.Nodes[i].Rank, log: log, logPath: b.folderOf(c).LogPath(), stateDir: b.cfg.StateDir}
			if err := n.run(ctx, prepare); err != nil {
				return err
			}
			count.one(ctx)
			return nil
		})
	}
	return group.Wait()
}

// nodeSetup is the work on one node.
type nodeSetup struct {
	client  node
	cluster cluster.Cluster
	spec    Spec
	rank    int
	log     *slog.Logger
	logPath string
	// stateDir is no part of what is uploaded.
	stateDir string
}

func (n nodeSetup) run(ctx context.Context, prepare string) error {
	if prepare != "" {
		if err := n.script(ctx, "prepare", "cd ~/sky_workdir 2>/dev/null || cd ~ || exit 1\n"+prepare); err != nil {
			return err
		}
	}
	if err := n.sync(ctx); err != nil {
		return err
	}
	if n.spec.Setup == "" {
		return nil
	}
	step := remote.NewStep(remote.Command{})
	step.Script = script.Become("setup", step.Watch(script.Normalize(n.spec.Setup)))
	return n.follow(ctx, "setup", step)
}

// sync uploads the working folder and the file mounts.
func (n nodeSetup) sync(ctx context.Context) error {
	if n.spec.Workdir != "" {
		if err := n.upload(ctx, "workdir", n.spec.Workdir, remoteWorkdir); err != nil {
			return err
		}
	}
	for _, dest := range slices.Sorted(maps.Keys(n.spec.FileMounts)) {
		if err := n.upload(ctx, "file_mounts", n.spec.FileMounts[dest], dest); err != nil {
			return err
		}
	}
	return nil
}

// upload brings files to the node. What keeps them away other than the way there
// is the user's: it would do so on every machine.
func (n nodeSetup) upload(ctx context.Context, what, src, dest string) error {
	err := n.client.PutTree(ctx, src, dest, n.stateDir)
	if err == nil || ctx.Err() != nil || lostNode(err) {
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
	maps.Copy(env, n.spec.Envs)
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
