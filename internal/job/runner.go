// SPDX-License-Identifier: MPL-2.0

package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// maxUploads bounds how many nodes are talked to at the same time.
const maxUploads = 64

// Options say how a Runner connects and waits.
type Options struct {
	// Signers replace Cluster.KeyPath.
	Signers []ssh.Signer
	// Bastion is on the way to the nodes; nil is none.
	Bastion *remote.Target
	// InternalPort is that of SSH from node to node; 0 is the one that is dialled.
	InternalPort int
	Remote       remote.Options // Signers are filled in
	// Poll is how Wait asks; the zero value starts at 200 ms and slows down to 2 s.
	Poll retry.Policy
	// Progress, where set, hears of every look that Wait takes at a job: its
	// status, and how much of its log has been copied, in bytes.
	Progress func(ctx context.Context, s Status, logged int64)
	// Keep is how many ended jobs keep their logs on the nodes; 0 is Kept.
	Keep int
}

// Runner submits jobs to one cluster and asks about them. It keeps one
// connection a node and dials again when one is lost. Its methods may be called
// at the same time.
type Runner struct {
	cluster cluster.Cluster
	options Options
	nodes   []*node
}

type node struct {
	cluster.Node
	target       remote.Target
	internalPort int
	mu           sync.Mutex
	client       *remote.Client
}

// internal is where the other nodes reach it.
func (n *node) internal() (string, int) { return n.Address(), n.internalPort }

// New checks the cluster and reads its key; it does not connect yet.
func New(c cluster.Cluster, o Options) (*Runner, error) {
	if len(c.Nodes) == 0 {
		return nil, errors.New("the cluster has no nodes")
	}
	nodes := slices.Clone(c.Nodes)
	slices.SortFunc(nodes, func(a, b cluster.Node) int { return a.Rank - b.Rank })
	for i, n := range nodes {
		if n.Rank != i {
			return nil, fmt.Errorf("the cluster's ranks are not 0 to %d, each once", len(nodes)-1)
		}
	}
	if len(o.Signers) == 0 {
		signer, err := remote.LoadSigner(c.KeyPath, nil)
		if err != nil {
			return nil, err
		}
		o.Signers = []ssh.Signer{signer}
	}
	o.Remote.Signers = o.Signers
	if o.Poll == (retry.Policy{}) {
		o.Poll = retry.Policy{Initial: 200 * time.Millisecond, Max: 2 * time.Second, Factor: 1.3, Jitter: 0.1}
	}
	o.Keep = cmp.Or(o.Keep, Kept)
	c.ProcessManager, c.Runtime = cmp.Or(c.ProcessManager, "setsid"), cmp.Or(c.Runtime, cluster.RuntimeSSH)
	if err := checkWays(c); err != nil {
		return nil, err
	}
	r := &Runner{cluster: c, options: o}
	for _, n := range nodes {
		r.nodes = append(r.nodes, &node{
			Node: n, internalPort: cmp.Or(o.InternalPort, n.SSHPort, 22),
			target: remote.Target{Host: n.ExternalIP, Port: n.SSHPort, User: c.SSHUser, HostKey: n.HostKey, Bastion: o.Bastion},
		})
	}
	return r, nil
}

// checkWays sees that there are the ways in which the cluster runs jobs.
func checkWays(c cluster.Cluster) error {
	if c.ProcessManager != "setsid" && c.ProcessManager != "auto" {
		return fmt.Errorf("process manager %q: there are \"setsid\" and \"auto\"", c.ProcessManager)
	}
	if c.Runtime != cluster.RuntimeSSH && c.Runtime != cluster.RuntimeRay {
		return fmt.Errorf("runtime %q: there are %q and %q", c.Runtime, cluster.RuntimeSSH, cluster.RuntimeRay)
	}
	return nil
}

// Close ends the connections. Jobs go on.
func (r *Runner) Close() error {
	for _, n := range r.nodes {
		n.mu.Lock()
		if n.client != nil {
			_ = n.client.Close()
			n.client = nil
		}
		n.mu.Unlock()
	}
	return nil
}

// client returns the connection to a node, a new one where the last is lost.
func (r *Runner) client(ctx context.Context, rank int) (*remote.Client, error) {
	n := r.nodes[rank]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client != nil {
		select {
		case <-n.client.Done():
			n.client = nil
		default:
			return n.client, nil
		}
	}
	c, err := remote.Dial(ctx, n.target, r.options.Remote)
	if err != nil {
		return nil, fmt.Errorf("rank %d: %w", rank, err)
	}
	n.client = c
	return c, nil
}

func (r *Runner) output(ctx context.Context, rank int, script string) (string, error) {
	c, err := r.client(ctx, rank)
	if err != nil {
		return "", err
	}
	return c.Output(ctx, script)
}

// insist repeats what is safe to repeat while connections fail. An answer of
// the node, a wrong key and refused keys are final.
func (r *Runner) insist(ctx context.Context, attempts int, f func(context.Context) error) error {
	policy := r.options.Poll
	policy.Attempts = attempts
	return retry.Do(ctx, policy, func(ctx context.Context) error {
		err := f(ctx)
		var exit *remote.ExitError
		var key *remote.HostKeyError
		var auth *remote.AuthError
		var own *remote.LocalError
		if errors.As(err, &exit) || errors.As(err, &key) || errors.As(err, &auth) || errors.As(err, &own) ||
			errors.Is(err, ErrNotFound) || errors.Is(err, errConflict) || errors.Is(err, ErrPruned) || errors.Is(err, ErrNoOutput) {
			return retry.Stop(err)
		}
		return err
	})
}

// each does f on ranks 0 to n-1, some at the same time.
func each(ctx context.Context, n int, f func(ctx context.Context, rank int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxUploads)
	for rank := range n {
		g.Go(func() error { return f(ctx, rank) })
	}
	return g.Wait() //nolint:wrapcheck // f's error says which rank
}

// Status asks the head, which notes that the end of a job was read: autostop waits
// for no other reader. A failed connection is an error, never a status.
func (r *Runner) Status(ctx context.Context, id ID) (Status, error) {
	return r.statusBy(ctx, id, "status")
}

// Peek is Status by one who may not keep what it says.
func (r *Runner) Peek(ctx context.Context, id ID) (Status, error) {
	return r.statusBy(ctx, id, "status unread")
}

func (r *Runner) statusBy(ctx context.Context, id ID, question string) (Status, error) {
	out, err := r.ask(ctx, 0, id, question)
	if err != nil {
		return Status{}, fmt.Errorf("asking for job %s: %w", id, err)
	}
	return parseStatus(out)
}

// stamp is a time that a node says, empty where it is none.
func stamp(value string) string {
	if _, err := time.Parse(time.RFC3339, value); err != nil {
		return ""
	}
	return value
}

func parseStatus(text string) (Status, error) {
	s := Status{FailedRank: -1, ExitCodes: map[int]int{}}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "phase":
			s.Phase = Phase(value)
		case "submitted":
			s.SubmittedAt = stamp(value)
		case "started":
			s.StartedAt = stamp(value)
		case "ended":
			s.EndedAt = stamp(value)
		case "reason":
			s.Reason = remote.Clean(value)
		case "code":
			if n, err := strconv.Atoi(value); err == nil {
				s.ExitCode = &n
			}
		case "rank":
			if n, err := strconv.Atoi(value); err == nil {
				s.FailedRank = n
			}
		case "restarts":
			s.Restarts, _ = strconv.Atoi(value)
		case "codes":
			for pair := range strings.FieldsSeq(value) {
				rank, code, _ := strings.Cut(pair, ":")
				k, err := strconv.Atoi(rank)
				v, err2 := strconv.Atoi(code)
				if errors.Join(err, err2) == nil {
					s.ExitCodes[k] = v
				}
			}
		}
	}
	known := []Phase{Init, Pending, SettingUp, Running, FailedDriver, Succeeded, Failed, FailedSetup, Cancelled, Unknown, LostReboot}
	if !slices.Contains(known, s.Phase) {
		return Status{}, fmt.Errorf("the runner reports no phase we know: %q", remote.Clean(text))
	}
	return s, nil
}

// Cancel ends a job on all its nodes, and returns once nothing of it runs any
// more. A job that has ended keeps its end; cancelling twice is fine.
func (r *Runner) Cancel(ctx context.Context, id ID) error {
	err := r.insist(ctx, 0, func(ctx context.Context) error {
		_, err := r.ask(ctx, 0, id, "cancel")
		return err
	})
	if errors.Is(err, ErrNotFound) { // a head that was replaced: the others may still be at work
		err = errors.Join(err, r.Reap(ctx, id))
	}
	if err != nil {
		return fmt.Errorf("cancelling job %s: %w", id, err)
	}
	reaped := r.reap(ctx, id, 0)
	err = r.insist(ctx, 10, func(ctx context.Context) error {
		_, err := r.ask(ctx, 0, id, "close")
		return err
	})
	if err != nil {
		return fmt.Errorf("recording the end of job %s: %w", id, err)
	}
	return reaped
}

// Reap ends what runs of a job on the nodes beside the head, each for itself: for
// a job whose head is gone or does not answer.
func (r *Runner) Reap(ctx context.Context, id ID) error { return r.reap(ctx, id, 1) }

// reachWithin bounds connecting to a node to end what runs there. A node that
// answers is given the time that the processes are.
const reachWithin = 30 * time.Second

// reap ends what is left of a job on the nodes from a rank on. One node's trouble
// keeps no other from being asked, and one that is gone runs nothing.
func (r *Runner) reap(ctx context.Context, id ID, from int) error {
	errs := make([]error, len(r.nodes))
	_ = each(ctx, len(r.nodes), func(_ context.Context, rank int) error {
		if rank >= from && r.nodes[rank].State != cloud.StateTerminated {
			errs[rank] = r.reapOn(ctx, id, rank)
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ending what is left of job %s: %w", id, err)
	}
	return nil
}

func (r *Runner) reapOn(ctx context.Context, id ID, rank int) error {
	return r.insist(ctx, 10, func(ctx context.Context) error {
		bounded, cancel := context.WithTimeoutCause(ctx, reachWithin, fmt.Errorf("rank %d does not answer within %s", rank, reachWithin))
		defer cancel()
		if err := r.insist(bounded, 10, func(ctx context.Context) error { _, err := r.client(ctx, rank); return err }); err != nil {
			return retry.Stop(err)
		}
		_, err := r.ask(ctx, rank, id, fmt.Sprintf("reap %d", rank))
		if rank > 0 && errors.Is(err, ErrNotFound) { // not one of the job's nodes
			return nil
		}
		return err
	})
}
