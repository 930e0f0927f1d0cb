// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// A hook that failed is told of as long as it holds the end, and once more with
// the end; a head that does not answer takes nothing back and fails no refresh.
func TestRefreshTellsOfTheHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		c := launchedAlone(t, x, &autostop.Config{Idle: time.Minute, WaitFor: autostop.Jobs, Hook: "false", HookTimeout: time.Hour, HookHold: time.Hour})
		record := "code=7\nfirst=2000-01-01T00:00:00Z\ntries=3\nhook=1 2\n"
		x.exit = func(_ int, script string) (int, string) {
			if strings.Contains(script, "hook.failed") {
				return 0, record
			}
			return 0, ""
		}
		const want = "the hook of autostop failed: exit code 7, first at 2000-01-01T00:00:00Z, tries 3. Once it has failed for 1h0m0s the cluster stops without it"
		look := func(when string, c cluster.Cluster, status cluster.Status, prefix string, within ...string) cluster.Cluster {
			t.Helper()
			fresh, err := x.Refresh(t.Context(), c)
			if err != nil || fresh.Status != status || !strings.HasPrefix(fresh.StatusReason, prefix) || prefix == "" && fresh.StatusReason != "" {
				t.Errorf("%s: %s %q, %v", when, fresh.Status, fresh.StatusReason, err)
			}
			for _, text := range within {
				if !strings.Contains(fresh.StatusReason, text) {
					t.Errorf("%s: %q does not say %q", when, fresh.StatusReason, text)
				}
			}
			return fresh
		}
		c = look("it failed", c, cluster.StatusUp, want)
		x.dialErr = func(remote.Target) error { return errors.New("no route to host") }
		c = look("the head is silent", c, cluster.StatusUp, want)
		x.dialErr = nil
		record = ""
		look("it has succeeded since", c, cluster.StatusUp, "")
		end(x.cloud, cloud.StateStopped)
		look("it stopped", c, cluster.StatusStopped, "autostop after 1 idle minute", "Before that: "+want)
	})
}
