// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"strings"
	"testing"
)

// An apply was killed after its cluster was complete, and the configuration was
// edited: the error names the two ways out, and both work.
func TestEditAfterAKilledApply(t *testing.T) {
	for _, way := range []string{"undo the edit", "import"} {
		t.Run(way, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				dir, fc := stateDir(t), newFakeCloud()
				c := newBench(t, dir, fc).mustLaunch(t, twoNodes("train"))
				edited := twoNodes("train")
				edited.Setup = "pip install more"
				next := newBench(t, dir, fc)
				_, err := next.Launch(t.Context(), edited)
				if ie := (*ImportError)(nil); !errors.As(err, &ie) || ie.ID != c.ID || !ie.Edited {
					t.Fatalf("Launch = %v, want an ImportError about an edit", err)
				}
				for _, part := range []string{"Undo the edit and apply", "terraform import <address> " + c.ID, "terraform destroy removes it"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("it does not say %q: %v", part, err)
					}
				}
				if way == "import" {
					got, err := next.Find(t.Context(), c.ID)
					if err != nil || got.Generation != c.Generation {
						t.Fatalf("Find = %+v, %v", got, err)
					}
					if got, err = next.Refresh(t.Context(), got); err != nil {
						t.Fatal(err)
					}
					c = got
				} else if c, err = next.Launch(t.Context(), twoNodes("train")); err != nil {
					t.Fatal(err)
				}
				if err := next.Destroy(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				next.wantLive(t, 0)
			})
		})
	}
}
