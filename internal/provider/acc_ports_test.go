// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// firewallRules are the rules of the cloud's firewalls but one, a line each.
func (l *lab) firewallRules(but string) []string {
	l.t.Helper()
	var list struct {
		Firewalls []struct {
			Name  string `json:"name"`
			Rules []struct {
				From  int      `json:"from_port"`
				To    int      `json:"to_port"`
				CIDRs []string `json:"cidrs"`
			} `json:"rules"`
		} `json:"firewalls"`
	}
	l.call("GET", "/v1/firewalls", nil, &list)
	var out []string
	for _, f := range list.Firewalls {
		for _, r := range f.Rules {
			if f.Name != but {
				out = append(out, fmt.Sprintf("%d-%d from %s", r.From, r.To, strings.Join(r.CIDRs, ",")))
			}
		}
	}
	slices.Sort(out)
	return out
}

// open checks that exactly these rules are there.
func (l *lab) open(want ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		if got := l.firewallRules("neighbour"); !slices.Equal(got, want) {
			return fmt.Errorf("open is %q, want %q", got, want)
		}
		return nil
	}
}

// planned checks a value that the plan must know.
func planned(name string, want knownvalue.Check) plancheck.PlanCheck {
	return plancheck.ExpectKnownValue(cluster, tfjsonpath.New(name), want)
}

// withChecks adds checks of the plan to those of action.
func withChecks(checks resource.ConfigPlanChecks, more ...plancheck.PlanCheck) resource.ConfigPlanChecks {
	checks.PreApply = append(checks.PreApply, more...)
	return checks
}

// TestAccPorts opens, adds and closes ports in place; the plan shows, once the
// head is there, where it answers, and who may come in is known after apply; a neighbour's rules
// are never touched.
func TestAccPorts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var neighbour struct {
		Firewall struct {
			ID string `json:"id"`
		} `json:"firewall"`
	}
	l.call("POST", "/v1/firewalls", json.RawMessage(`{"name":"neighbour","region":"meadow-1","tags":{},"rules":[{"from_port":1,"to_port":9,"cidrs":["10.0.0.0/8"]}]}`), &neighbour)
	config := func(ports, rest string) string {
		return l.config(fmt.Sprintf("resource \"sky_cluster\" \"c\" {\n  name = \"ports\"\n  resources = { instance_type = \"puff-2\"%s }\n%s\n}", ports, rest))
	}
	here := knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact("127.0.0.0/8")})
	at := func(ports ...string) knownvalue.Check {
		all := map[string]knownvalue.Check{}
		for _, p := range ports {
			all[p] = knownvalue.StringRegexp(regexp.MustCompile(`^127\.\d+\.\d+\.\d+:` + p + `$`))
		}
		return knownvalue.MapExact(all)
	}
	const ssh = "2222-2222 from 127.0.0.0/8"
	l.test(
		resource.TestStep{
			Config: config("", ""), Check: l.open(ssh),
			ConfigPlanChecks:  withChecks(action(cluster, plancheck.ResourceActionCreate), plancheck.ExpectUnknownValue(cluster, tfjsonpath.New("allowed_cidrs")), planned("endpoints", at())),
			ConfigStateChecks: []statecheck.StateCheck{value("allowed_cidrs", here), value("endpoints", at())},
		},
		resource.TestStep{
			Config: config(`, ports = ["8080"]`, ""), Check: l.open(ssh, "8080-8080 from 127.0.0.0/8"),
			ConfigPlanChecks:  withChecks(action(cluster, plancheck.ResourceActionUpdate), planned("endpoints", at("8080"))),
			ConfigStateChecks: []statecheck.StateCheck{value("endpoints", at("8080"))},
		},
		resource.TestStep{
			Config: config(`, ports = ["8080", "9000-9001", "20000-20100"]`, ""), Check: l.open("20000-20100 from 127.0.0.0/8", ssh, "8080-8080 from 127.0.0.0/8", "9000-9001 from 127.0.0.0/8"),
			ConfigPlanChecks: withChecks(action(cluster, plancheck.ResourceActionUpdate), planned("endpoints", at("8080", "9000", "9001", "20000-20100"))),
		},
		resource.TestStep{
			Config:           config(`, ports = ["9000"]`, `allowed_cidrs = ["127.0.0.0/16", "127.9.0.0/16"]`),
			Check:            l.open("2222-2222 from 127.0.0.0/16,127.9.0.0/16", "9000-9000 from 127.0.0.0/16,127.9.0.0/16"),
			ConfigPlanChecks: withChecks(action(cluster, plancheck.ResourceActionUpdate), planned("endpoints", at("9000"))),
		},
		// Left out again, who may come in stays as it is; the port closes.
		resource.TestStep{
			Config: config("", ""), Check: l.open("2222-2222 from 127.0.0.0/16,127.9.0.0/16"),
			ConfigPlanChecks: withChecks(action(cluster, plancheck.ResourceActionUpdate), planned("endpoints", at())),
		},
		// Stopping and starting keeps the rules.
		resource.TestStep{Config: config("", `desired_status = "STOPPED"`), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate)},
		resource.TestStep{
			Config: config("", ""), ConfigPlanChecks: action(cluster, plancheck.ResourceActionUpdate), Check: l.open("2222-2222 from 127.0.0.0/16,127.9.0.0/16"),
		},
	)
	if got := l.firewallRules(""); !slices.Equal(got, []string{"1-9 from 10.0.0.0/8"}) {
		t.Errorf("the neighbour's rules are %q", got)
	}
	l.call("DELETE", "/v1/firewalls/"+neighbour.Firewall.ID, nil, nil)
}
