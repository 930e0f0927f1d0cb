// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// answers is a node that runs what it is told.
type answers struct{ Node }

func (answers) Run(context.Context, remote.Command) (int, error) { return 0, nil }

// A loaded node that takes most of the time it is given is reached again, and one
// that its cloud has ended is not waited for as long as a try may last.
func TestRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes, gone := time.Duration(0), false
		via := Reach{
			Patience: 10 * time.Minute, Log: slog.New(slog.DiscardHandler), Now: time.Now,
			Ended: func(context.Context, cluster.Cluster, cluster.Node) bool { return gone },
			Connect: func(ctx context.Context, _ remote.Target, _ []ssh.Signer) (Node, error) {
				if err := retry.Pause(ctx, takes); err != nil {
					return nil, err
				}
				return answers{}, nil
			},
		}
		s := &steadyNode{via: via, node: cluster.Node{InstanceID: "i-1"}, log: via.Log}
		takes = askEvery + 2*time.Second
		began := time.Now()
		if up, err := s.redial(t.Context()); err != nil || up == nil || time.Since(began) > askEvery+probeTime {
			t.Errorf("a slow node: %v after %s", err, time.Since(began))
		}
		gone = true
		takes = time.Hour
		began = time.Now()
		if _, err := s.redial(t.Context()); !errors.Is(err, errEnded) || !errors.As(err, new(*silentError)) || time.Since(began) >= askEvery+probeTime {
			t.Errorf("a node that was ended: %v after %s", err, time.Since(began))
		}
	})
}
