// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Endings of the names of a cluster's rules. A rule holds prefixes of one
// version of IP only, so there may be two for the world outside, each with the
// union of the ports; the third lets the machines reach each other.
const (
	ruleIPv4   = "-v4"
	ruleIPv6   = "-v6"
	ruleInside = "-in"
	// ruleEnding is the room that names leave for the endings, and one more.
	ruleEnding = 4
	// rulePriority is Compute Engine's default.
	rulePriority = 1000
)

// describe writes into a rule whose it is; rules have no labels.
func describe(ref cloud.ClusterRef) string {
	text, _ := json.Marshal(ref.Tags()) //nolint:errchkjson // strings always marshal
	return string(text)
}

// tagsOf reads what describe wrote; none is a rule of somebody else's.
func tagsOf(rule *compute.Firewall) map[string]string {
	var tags map[string]string
	if json.Unmarshal([]byte(rule.Description), &tags) != nil {
		return nil
	}
	own := cloud.ClusterRef{Owner: tags[cloud.TagOwner], Cluster: tags[cloud.TagCluster], Generation: tags[cloud.TagGeneration]}
	if !strings.HasPrefix(rule.Name, groupName(own)+"-") {
		return nil
	}
	return tags
}

// wantedRules are the rules of a cluster that let this in.
func wantedRules(ref cloud.ClusterRef, network string, open []fleet.Opening) []*compute.Firewall {
	tag := groupName(ref)
	base := func(ending string) *compute.Firewall {
		return &compute.Firewall{
			Name: tag + ending, Description: describe(ref), Network: network, Direction: "INGRESS",
			Priority: rulePriority, TargetTags: []string{tag},
		}
	}
	var rules []*compute.Firewall
	for _, version := range []struct {
		ending string
		is4    bool
	}{{ruleIPv4, true}, {ruleIPv6, false}} {
		var sources, ports []string
		for _, o := range open {
			if p, err := netip.ParsePrefix(o.From); err == nil && o.Proto == "" && p.Addr().Is4() == version.is4 {
				sources, ports = append(sources, o.From), append(ports, o.Ports.String())
			}
		}
		if len(sources) > 0 {
			rule := base(version.ending)
			rule.Allowed, rule.SourceRanges = []*compute.FirewallAllowed{{IPProtocol: "tcp", Ports: distinct(ports)}}, distinct(sources)
			rules = append(rules, rule)
		}
	}
	inside := base(ruleInside)
	inside.Allowed, inside.SourceTags = []*compute.FirewallAllowed{{IPProtocol: "all"}}, []string{tag}
	return append(rules, inside)
}

func distinct(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// rules lists the rules of ref's clusters.
func (d *driver) rules(ctx context.Context, ref cloud.ClusterRef) ([]*compute.Firewall, error) {
	return call(ctx, d.c, "list firewall rules", func(ctx context.Context) ([]*compute.Firewall, error) {
		var own []*compute.Firewall
		err := d.c.api.listFirewalls(ctx, `name eq "sky-.*"`, func(page *compute.FirewallList) error {
			for _, rule := range page.Items {
				if _, ok := ref.ThingOf(cloud.ThingFirewall, rule.Name, rule.Name, tagsOf(rule), ""); ok {
					own = append(own, rule)
				}
			}
			return nil
		})
		return own, err
	})
}

// firewalled is what the driver keeps of a cluster's firewall: its rules.
type firewalled struct {
	ref     cloud.ClusterRef
	network string
	rules   []*compute.Firewall
}

// Firewalls implements fleet.Firewalls: the rules of a cluster are one.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	own, err := d.rules(ctx, ref)
	if err != nil || len(own) == 0 {
		return nil, err
	}
	network := own[0].Network
	if i := strings.Index(network, "projects/"); i >= 0 {
		network = network[i:]
	}
	return []fleet.Firewall{{Name: groupName(ref), Open: openings(ref, own), Native: firewalled{ref, network, own}}}, nil
}

// firewall is that of a cluster in a network; it may have no rules yet.
func (d *driver) firewall(ctx context.Context, ref cloud.ClusterRef, network string) (fleet.Firewall, error) {
	all, err := d.Firewalls(ctx, ref)
	if err != nil || len(all) > 0 {
		return append(all, fleet.Firewall{})[0], err
	}
	return fleet.Firewall{Name: groupName(ref), Native: firewalled{ref: ref, network: network}}, nil
}

// SetOpenings implements fleet.Firewalls.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, open []fleet.Opening) error {
	have, _ := f.Native.(firewalled)
	return d.setRules(ctx, have.rules, wantedRules(have.ref, have.network, open))
}

// Kinds implements fleet.Things.
func (*driver) Kinds() []cloud.ThingKind {
	return []cloud.ThingKind{cloud.ThingFirewall, cloud.ThingDisk}
}

// Things implements fleet.Things. Keys are in the machines' metadata, and
// addresses go with their machines; firewall rules belong to no region.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	if kind == cloud.ThingDisk {
		return d.disks(ctx, ref)
	}
	own, err := d.rules(ctx, ref)
	var out []cloud.Thing
	for _, rule := range own {
		t, _ := ref.ThingOf(cloud.ThingFirewall, rule.Name, rule.Name, tagsOf(rule), "")
		t.CreatedAt, _ = time.Parse(time.RFC3339, rule.CreationTimestamp) // zero where it is unreadable
		out = append(out, t)
	}
	return out, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	if t.Kind == cloud.ThingDisk {
		return d.deleteDisk(ctx, t.Ref.Zone, t.ID)
	}
	return d.deleteRule(ctx, t.ID)
}

// setRules leads from the rules that are there to those wanted.
func (d *driver) setRules(ctx context.Context, have, want []*compute.Firewall) error {
	for _, rule := range want {
		i := slices.IndexFunc(have, func(h *compute.Firewall) bool { return h.Name == rule.Name })
		switch {
		case i < 0:
			if err := d.insertRule(ctx, rule); err != nil {
				return err
			}
		case !sameRule(have[i], rule):
			if err := d.patchRule(ctx, rule); err != nil {
				return err
			}
		}
	}
	for _, rule := range have {
		if !slices.ContainsFunc(want, func(w *compute.Firewall) bool { return w.Name == rule.Name }) {
			if err := d.deleteRule(ctx, rule.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameRule(have, want *compute.Firewall) bool {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	if len(have.Allowed) != len(want.Allowed) || have.Disabled || !strings.HasSuffix(have.Network, want.Network) ||
		have.Direction != want.Direction || have.Priority != want.Priority || !reflect.DeepEqual(sorted(have.TargetTags), sorted(want.TargetTags)) {
		return false
	}
	for i, a := range have.Allowed {
		if !strings.EqualFold(a.IPProtocol, want.Allowed[i].IPProtocol) || !reflect.DeepEqual(sorted(a.Ports), sorted(want.Allowed[i].Ports)) {
			return false
		}
	}
	return reflect.DeepEqual(sorted(have.SourceRanges), sorted(want.SourceRanges)) && reflect.DeepEqual(sorted(have.SourceTags), sorted(want.SourceTags))
}

// insertRule makes a rule, or takes the one that somebody made meanwhile.
func (d *driver) insertRule(ctx context.Context, rule *compute.Firewall) error {
	err := d.c.do(ctx, "create firewall rule "+rule.Name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.insertFirewall(ctx, rule)
	})
	if !table().HasCode(err, codeExists, codeExistsOp) {
		return err
	}
	there, err := call(ctx, d.c, "look up firewall rule "+rule.Name, func(ctx context.Context) (*compute.Firewall, error) {
		return d.c.api.getFirewall(ctx, rule.Name)
	})
	switch {
	case err != nil:
		return err
	case there.Description != rule.Description:
		return fleet.ConfigErrorf(cloud.ScopeCloud, "a firewall rule named %s exists and is not this cluster's", rule.Name)
	case sameRule(there, rule):
		return nil
	}
	return d.patchRule(ctx, rule)
}

func (d *driver) patchRule(ctx context.Context, rule *compute.Firewall) error {
	changed := *rule
	changed.Network = "" // it cannot change
	return d.c.do(ctx, "change firewall rule "+rule.Name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.patchFirewall(ctx, rule.Name, &changed)
	})
}

func (d *driver) deleteRule(ctx context.Context, name string) error {
	return unlessGone(d.c.do(ctx, "delete firewall rule "+name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.deleteFirewall(ctx, name)
	}))
}

// PortDrift implements cloud.Auditor. A rule can also be another one without
// letting in anything else.
func (d *driver) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	out, err := d.Fleet.PortDrift(ctx, ref, prefixes, ports)
	if err != nil || len(out) > 0 {
		return out, err //nolint:wrapcheck // the fleet says what was done
	}
	have, err := d.rules(ctx, ref)
	if err != nil {
		return nil, err
	}
	for _, w := range wantedRules(ref, have[0].Network, d.Openings(prefixes, ports)) {
		if !slices.ContainsFunc(have, func(h *compute.Firewall) bool { return h.Name == w.Name && sameRule(h, w) }) {
			out = append(out, "firewall rule "+w.Name+" is missing or another one")
		}
	}
	return out, nil
}

// openings are what rules let in that are in force, but for what lets the
// machines reach one another.
func openings(ref cloud.ClusterRef, rules []*compute.Firewall) []fleet.Opening {
	var out []fleet.Opening
	add := func(rule *compute.Firewall, o fleet.Opening) {
		for _, from := range slices.Concat(rule.SourceRanges, rule.SourceTags) {
			o.From = from
			if o.What != "all" || from != groupName(ref) {
				out = append(out, o)
			}
		}
	}
	for _, rule := range rules {
		if rule.Disabled {
			continue
		}
		for _, allowed := range rule.Allowed {
			proto := strings.ToLower(allowed.IPProtocol)
			if proto != "tcp" || len(allowed.Ports) == 0 {
				add(rule, fleet.Opening{Proto: proto, What: strings.TrimSpace(proto + " " + strings.Join(allowed.Ports, ", "))})
				continue
			}
			for _, text := range allowed.Ports {
				if p, err := cloud.ParsePorts(text); err == nil {
					add(rule, fleet.Opening{Ports: p[0]})
				}
			}
		}
	}
	return out
}
