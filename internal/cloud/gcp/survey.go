// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

var _ cloud.Surveyor = (*driver)(nil)

// Survey implements cloud.Surveyor. Keys are in the machines' metadata, and
// addresses go with their machines.
func (d *driver) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	filter := labelFilter(ref)
	if filter == "" {
		filter = "labels." + cloud.TagOwner + ":*"
	}
	machines, err := d.list(ctx, "", filter)
	if err != nil {
		return nil, err
	}
	var out []cloud.Thing
	for _, m := range machines {
		if t, ok := ref.ThingOf(cloud.ThingMachine, m.id, m.name, m.identity.Tags(), m.region); ok && m.owned && m.state != cloud.StateTerminated {
			in := m.portable(d.sshPort)
			t.Ref.Zone, t.CreatedAt, t.Committed, t.Deadline = m.zone, m.createdAt, in.Committed, in.Deadline
			out = append(out, t)
		}
	}
	rules, err := d.surveyRules(ctx, ref)
	return append(out, rules...), err
}

// surveyRules shows firewall rules; they belong to no region.
func (d *driver) surveyRules(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	return call(ctx, d.c, "list firewall rules", func(ctx context.Context) ([]cloud.Thing, error) {
		var out []cloud.Thing
		err := d.c.api.listFirewalls(ctx, `name eq "sky-.*"`, func(page *compute.FirewallList) error {
			for _, rule := range page.Items {
				var tags map[string]string
				if json.Unmarshal([]byte(rule.Description), &tags) != nil {
					continue
				}
				t, ok := ref.ThingOf(cloud.ThingFirewall, rule.Name, rule.Name, tags, "")
				if ok && strings.HasPrefix(rule.Name, groupName(t.Ref)+"-") {
					t.CreatedAt, _ = time.Parse(time.RFC3339, rule.CreationTimestamp) // zero where it is unreadable
					out = append(out, t)
				}
			}
			return nil
		})
		return out, err
	})
}
