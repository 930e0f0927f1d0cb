// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// A team shares the state, not the state folders: the journal of one computer
// knows nothing of a resize from another, and yields to the state.
func TestRefreshAfterAResizeElsewhere(t *testing.T) {
	for name, nodes := range map[string]int{"grown": 3, "shrunk": 1} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				fc := newFakeCloud()
				alice := newBench(t, stateDir(t), fc)
				c := alice.mustLaunch(t, twoNodes("train"))
				if _, err := alice.Refresh(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				bob := newBench(t, stateDir(t), fc)
				bob.owner = alice.owner
				now, err := bob.Resize(t.Context(), c, twoNodes("train"), nodes)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					got, err := alice.Refresh(t.Context(), now)
					if err != nil || got.Size != nodes || got.Status != cluster.StatusUp || got.HourlyUSD != now.HourlyUSD {
						t.Errorf("Refresh = %s with %d nodes at %v, %v", got.Status, got.Size, got.HourlyUSD, err)
					}
				}
			})
		})
	}
}

// A restore whose result never reached state is found by a refresh, whatever
// was recorded of it.
func TestRefreshAfterARestoreThatStateMissed(t *testing.T) {
	for _, last := range []journal.Event{journal.EventCommitting, journal.EventRecorded} {
		t.Run(string(last), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				c := x.mustLaunch(t, twoNodes("train"))
				x.lose(1)
				seen, err := x.Refresh(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				x.hooks.Append = func(line []byte) error {
					if last == journal.EventCommitting && strings.Contains(string(line), string(journal.EventRecorded)) {
						return errors.New("the process was killed")
					}
					return nil
				}
				whole, err := x.Restore(t.Context(), seen, twoNodes("train"))
				if (err != nil) != (last == journal.EventCommitting) {
					t.Fatalf("Restore: %v", err)
				}
				x.hooks.Append = nil
				for range 2 {
					got, err := x.Refresh(t.Context(), seen)
					if err != nil || got.Status != cluster.StatusUp || got.Nodes[1].InstanceID != whole.Nodes[1].InstanceID || got.Nodes[1].HostKey == "" {
						t.Errorf("Refresh = %s %+v, %v", got.Status, got.Nodes, err)
					}
				}
				x.wantLive(t, 2)
			})
		})
	}
}
