// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
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

// answering dials a node until it runs a command and says how that ended: a
// server that lets us in and does not is no node that is up.
func (b *Broker) answering(ctx context.Context, target remote.Target, signers []ssh.Signer) (node, error) {
	var up node
	err := retry.Do(ctx, retry.Policy{Initial: time.Second, Max: 5 * time.Second}, func(ctx context.Context) error {
		client, err := b.dial(ctx, target, signers)
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

// steadyNode is a node whose lost connections are taken up again: what is to be
// done on a machine that was reached is done on that machine.
type steadyNode struct {
	broker  *Broker
	cluster cluster.Cluster
	node    cluster.Node
	target  remote.Target
	signers []ssh.Signer
	log     *slog.Logger

	mu sync.Mutex
	// now is the present connection, the nth one, nil where it is lost.
	now    node
	nth    int
	closed bool
}

// lasting makes a node of a connection to one; what becomes of it goes to the
// cluster's log, where count has one.
func (b *Broker) lasting(c cluster.Cluster, n cluster.Node, target remote.Target, signers []ssh.Signer, now node, count *progress) node {
	log := b.log.With("cluster", c.Name)
	if count != nil {
		log = count.log
	}
	return &steadyNode{broker: b, cluster: c, node: n, target: target, signers: signers, log: log.With("rank", n.Rank), now: now}
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
	err = overLinks(ctx, func() error {
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
		err = overLinks(ctx, func() error {
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
	return overLinks(ctx, func() error {
		client, nth, err := s.client(ctx)
		if err != nil {
			return err
		}
		err = client.PutTree(ctx, src, dest, leave...)
		_ = s.lost(nth, err) // a torn upload is tried again as a whole
		if err != nil && ctx.Err() == nil && !errors.As(err, new(*remote.UploadError)) && !lostNode(err) {
			err = &tornError{err} // something killed it on the way
		}
		return err
	})
}

// tornError is an upload that may work when it is tried again.
type tornError struct{ error }

func (e *tornError) Unwrap() error { return e.error }

// overLinks does what may be repeated again where a connection was lost.
func overLinks(ctx context.Context, f func() error) error {
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
func (s *steadyNode) client(ctx context.Context) (node, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, remote.ErrClosed
	}
	if s.now != nil {
		return s.now, s.nth, nil
	}
	s.log.WarnContext(ctx, "the connection was lost; the same machine is dialled again", "at_most", s.broker.cfg.Timeouts.SSH)
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
func (s *steadyNode) redial(ctx context.Context) (node, error) {
	patience := s.broker.cfg.Timeouts.SSH
	bounded, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	var last error
	for {
		try, done := context.WithTimeout(bounded, askEvery+probeTime) // a slow node needs the probe's time, too
		over := s.endedBeside(try, done)
		client, err := s.broker.answering(try, s.target, s.signers)
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
		if ended || s.broker.ended(bounded, s.cluster, s.node) {
			return nil, &silentError{s.node.Rank, s.node.InstanceID, errEnded}
		}
		if errors.As(err, new(*remote.HostKeyError)) || errors.As(err, new(*remote.AuthError)) { // it came back at once
			_ = pause(bounded, askEvery)
		}
	}
}

// endedBeside asks the cloud every so often, as long as a try goes on, and ends the
// try where the machine does not run any more. It answers once, after the try.
func (s *steadyNode) endedBeside(try context.Context, done func()) <-chan bool {
	over := make(chan bool, 1)
	go func() {
		for pause(try, askEvery) == nil {
			if s.broker.ended(try, s.cluster, s.node) {
				done()
				over <- true
				return
			}
		}
		over <- false
	}()
	return over
}

// ended reports whether the cloud says, twice, that a machine does not run. A
// cloud that cannot be asked says nothing.
func (b *Broker) ended(ctx context.Context, c cluster.Cluster, n cluster.Node) bool {
	session, err := b.openFor(ctx, c)
	if err != nil {
		return false
	}
	ref := c.Ref()
	ref.Instances = []string{n.InstanceID}
	for look := range 2 {
		if look > 0 && pause(ctx, b.cfg.Timeouts.Gone) != nil {
			return false
		}
		alive, err := session.Query(ctx, ref)
		if err != nil {
			return false
		}
		for _, inst := range alive {
			if inst.ID == n.InstanceID && (inst.State == cloud.StateRunning || inst.State == cloud.StatePending) {
				return false
			}
		}
	}
	return true
}

// lostNode reports whether err is about the way to a node, or the node, and not
// about what was to be done there.
func lostNode(err error) bool {
	return errors.As(err, new(*silentError)) || errors.As(err, new(*remote.LinkError))
}
