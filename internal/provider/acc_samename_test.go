// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestAccSecondResourceOfOneName applies a second resource of the same name and
// request, in a run that never looks at the first one.
func TestAccSecondResourceOfOneName(t *testing.T) {
	t.Parallel()
	both := `
resource "sky_cluster" "first" {
  name      = "train"
  resources = { instance_type = "puff-2" }
}
resource "sky_cluster" "second" {
  name      = "train"
  resources = { instance_type = "puff-2" }
}
`
	for name, args := range map[string][]string{
		"targeted":    {"-target=sky_cluster.second"},
		"unrefreshed": {"-refresh=false"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, both)
			w.mustRun(append(applyArgs(), "-target=sky_cluster.first")...)
			first := w.inState()
			var out bytes.Buffer
			if err := w.start(&out, append(applyArgs(), args...)...).Wait(); err == nil || !strings.Contains(out.String(), "the name is taken") {
				t.Errorf("apply = %v\n%s", err, out.String())
			}
			if now := w.inState(); !slices.Equal(now, first) || len(w.alive()) != 1 {
				t.Errorf("in state %v, want %v; alive %+v", now, first, w.alive())
			}
		})
	}
}
