// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// cutOff leaves the world as a process does that is killed within the create
// call of an attempt, minutes after it was written down: one machine is made,
// none named, and none is listed for nearly as long as that may be.
func (x *bench) cutOff(t *testing.T, id cloud.Identity) {
	t.Helper()
	ref := cloud.ClusterRef{Owner: x.owner, Cluster: id.Cluster, Generation: id.Generation, Cloud: "nimbus", Region: "r1", Zone: "r1a"}
	deadline := time.Now().Add(time.Hour)
	err := x.withJournal(id.Cluster, func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventAttempt, Generation: id.Generation, Attempt: id.Attempt, Ref: &ref, Account: "acct-1", Nodes: 1, Deadline: &deadline})
	})
	if err == nil {
		err = retry.Pause(t.Context(), 5*time.Minute)
	}
	if err != nil {
		t.Fatal(err)
	}
	x.cloud.Hide = x.cfg.Timeouts.ListDelay - time.Second
	addMachine(x.cloud, id, "r1", "r1a", deadline)
	x.cloud.Hide = 0
}

// What comes at once after a kill late in a slow launch or growth waits for
// what is not listed yet.
func TestKilledLateAndListedLate(t *testing.T) {
	spec := twoNodes("train")
	tests := []struct {
		name   string
		growth bool
		then   func(ctx context.Context, x *bench, c cluster.Cluster) error
		want   int
	}{
		{"launch, then a launch that is refused", false, func(ctx context.Context, x *bench, _ cluster.Cluster) error {
			x.cloud.Faults = []*memcloud.Fault{{Method: "run", Err: errCapacity}}
			if _, err := x.Launch(ctx, spec); !errors.As(err, new(*LaunchError)) {
				return fmt.Errorf("Launch = %w", err)
			}
			return nil
		}, 0},
		{"growth, then growth", true, func(ctx context.Context, x *bench, c cluster.Cluster) error {
			_, err := x.Resize(ctx, c, spec, 3)
			return err
		}, 3},
		{"growth, then destroy", true, func(ctx context.Context, x *bench, c cluster.Cluster) error { return x.Destroy(ctx, c) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newBench(t, stateDir(t), newFakeCloud())
				id := cloud.Identity{Owner: x.owner, Cluster: "train", Generation: "g0", Attempt: 1}
				var c cluster.Cluster
				if tt.growth {
					c = x.mustLaunch(t, spec)
					id.Generation, id.Attempt, id.Rank = c.Generation, 2, 2
				}
				x.cutOff(t, id)
				if err := tt.then(t.Context(), x, c); err != nil {
					t.Fatal(err)
				}
				if err := retry.Pause(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
				x.wantLive(t, tt.want)
			})
		})
	}
}

// Nobody waits for machines that cannot be there.
func TestSettled(t *testing.T) {
	const settle = 20 * time.Second
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	later := now.Add(time.Hour)
	tests := []struct {
		name string
		p    journal.Place
		want time.Time
	}{
		{"nothing is known of the end", journal.Place{Nodes: 2, Created: 1, Deadline: later}, now.Add(settle)},
		{"an entry followed", journal.Place{Nodes: 2, Deadline: later, Ended: ago(time.Minute)}, ago(time.Minute).Add(settle)},
		{"the clock was set back", journal.Place{Nodes: 2, Deadline: later, Ended: later}, now.Add(settle)},
		{"killed yesterday", journal.Place{Nodes: 2, Deadline: ago(time.Hour)}, ago(time.Hour).Add(settle)},
		{"all named", journal.Place{Nodes: 2, Created: 2, Deadline: later}, time.Time{}},
		{"observed gone", journal.Place{Nodes: 2, Deadline: later, Removed: true}, time.Time{}},
		{"made elsewhere", journal.Place{Nodes: 2, Created: 1}, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.p.VisibleBy(now, settle); !got.Equal(tt.want) {
				t.Errorf("settled = %v, want %v", got, tt.want)
			}
		})
	}
}
