// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// securityGroup is a firewall of a VPC, in front of the interfaces that have it.
type securityGroup struct {
	ID, Name  string
	CreatedAt time.Time `json:"created_at"`
	VPC       byID
	Rules     []rule
	whose     cloud.ClusterRef
}

type rule struct {
	ID        string  `json:"id,omitempty"`
	Direction string  `json:"direction"`
	Protocol  string  `json:"protocol"`
	First     *uint16 `json:"port_min,omitempty"`
	Last      *uint16 `json:"port_max,omitempty"`
	Remote    remote  `json:"remote"`
}

// remote is who is let in: a prefix, an address, or the machines behind a group.
type remote struct {
	CIDR    string `json:"cidr_block,omitempty"`
	Address string `json:"address,omitempty"`
	ID      string `json:"id,omitempty"`
}

// everything is the protocol of the rules within a cluster, and of what goes out.
const everything = "any"

// from is the source of a rule, as an opening has it.
func (r rule) from() string {
	if a, err := netip.ParseAddr(r.Remote.Address); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return cmp.Or(r.Remote.CIDR, r.Remote.ID)
}

// inside reports whether a rule is one of those that every cluster needs.
func (g securityGroup) inside(r rule) bool {
	return r.Direction != "inbound" || (r.Protocol == everything && r.Remote.ID == g.ID)
}

// groupsOf are the firewalls of ref's clusters, the eldest first.
func (d *driver) groupsOf(ctx context.Context, region string, ref cloud.ClusterRef, query url.Values) ([]securityGroup, error) {
	all, err := listed[securityGroup](ctx, d.c, region, "security_groups", query)
	var own []securityGroup
	for _, g := range all {
		whose, id, ok := named(g.Name, ref)
		if ok && id == nil && (ref.Owner == "" || ref.Owns(whose.Tags())) {
			g.whose = whose
			own = append(own, g)
		}
	}
	slices.SortFunc(own, func(a, b securityGroup) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return own, err
}

func (d *driver) firewallThings(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	all, err := d.groupsOf(ctx, region, ref, nil)
	var own []cloud.Thing
	for _, g := range all {
		if t, ok := ref.ThingOf(cloud.ThingFirewall, g.ID, g.Name, g.whose.Tags(), region); ok {
			t.CreatedAt = g.CreatedAt
			own = append(own, t)
		}
	}
	return own, err
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	regions, err := d.c.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(d.Parallel, regions, func(region string) ([]fleet.Firewall, error) { //nolint:wrapcheck // it names the call
		all, err := d.groupsOf(ctx, region, ref, nil)
		var own []fleet.Firewall
		for _, g := range all {
			own = append(own, fleet.Firewall{ID: g.ID, Name: g.Name, Region: region, Open: openings(g), Native: g})
		}
		return own, err
	})
}

// openings are what a group lets in from outside.
func openings(g securityGroup) []fleet.Opening {
	var out []fleet.Opening
	for _, r := range g.Rules {
		if !g.inside(r) {
			out = append(out, opening(r))
		}
	}
	return out
}

func opening(r rule) fleet.Opening {
	o := fleet.Opening{From: r.from()}
	if r.First != nil && r.Last != nil {
		o.Ports = cloud.PortRange{First: *r.First, Last: *r.Last}
	} else if r.Protocol == "tcp" {
		o.Ports = cloud.PortRange{First: 1, Last: 65535}
	}
	if r.Protocol != "tcp" {
		o.Proto, o.What = r.Protocol, r.Protocol
		if o.Ports != (cloud.PortRange{}) {
			o.What += " " + o.Ports.String()
		}
	}
	return o
}

func ruleOf(o fleet.Opening) rule {
	return rule{Direction: "inbound", Protocol: "tcp", First: &o.Ports.First, Last: &o.Ports.Last, Remote: remote{CIDR: o.From}}
}

// SetOpenings implements fleet.Firewalls: each rule is a call.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, want []fleet.Opening) error {
	g, _ := f.Native.(securityGroup)
	have := openings(g)
	for _, o := range want {
		if o.Proto == "" && !slices.Contains(have, o) {
			if err := d.addRule(ctx, f.Region, g.ID, ruleOf(o)); err != nil {
				return err
			}
		}
	}
	for _, r := range g.Rules {
		if g.inside(r) || slices.Contains(want, opening(r)) {
			continue
		}
		err := d.c.do(ctx, f.Region, http.MethodDelete, "/security_groups/"+g.ID+"/rules/"+r.ID, nil, nil, nil)
		if err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (d *driver) addRule(ctx context.Context, region, group string, r rule) error {
	return d.c.do(ctx, region, http.MethodPost, "/security_groups/"+group+"/rules", nil, r, nil)
}

// ensureFirewall finds or makes the cluster's group, lets its machines reach one
// another and the outside, and lets in whom the spec says.
func (d *driver) ensureFirewall(ctx context.Context, spec cloud.ClusterSpec, region, vpc string) (string, error) {
	name := clusterName(spec.Ref)
	g, err := fleet.FindOrMake(ctx, d.Poll, "security group "+name, func(ctx context.Context) (securityGroup, bool, error) {
		own, err := d.groupsOf(ctx, region, spec.Ref, url.Values{"vpc.id": {vpc}})
		own = slices.DeleteFunc(own, func(g securityGroup) bool { return g.VPC.ID != vpc || g.Name != name })
		if err != nil || len(own) == 0 {
			return securityGroup{}, false, err
		}
		return own[0], true, nil
	}, func(ctx context.Context) error {
		outside := rule{Direction: "outbound", Protocol: everything, Remote: remote{CIDR: "0.0.0.0/0"}}
		err := d.c.do(ctx, region, http.MethodPost, "/security_groups", nil,
			d.grouped(object{"name": name, "vpc": object{"id": vpc}, "rules": []rule{outside}}), nil)
		if hasStatus(err, http.StatusConflict) || isTaken(err) {
			return nil // another session was faster
		}
		return err
	})
	if err != nil {
		return "", err //nolint:wrapcheck // it names the group
	}
	if !slices.ContainsFunc(g.Rules, func(r rule) bool { return r.Direction == "inbound" && g.inside(r) }) {
		if err := d.addRule(ctx, region, g.ID, rule{Direction: "inbound", Protocol: everything, Remote: remote{ID: g.ID}}); err != nil {
			return "", err
		}
	}
	return g.ID, d.OpenFirewall(ctx, spec, fleet.Firewall{ID: g.ID, Name: g.Name, Region: region, Open: openings(g), Native: g})
}

// isTaken reports that a thing of that name exists.
func isTaken(err error) bool {
	var e *fleet.APIError
	return errors.As(err, &e) && e.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(e.Message), "already exists")
}
