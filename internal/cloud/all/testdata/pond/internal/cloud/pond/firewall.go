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

// maxName is how long the name of a firewall may be, before it is escaped.
const maxName = 255 / 3

// firewallName holds whose a firewall is, since firewalls have no tags of their
// own. It is the tag of the machines behind it, too.
func firewallName(ref cloud.ClusterRef) string { return escape(ref.FullName(maxName)) }

// firewallsOf are the firewalls of ref's clusters, and whose each is.
func (d *driver) firewallsOf(ctx context.Context, ref cloud.ClusterRef) (own []firewall, whose []cloud.ClusterRef, err error) {
	all, err := listed(ctx, d.c, "firewalls", url.Values{}, func(f firewall) firewall { return f })
	for _, f := range all {
		if of, ok := cloud.RefOf(maxName, []cloud.ClusterRef{ref}, unescape(f.Name)); ok && ref.Owns(of.Tags()) {
			own, whose = append(own, f), append(whose, of)
		}
	}
	return own, whose, err
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) (own []fleet.Firewall, err error) {
	all, _, err := d.firewallsOf(ctx, ref)
	for _, f := range all {
		own = append(own, fleet.Firewall{ID: f.ID, Name: f.Name, Open: openings(f)})
	}
	return own, err
}

// SetOpenings implements fleet.Firewalls: Pond replaces all rules at once.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, want []fleet.Opening) error {
	return d.c.Do(ctx, http.MethodPut, "/v2/firewalls/"+f.ID, nil, firewallOf(f.Name, want), nil)
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
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, _ cloud.ThingKind) (own []cloud.Thing, err error) {
	all, whose, err := d.firewallsOf(ctx, ref)
	for i, f := range all {
		if t, ok := ref.ThingOf(cloud.ThingFirewall, f.ID, f.Name, whose[i].Tags(), ""); ok {
			t.CreatedAt = f.CreatedAt
			own = append(own, t)
		}
	}
	return own, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	err := d.c.Do(ctx, http.MethodDelete, "/v2/firewalls/"+t.ID, nil, nil, nil)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}

// guide: end
