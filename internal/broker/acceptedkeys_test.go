// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// A cluster that grows from a colleague's computer gets on its new nodes the keys
// that the old ones let in, and where this computer has none, no machine is made.
func TestGrowthUsesTheKeysThatTheOldNodesLetIn(t *testing.T) {
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
		team, spare, bobs := key("team"), key("spare"), key("bobs")
		having := func(x *bench, own ...ssh.Signer) *bench {
			x.cfg.Signers = func() ([]ssh.Signer, error) { return own, nil }
			dial := x.dial
			x.dial = func(ctx context.Context, target remote.Target, signers []ssh.Signer) (nodes.Node, error) {
				if !slices.ContainsFunc(signers, func(s ssh.Signer) bool { return s == team || s == spare }) {
					return nil, &remote.AuthError{Host: target.Host, User: target.User, Err: errors.New("denied")}
				}
				return dial(ctx, target, signers)
			}
			return x
		}
		fc := newFakeCloud()
		alice := having(newBench(t, stateDir(t), fc), team, spare)
		c := alice.mustLaunch(t, twoNodes("train"))
		bob := newBench(t, stateDir(t), fc)
		bob.owner = alice.owner
		runs := fc.Called("run")
		_, err := having(bob, bobs).Resize(t.Context(), c, twoNodes("train"), 3)
		if err == nil || !errors.As(err, new(*remote.AuthError)) || !strings.Contains(err.Error(), "SKY_SSH_PRIVATE_KEY") || fc.Called("run") != runs {
			t.Errorf("with another key alone: %v after %d create calls", err, fc.Called("run")-runs)
		}
		var given []string
		fc.OnRun = func(cfg cloud.RunConfig) { given = cfg.Spec.AuthorizedKeys }
		now, err := having(bob, bobs, team, spare).Resize(t.Context(), c, twoNodes("train"), 3)
		if want := []string{remote.AuthorizedKey(team.PublicKey()), remote.AuthorizedKey(spare.PublicKey())}; err != nil || now.Size != 3 || !slices.Equal(given, want) {
			t.Errorf("%d nodes with the keys %q, want %q: %v", now.Size, given, want, err)
		}
	})
}
