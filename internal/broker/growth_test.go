// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// A machine that the cloud takes back while a cluster grows reads as that, and not
// as a node that is slow to answer.
func TestReclaimWhileGrowing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := x.mustLaunch(t, twoNodes("train"))
		x.dialErr = func(target remote.Target) error {
			x.cloud.Mu.Lock()
			defer x.cloud.Mu.Unlock()
			for _, m := range x.cloud.Machines {
				if m.ExternalIP == target.Host && m.Identity.Rank == 2 {
					m.Gone = time.Now().Add(time.Minute) // terminating
					return errors.New("connection refused")
				}
			}
			return nil
		}
		now, err := x.Resize(t.Context(), c, twoNodes("train"), 3)
		if err == nil || !strings.Contains(err.Error(), "only 2 of 3 machines still run (preempted or failed)") || !strings.Contains(err.Error(), "(capacity") {
			t.Errorf("Resize: %v", err)
		}
		if now.Size != 2 || now.Status != cluster.StatusUp {
			t.Errorf("the cluster is %s with %d nodes", now.Status, now.Size)
		}
		x.wantLive(t, 2)
	})
}

// A stopped cluster that has lost a node is restored with the keys that its other
// nodes accept: they are started to say which, and without such a key no machine is
// made, and they are stopped again.
func TestRestoreOfAStoppedClusterUsesItsOwnKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		key := func(name string) ssh.Signer {
			path := filepath.Join(t.TempDir(), name)
			if _, err := remote.EnsureKeyPair(path); err != nil {
				t.Fatal(err)
			}
			signer, err := remote.LoadSigner(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			return signer
		}
		team, bobs := key("team"), key("bobs")
		having := func(x *bench, own ...ssh.Signer) *bench {
			x.cfg.Signers = func() ([]ssh.Signer, error) { return own, nil }
			dial := x.dial
			x.dial = func(ctx context.Context, target remote.Target, signers []ssh.Signer) (nodes.Node, error) {
				if !slices.Contains(signers, team) {
					return nil, &remote.AuthError{Host: target.Host, User: target.User, Err: errors.New("denied")}
				}
				return dial(ctx, target, signers)
			}
			return x
		}
		fc := newFakeCloud()
		alice := having(newBench(t, stateDir(t), fc), team)
		c, err := alice.Stop(t.Context(), alice.mustLaunch(t, twoNodes("train")))
		if err != nil {
			t.Fatal(err)
		}
		alice.lose(1)
		bob := newBench(t, stateDir(t), fc)
		bob.owner = alice.owner
		made := len(fc.Live(alice.owner))
		_, err = having(bob, bobs).Restore(t.Context(), c, twoNodes("train"))
		if err == nil || !errors.As(err, new(*remote.AuthError)) || len(fc.Live(alice.owner)) != made {
			t.Errorf("with another key alone: %v, and %d machines", err, len(fc.Live(alice.owner)))
		}
		if now := fc.Machines[0].View(time.Now()).State; now != cloud.StateStopped {
			t.Errorf("the node that was started to be asked is %s", now)
		}
		var given []string
		fc.OnRun = func(cfg cloud.RunConfig) { given = cfg.Spec.AuthorizedKeys }
		now, err := having(bob, bobs, team).Restore(t.Context(), c, twoNodes("train"))
		if want := []string{remote.AuthorizedKey(team.PublicKey())}; err != nil || now.Status != cluster.StatusUp || !slices.Equal(given, want) {
			t.Errorf("%s with the keys %q, want %q: %v", now.Status, given, want, err)
		}
	})
}
