// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/skybroker/terraform-provider-sky/internal/broker/status"
)

// TestAccStatus shows a cluster with a job that runs.
func TestAccStatus(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(resource.TestStep{
		Config: autostopConfig(l, 2, "autostop = { idle_minutes = 60 }") + `
resource "sky_job" "j" {
  name       = "long"
  cluster_id = sky_cluster.c.id
  run        = "sleep 600"
  wait       = false
}
`,
		Check: func(s *terraform.State) error {
			text, err := runTool(t, "status", "--state-dir", l.dir, "--json")
			var r status.Report
			if err == nil {
				err = json.Unmarshal([]byte(text), &r)
			}
			if err != nil {
				return err
			}
			id := s.RootModule().Resources["sky_job.j"].Primary.ID
			if len(r.Clusters) != 1 || len(r.Clusters[0].Jobs) != 1 || r.Clusters[0].Jobs[0] != id || r.Clusters[0].IdleSeconds == nil || *r.Clusters[0].HourlyUSD != 2*0.438 {
				t.Errorf("want job %s in\n%s", id, text)
			}
			if text, err = runTool(t, "status", "--state-dir", l.dir); err != nil || !strings.Contains(text, "sleepy") || !strings.Contains(text, "complete") {
				t.Errorf("%v\n%s", err, text)
			}
			return nil
		},
	})
}
