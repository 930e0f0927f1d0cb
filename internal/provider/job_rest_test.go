// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// A job on a stopped cluster keeps its status, at once and without a connection:
// how it ended is on the disk. On one that removed itself nobody knows.
func TestJobOfAClusterAtRest(t *testing.T) {
	for _, tt := range []struct {
		name    string
		known   broker.Status // before anybody asks
		later   broker.Status // what the cloud says once it is asked
		wait    bool
		status  string
		says    []string
		instant bool
	}{
		{"stopped", broker.StatusStopped, "", true, "RUNNING", []string{"is stopped: autostop", "stands on the disk", "last seen RUNNING", "on_autostop"}, true},
		{"stopped, not waited for", broker.StatusStopped, "", false, "RUNNING", []string{"is stopped: autostop"}, true},
		{"removed itself", broker.StatusTerminated, "", true, "UNKNOWN", []string{"nobody had read how the job ended: autostop"}, true},
		{"stops meanwhile", broker.StatusUp, broker.StatusStopped, true, "RUNNING", []string{"is stopped: autostop", "last seen RUNNING"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := silentHead(24 * time.Hour)
				h, m := aHandle(t, r)
				if tt.instant {
					h.runner = nil // nobody is asked
				}
				m.Wait, m.Status = types.BoolValue(tt.wait), types.StringValue("RUNNING")
				h.cluster = broker.Cluster{ID: "c/r/n", Status: tt.known, StatusReason: "autostop after 5 idle minutes"}
				h.broker = &fakeRefresh{sees: func(_ int, c broker.Cluster) broker.Cluster {
					c.Status = tt.later
					return c
				}}
				began := time.Now()
				diags := h.follow(t.Context(), m, false)
				if took := time.Since(began); took > 2*time.Minute || tt.instant && took > 0 {
					t.Errorf("it took %s", took)
				}
				text := ""
				for _, d := range diags {
					text += d.Summary() + "\n" + d.Detail() + "\n"
				}
				for _, want := range tt.says {
					if !strings.Contains(text, want) {
						t.Errorf("%q is not in %s", want, text)
					}
				}
				if m.Status.ValueString() != tt.status || !diags.HasError() {
					t.Errorf("%s, %v", m.Status, diags)
				}
			})
		})
	}
}
