// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Every run of a CI job loses its state and its disk. With create_before_destroy
// the second takes the first's cluster for the one to replace, and says so; the
// third launches nothing.
func TestLostStatesWithCreateBeforeDestroyAreBounded(t *testing.T) {
	for _, kept := range []bool{false, true} { // the folder with the journal
		t.Run(map[bool]string{false: "disk lost", true: "disk kept"}[kept], func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				fc, dir := newFakeCloud(), stateDir(t)
				spec := twoNodes("train")
				spec.Beside = true
				run := func() (cluster.Cluster, error) {
					if !kept {
						dir = stateDir(t)
					}
					x := owning(t, dir, fc, "ml-team")
					c, err := x.Launch(t.Context(), spec)
					x.HandOver(t.Context())
					return c, err
				}
				first, err := run()
				if err != nil || len(first.Replaced) != 0 {
					t.Fatalf("first: %+v, %v", first.Replaced, err)
				}
				second, err := run()
				if err != nil || len(second.Replaced) != 1 || second.Replaced[0].Generation != first.Generation || second.Replaced[0].ID != first.ID {
					t.Fatalf("second: %+v, %v; want the first to be named", second.Replaced, err)
				}
				if _, err := run(); err == nil || !strings.Contains(err.Error(), "terraform import") || !strings.Contains(err.Error(), first.Generation) {
					t.Errorf("third: %v", err)
				}
				if n := len(fc.Live("ml-team")); n != 4 {
					t.Errorf("%d machines are alive, want 4", n)
				}
			})
		})
	}
}
