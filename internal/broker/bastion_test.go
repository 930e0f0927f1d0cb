// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// bastionFor is a bastion with a key, and its pinned one.
func bastionFor(t *testing.T, clouds ...string) *cluster.Bastion {
	t.Helper()
	private, public, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	own, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Bastion{Host: "bastion.example.com", Port: 2200, User: "me", HostKey: public, Own: func() ([]ssh.Signer, error) { return []ssh.Signer{own}, nil }, Clouds: clouds}
}

func TestNodesAreReachedThroughTheBastion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		x.cfg.Bastion = bastionFor(t, "nimbus")
		var direct, through []string
		x.dialErr = func(target remote.Target) error {
			x.mu.Lock()
			defer x.mu.Unlock()
			if target.Bastion == nil {
				direct = append(direct, target.Host)
			} else {
				through = append(through, target.Bastion.Host)
			}
			return nil
		}
		c, err := x.Launch(t.Context(), twoNodes("c"))
		if err != nil {
			t.Fatal(err)
		}
		if len(direct) != 1 || direct[0] != x.cfg.Bastion.Host || len(through) != 2 {
			t.Errorf("dialled directly %v, through the bastion %v", direct, through)
		}
		text, err := os.ReadFile(x.KnownHostsPath("c"))
		if err != nil || !strings.HasPrefix(string(text), "[bastion.example.com]:2200 ssh-ed25519 ") {
			t.Errorf("known_hosts is %q, %v", text, err)
		}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNoMachineIsMadeBehindAClosedBastion: what nobody could reach is not paid for.
func TestNoMachineIsMadeBehindAClosedBastion(t *testing.T) {
	for name, spoil := range map[string]func(x *bench){
		"another host key": func(x *bench) {
			x.dialErr = func(remote.Target) error { return &remote.HostKeyError{Host: "bastion.example.com"} }
		},
		"no key":       func(x *bench) { x.cfg.Bastion.Own = nil },
		"a lost key":   func(x *bench) { x.cfg.Bastion.KeyPath = "/nonexistent/key" },
		"a dead agent": func(x *bench) { x.cfg.Bastion.Own, x.cfg.Bastion.AgentSocket = nil, "/nonexistent/agent" },
	} {
		t.Run(name, func(t *testing.T) {
			x := newBench(t, stateDir(t), newFakeCloud())
			x.cfg.Bastion = bastionFor(t)
			spoil(x)
			_, err := x.Launch(t.Context(), twoNodes("c"))
			var launch *LaunchError
			if !errors.As(err, &launch) || !strings.Contains(err.Error(), "bastion") || len(launch.Attempts) > 0 {
				t.Errorf("Launch = %v", err)
			}
			if n := len(x.cloud.Machines); n != 0 {
				t.Errorf("%d machines were made", n)
			}
		})
	}
}

func TestBastionServes(t *testing.T) {
	var none *cluster.Bastion
	if none.Serves("aws") || !(&cluster.Bastion{}).Serves("aws") || (&cluster.Bastion{Clouds: []string{"gcp"}}).Serves("aws") {
		t.Error("a bastion serves others than those it is for")
	}
}
