// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// firewall is one as the API shows it. It guards the droplets that carry one of
// its tags.
type firewall struct {
	ID        string        `json:"id,omitempty"`
	Name      string        `json:"name"`
	Tags      []string      `json:"tags"`
	Inbound   []inboundRule `json:"inbound_rules"`
	CreatedAt time.Time     `json:"created_at,omitzero"`
}

type inboundRule struct {
	Protocol string   `json:"protocol"`
	Ports    string   `json:"ports"`
	From     []string `json:"addresses,omitempty"`
	// FromTags are the tags of droplets that may come in.
	FromTags []string `json:"source_tags,omitempty"`
}

// guide: firewall

// firewallName holds whose a firewall is, since firewalls have no tags of their
// own. It is the tag of the machines behind it, too.
func firewallName(ref cloud.ClusterRef) string {
	return "sky." + escape(ref.Owner) + "." + escape(ref.Cluster) + "." + escape(ref.Generation)
}

// refOf is the inverse of firewallName.
func refOf(name string) (tags map[string]string, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 4 || parts[0] != "sky" {
		return nil, false
	}
	return cloud.ClusterRef{Owner: unescape(parts[1]), Cluster: unescape(parts[2]), Generation: unescape(parts[3])}.Tags(), true
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	all, err := listed(ctx, d.c, "firewalls", url.Values{}, func(f firewall) firewall { return f })
	var own []fleet.Firewall
	for _, f := range all {
		if tags, ok := refOf(f.Name); ok && ref.Owns(tags) {
			own = append(own, fleet.Firewall{ID: f.ID, Name: f.Name, Open: openings(f)})
		}
	}
	return own, err
}

// SetOpenings implements fleet.Firewalls: Pond replaces all rules at once.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, want []fleet.Opening) error {
	return d.c.do(ctx, http.MethodPut, "/v2/firewalls/"+f.ID, firewallOf(f.Name, want), nil)
}

// firewallOf lets in what is wanted, and the machines behind it from one another.
func firewallOf(name string, want []fleet.Opening) firewall {
	f := firewall{Name: name, Tags: []string{name}, Inbound: []inboundRule{{Protocol: "all", FromTags: []string{name}}}}
	for _, o := range want {
		f.Inbound = append(f.Inbound, inboundRule{Protocol: "tcp", Ports: o.Ports.String(), From: []string{o.From}})
	}
	return f
}

// guide: end

// openings are what a firewall lets in from outside.
func openings(f firewall) []fleet.Opening {
	var out []fleet.Opening
	for _, rule := range f.Inbound {
		for _, from := range rule.From {
			o := fleet.Opening{From: from}
			first, last, ranged := strings.Cut(rule.Ports, "-")
			if !ranged {
				last = first
			}
			a, errA := strconv.ParseUint(first, 10, 16)
			b, errB := strconv.ParseUint(last, 10, 16)
			o.Ports = cloud.PortRange{First: uint16(a), Last: uint16(b)}
			if rule.Protocol != "tcp" || errA != nil || errB != nil {
				o.Proto, o.What = rule.Protocol, strings.TrimSpace(rule.Protocol+" "+rule.Ports)
			}
			out = append(out, o)
		}
	}
	return out
}

// guide: things

// Kinds implements fleet.Things.
func (*driver) Kinds() []cloud.ThingKind { return []cloud.ThingKind{cloud.ThingFirewall} }

// Things implements fleet.Things.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, _ cloud.ThingKind) ([]cloud.Thing, error) {
	all, err := listed(ctx, d.c, "firewalls", url.Values{}, func(f firewall) firewall { return f })
	var own []cloud.Thing
	for _, f := range all {
		tags, _ := refOf(f.Name)
		if t, ok := ref.ThingOf(cloud.ThingFirewall, f.ID, f.Name, tags, ""); ok {
			t.CreatedAt = f.CreatedAt
			own = append(own, t)
		}
	}
	return own, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	err := d.c.do(ctx, http.MethodDelete, "/v2/firewalls/"+t.ID, nil, nil)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}

// guide: end
