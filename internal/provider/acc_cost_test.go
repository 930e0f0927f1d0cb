// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/skybroker/terraform-provider-sky/internal/broker/cost"
)

// TestAccCostReport reports a cluster that runs, and, by the command, one that is gone.
func TestAccCostReport(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := lifeConfig(l, 2, "UP", "") + `
data "sky_cost_report" "r" {
  window     = "24h"
  depends_on = [sky_cluster.c]
}
`
	at := func(first string, path ...any) tfjsonpath.Path {
		p := tfjsonpath.New(first)
		for _, step := range path {
			switch s := step.(type) {
			case int:
				p = p.AtSliceIndex(s)
			case string:
				p = p.AtMapKey(s)
			}
		}
		return p
	}
	seen := func(want knownvalue.Check, first string, path ...any) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("data.sky_cost_report.r", at(first, path...), want)
	}
	l.test(
		resource.TestStep{Config: l.config("data \"sky_cost_report\" \"r\" {\n  window = \"soon\"\n}"), ExpectError: regexp.MustCompile("duration")},
		resource.TestStep{Config: lifeConfig(l, 2, "UP", "")},
		resource.TestStep{
			Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionNoop),
			ConfigStateChecks: []statecheck.StateCheck{
				seen(knownvalue.ListSizeExact(1), "clusters"), seen(knownvalue.StringExact("life"), "clusters", 0, "name"), seen(knownvalue.Int64Exact(2), "clusters", 0, "running"),
				seen(knownvalue.Bool(true), "clusters", 0, "priced"), seen(knownvalue.Null(), "clusters", 0, "ended_at"), seen(knownvalue.Float64Exact(2*0.438), "hourly_cost"),
				seen(knownvalue.NotNull(), "total_by_market", "on_demand", "machine_hours"), seen(knownvalue.MapSizeExact(0), "unasked"),
				seen(knownvalue.StringRegexp(regexp.MustCompile("^An estimate")), "note"),
			},
		},
	)
	text, err := runTool(t, "cost", "--state-dir", l.dir, "--json")
	var r cost.Report
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil || len(r.Clusters) != 0 && r.Clusters[0].EndedAt == nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(r.Clusters) != 1 || r.Clusters[0].Total.Hours <= 0 || r.Clusters[0].Total.USD <= 0 || r.All.HourlyUSD != 0 {
		t.Errorf("%s", text)
	}
}
