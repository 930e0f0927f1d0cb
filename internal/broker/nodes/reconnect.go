// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const (
	// probeTime is what a node gets to run a command that does nothing.
	probeTime = 30 * time.Second
	// askEvery is how often the cloud is asked about a node that does not answer.
	askEvery = 20 * time.Second
	// mostLinks bounds how many connections in a row may be lost over one piece of
	// work that does not get on.
	mostLinks = 5
)

// steadyNode is a node whose lost connections are taken up again: what is to be
// done on a machine that was reached is done on that machine.
type steadyNode struct {
	via     Reach
	cluster cluster.Cluster
	node    cluster.Node
	target  remote.Target
	signers []ssh.Signer
	log     *slog.Logger

	mu sync.Mutex
	// now is the present connection, the nth one, nil where it is lost.
	now    Node
	nth    int
	closed bool
}

// Close implements node.
func (s *steadyNode) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.now == nil {
		return nil
	}
	return s.now.Close()
}

// Run implements node. A command that may have begun is not run again.
func (s *steadyNode) Run(ctx context.Context, cmd remote.Command) (code int, err error) {
	err = OverLinks(ctx, func() error {
		client, nth, err := s.client(ctx)
		if err != nil {
			return err
		}
		code, err = client.Run(ctx, cmd)
		if link := s.lost(nth, err); link != nil && link.Begun {
			return retry.Stop(err)
		}
		return err
	})
	return code, err
}

// RunStep implements node: the step goes on whatever becomes of connections.
func (s *steadyNode) RunStep(ctx context.Context, step *remote.Step) (code int, err error) {
	looks := 0
	for {
		err = OverLinks(ctx, func() error {
			client, nth, err := s.client(ctx)
			if err != nil {
				return err
			}
			code, err = client.RunStep(ctx, step)
			if s.lost(nth, err) != nil && step.Looks() > looks {
				looks = step.Looks()
				return retry.Stop(errGetsOn)
			}
			return err
		})
		if !errors.Is(err, errGetsOn) {
			return code, err
		}
		s.log.InfoContext(ctx, "the script goes on beside its connection, and is followed on another one")
	}
}

var errGetsOn = errors.New("the step got on before its connection was lost")

// PutTree implements node.
func (s *steadyNode) PutTree(ctx context.Context, src, dest string, leave ...string) error {
	return OverLinks(ctx, func() error {
		client, nth, err := s.client(ctx)
		if err != nil {
			return err
		}
		err = client.PutTree(ctx, src, dest, leave...)
		_ = s.lost(nth, err) // a torn upload is tried again as a whole
		if err != nil && ctx.Err() == nil && !errors.As(err, new(*remote.UploadError)) && !LostNode(err) {
			err = &tornError{err} // something killed it on the way
		}
		return err
	})
}

// tornError is an upload that may work when it is tried again.
type tornError struct{ error }

func (e *tornError) Unwrap() error { return e.error }

// OverLinks does what may be repeated again where a connection was lost.
func OverLinks(ctx context.Context, f func() error) error {
	return retry.Do(ctx, retry.Policy{Initial: time.Second, Max: 10 * time.Second, Attempts: mostLinks}, func(context.Context) error {
		err := f()
		again := errors.As(err, new(*remote.LinkError)) || errors.As(err, new(*tornError))
		if !again || errors.As(err, new(*silentError)) {
			return retry.Stop(err)
		}
		return err
	})
}

// lost gives up the nth connection where err says that it failed.
func (s *steadyNode) lost(nth int, err error) *remote.LinkError {
	link := (*remote.LinkError)(nil)
	if !errors.As(err, &link) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nth == nth && s.now != nil {
		_ = s.now.Close()
		s.now = nil
	}
	return link
}

// client is the present connection and its number, a new one where the last was
// lost.
func (s *steadyNode) client(ctx context.Context) (Node, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, remote.ErrClosed
	}
	if s.now != nil {
		return s.now, s.nth, nil
	}
	s.log.WarnContext(ctx, "the connection was lost; the same machine is dialled again", "at_most", s.via.Patience)
	client, err := s.redial(ctx)
	if err != nil {
		return nil, 0, err
	}
	s.now = client
	s.nth++
	return client, s.nth, nil
}

// silentError says that a node that had answered does so no more.
type silentError struct {
	rank int
	id   string
	err  error
}

func (e *silentError) Error() string {
	return fmt.Sprintf("rank %d (%s) answered before and does so no more: %v", e.rank, e.id, e.err)
}

func (e *silentError) Unwrap() error { return e.err }

// errEnded says that the cloud has ended or stopped a machine.
var errEnded = errors.New("the machine does not run any more, says the cloud")

// redial dials the same machine until it answers, for a stated time, or until
// the cloud says that it does not run any more.
func (s *steadyNode) redial(ctx context.Context) (Node, error) {
	patience := s.via.Patience
	bounded, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	var last error
	for {
		try, done := context.WithTimeout(bounded, askEvery+probeTime) // a slow node needs the probe's time, too
		over := s.endedBeside(try, done)
		client, err := s.via.answering(try, s.target, s.signers)
		done()
		ended := <-over
		if err == nil {
			return client, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if last == nil || bounded.Err() == nil {
			last = err
		}
		if bounded.Err() != nil {
			return nil, &silentError{s.node.Rank, s.node.InstanceID, fmt.Errorf("%w (last: %w)", context.Cause(bounded), last)}
		}
		if ended || s.via.Ended(bounded, s.cluster, s.node) {
			return nil, &silentError{s.node.Rank, s.node.InstanceID, errEnded}
		}
		if errors.As(err, new(*remote.HostKeyError)) || errors.As(err, new(*remote.AuthError)) { // it came back at once
			_ = retry.Pause(bounded, askEvery)
		}
	}
}

// endedBeside asks the cloud every so often, as long as a try goes on, and ends the
// try where the machine does not run any more. It answers once, after the try.
func (s *steadyNode) endedBeside(try context.Context, done func()) <-chan bool {
	over := make(chan bool, 1)
	go func() {
		for retry.Pause(try, askEvery) == nil {
			if s.via.Ended(try, s.cluster, s.node) {
				done()
				over <- true
				return
			}
		}
		over <- false
	}()
	return over
}

// LostNode reports whether err is about the way to a node, or the node, and not
// about what was to be done there.
func LostNode(err error) bool {
	return errors.As(err, new(*silentError)) || errors.As(err, new(*remote.LinkError))
}

// answering dials a node until it runs a command and says how that ended: a
// server that lets us in and does not is no node that is up.
func (via Reach) answering(ctx context.Context, target remote.Target, signers []ssh.Signer) (Node, error) {
	var up Node
	err := retry.Do(ctx, retry.Policy{Initial: time.Second, Max: 5 * time.Second}, func(ctx context.Context) error {
		client, err := via.Connect(ctx, target, signers)
		if err != nil {
			return retry.Stop(err) // it keeps trying by itself
		}
		bounded, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("no command came to its end within %s", probeTime))
		defer cancel()
		code, err := client.Run(bounded, remote.Command{Script: ":", Stdout: io.Discard, Stderr: io.Discard})
		if err == nil && code == 0 {
			up = client
			return nil
		}
		_ = client.Close()
		if err == nil {
			err = fmt.Errorf("a command that does nothing ended with exit code %d", code)
		}
		return fmt.Errorf("SSH lets us in, but runs no commands: %w", err)
	})
	return up, err
}

// lasting makes a node of a connection to one; what becomes of it goes to the
// cluster's log, where count has one.
func (via Reach) lasting(c cluster.Cluster, n cluster.Node, target remote.Target, signers []ssh.Signer, now Node, count *Progress) Node {
	log := via.Log.With("cluster", c.Name)
	if count != nil {
		log = count.log
	}
	return &steadyNode{via: via, cluster: c, node: n, target: target, signers: signers, log: log.With("rank", n.Rank), now: now}
}
