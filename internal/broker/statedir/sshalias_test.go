// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"os"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// TestOneSSHAliasIsOneMachine: cluster r1's worker, cluster r1-worker1 and their
// bastions have names of their own, whichever came first.
func TestOneSSHAliasIsOneMachine(t *testing.T) {
	t.Parallel()
	_, hostKey, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	named := func(name, address string) cluster.Cluster {
		return cluster.Cluster{Name: name, Cloud: "x", SSHUser: "me", Nodes: []cluster.Node{
			{Rank: 0, ExternalIP: address + "0", SSHPort: 22, HostKey: hostKey}, {Rank: 1, ExternalIP: address + "1", SSHPort: 22, HostKey: hostKey},
		}}
	}
	clusters := []cluster.Cluster{named("r1", "10.0.0."), named("r1-worker1", "10.0.1."), named("r1-worker1-worker1", "10.0.2."), named("r1-bastion", "10.0.3."), named("r1-worker", "10.0.4.")}
	for _, order := range [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {1, 0, 3, 2, 4, 1, 0}} {
		d := Dir{Path: t.TempDir(), Bastion: &cluster.Bastion{Host: "b.example.com", User: "me", HostKey: hostKey}}
		for _, i := range order {
			if err := d.Cluster("me", clusters[i].Name).WriteSSHFiles(clusters[i]); err != nil {
				t.Fatal(err)
			}
		}
		at := map[string]string{}
		for _, c := range clusters {
			text, err := os.ReadFile(d.Cluster("me", c.Name).SSHConfigPath())
			if err != nil {
				t.Fatal(err)
			}
			for _, block := range strings.Split(string(text), "\nHost ")[1:] {
				lines := strings.Split(block, "\n  ")
				if was := at[lines[0]]; was != "" {
					t.Errorf("order %v: %s is both %s and %s", order, lines[0], was, lines[1])
				}
				at[lines[0]] = lines[1]
				if _, jump, ok := strings.Cut(block, "ProxyJump "); ok && !strings.Contains(string(text), "\nHost "+strings.TrimSpace(jump)+"\n") {
					t.Errorf("order %v: %s jumps over %s, which is not there:\n%s", order, lines[0], jump, text)
				}
			}
		}
		for alias, want := range map[string]string{
			"r1": "10.0.0.0", "r1+worker1": "10.0.0.1", "r1-worker1": "10.0.1.0", "r1-worker1+worker1": "10.0.1.1", "r1-worker1-worker1": "10.0.2.0",
			"r1-bastion": "10.0.3.0", "r1+bastion": "b.example.com", "r1-worker-worker1": "10.0.4.1",
		} {
			if at[alias] != "HostName "+want {
				t.Errorf("order %v: %s is %q, want %s", order, alias, at[alias], want)
			}
		}
	}
}

func TestSSHConfigWord(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/a/b": "/a/b", "/100%/x": "/100%%/x", "/a b": `"/a b"`, "/#1": `"/#1"`, "/it's": `"/it's"`, `/"q"`: `"/\"q\""`, "/a\tb": "\"/a\tb\"",
	} {
		if got := SSHConfigWord(path); got != want {
			t.Errorf("SSHConfigWord(%q) = %s, want %s", path, got, want)
		}
	}
}
