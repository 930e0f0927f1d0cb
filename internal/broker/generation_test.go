// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// A job's cluster is found by its generation, whatever this computer has recorded
// and whomever it acts for: as the cloud sees it now, and gone only where it is.
func TestFindGeneration(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		x := newBench(t, stateDir(t), fc)
		c := x.mustLaunch(t, twoNodes("train"))
		of := Whose{Owner: c.Owner, Account: c.Account, Generation: c.Generation}
		elsewhere := newBench(t, stateDir(t), fc) // an owner of its own
		if elsewhere.owner == c.Owner {
			t.Fatal("both act for the same owner")
		}
		for _, m := range fc.Machines { // restarted from another computer
			m.ExternalIP = "198.51.100.7"
		}
		for name, b := range map[string]*bench{"here": x, "elsewhere": elsewhere} {
			got, err := b.FindGeneration(t.Context(), c.ID, of)
			if err != nil || got.Generation != c.Generation || len(got.Nodes) != 2 || got.Nodes[0].ExternalIP != "198.51.100.7" || got.Nodes[0].HostKey != c.Nodes[0].HostKey {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			of := of
			of.Generation = "ffffffffffff"
			if _, err := b.FindGeneration(t.Context(), c.ID, of); !errors.Is(err, cloud.ErrNotFound) {
				t.Errorf("%s, another generation: %v", name, err)
			}
			of = Whose{Owner: c.Owner, Account: "another", Generation: c.Generation}
			if got, err := elsewhere.FindGeneration(t.Context(), c.ID, of); err == nil || errors.Is(err, cloud.ErrNotFound) {
				t.Errorf("%s, another account: %+v, %v", name, got, err)
			}
		}
		if err := x.Destroy(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string]*bench{"here": x, "elsewhere": elsewhere} {
			if got, err := b.FindGeneration(t.Context(), c.ID, of); !errors.Is(err, cloud.ErrNotFound) {
				t.Errorf("%s, after the removal: %+v, %v", name, got, err)
			}
		}
	})
}

// Where nobody says whose cluster it is, that another owner has none proves nothing.
func TestFindGenerationOfAnUnknownOwner(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		x := newBench(t, stateDir(t), fc)
		c := x.mustLaunch(t, twoNodes("train"))
		of := Whose{Generation: c.Generation}
		if got, err := x.FindGeneration(t.Context(), c.ID, of); err != nil || got.Generation != c.Generation {
			t.Errorf("here: %+v, %v", got, err)
		}
		elsewhere := newBench(t, stateDir(t), fc)
		if _, err := elsewhere.FindGeneration(t.Context(), c.ID, of); err == nil || errors.Is(err, cloud.ErrNotFound) || !strings.Contains(err.Error(), "Set owner") {
			t.Errorf("as another owner: %v", err)
		}
		elsewhere.owner = c.Owner
		if got, err := elsewhere.FindGeneration(t.Context(), c.ID, of); err != nil || got.Generation != c.Generation {
			t.Errorf("as the owner: %+v, %v", got, err)
		}
	})
}

// A cluster that another computer has grown is found with the machines that it has
// now, by the computer whose journal has fewer, and without a template.
func TestFindGenerationThatGrewElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		alice := newBench(t, stateDir(t), fc)
		c := alice.mustLaunch(t, twoNodes("train"))
		bob := newBench(t, stateDir(t), fc)
		bob.owner = alice.owner
		now, err := bob.Resize(t.Context(), c, twoNodes("train"), 3)
		if err != nil {
			t.Fatal(err)
		}
		alice.cfg.TemplateDir = "/proc/self/no-such-folder"
		got, err := alice.FindGeneration(t.Context(), c.ID, Whose{Owner: c.Owner, Account: c.Account, Generation: c.Generation})
		if err != nil || got.Size != 3 || got.Status != cluster.StatusUp || got.HourlyUSD != now.HourlyUSD || got.SSHUser != c.SSHUser ||
			len(got.Nodes) != 3 || got.Nodes[2].InstanceID != now.Nodes[2].InstanceID || got.Nodes[0].HostKey != c.Nodes[0].HostKey {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// What a process has seen last is what lives under an id.
func TestCurrentGeneration(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fc := newFakeCloud()
		x := newBench(t, stateDir(t), fc)
		old := x.mustLaunch(t, twoNodes("train"))
		if got := x.Current(old.ID); got != "" {
			t.Errorf("before a refresh: %q", got)
		}
		fresh, err := x.Refresh(t.Context(), old)
		if err != nil || x.Current(old.ID) != old.Generation || !reflect.DeepEqual(fresh.Nodes, old.Nodes) {
			t.Errorf("%q, %v", x.Current(old.ID), err)
		}
		later := fresh
		later.Generation, later.LaunchedAt = "ffffffffffff", "2999-01-01T00:00:00Z"
		x.memory.NoteSeen(later.Generation, later)
		if got := x.Current(old.ID); got != later.Generation {
			t.Errorf("with a later one: %q", got)
		}
	})
}
