// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// A loaded node that takes most of the time it is given is reached again, and one
// that its cloud has ended is not waited for as long as a try may last.
func TestRedial(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		takes := time.Duration(0)
		dial := x.dial
		x.dial = func(ctx context.Context, target remote.Target, signers []ssh.Signer) (node, error) {
			if err := pause(ctx, takes); err != nil {
				return nil, err
			}
			return dial(ctx, target, signers)
		}
		s := &steadyNode{broker: x.Broker, cluster: c, node: c.Nodes[0], target: remote.Target{Host: c.Nodes[0].ExternalIP}, log: x.log}
		takes = askEvery + 2*time.Second
		began := time.Now()
		if up, err := s.redial(t.Context()); err != nil || up == nil || time.Since(began) > askEvery+probeTime {
			t.Errorf("a slow node: %v after %s", err, time.Since(began))
		}
		x.cloud.machines[0].State = cloud.StateTerminated
		takes = time.Hour
		began = time.Now()
		if _, err := s.redial(t.Context()); !errors.Is(err, errEnded) || !errors.As(err, new(*silentError)) || time.Since(began) >= askEvery+probeTime {
			t.Errorf("a node that was ended: %v after %s", err, time.Since(began))
		}
	})
}
