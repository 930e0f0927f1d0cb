// SPDX-License-Identifier: MPL-2.0

// Package injected runs the suite on injected time, so that a cloud's own pace
// costs none.
package injected

import (
	"testing"
	"testing/synctest"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// Run is cloudtest.RunEach with each case in a bubble of testing/synctest. The
// cloud must be in memory: whoever waits for a port of this computer stops the time.
func Run(t *testing.T, newHarness func(*testing.T) cloudtest.Harness) {
	t.Helper()
	for _, c := range cloudtest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				if !c.Applies(cloud.CapabilitiesOf(h.Factory(), h.Credentials())) {
					t.Log("does not apply: the cloud's Capabilities exclude it")
				} else if err := c.Run(t.Context(), h); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
