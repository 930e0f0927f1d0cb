// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
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

// ownsRule reports whether a rule is one of the ref's clusters.
func ownsRule(ref cloud.ClusterRef, rule *compute.Firewall) bool {
	var tags map[string]string
	if json.Unmarshal([]byte(rule.Description), &tags) != nil {
		return false
	}
	own := cloud.ClusterRef{Owner: tags[cloud.TagOwner], Cluster: tags[cloud.TagCluster], Generation: tags[cloud.TagGeneration]}
	return ref.Owns(tags) && strings.HasPrefix(rule.Name, groupName(own)+"-")
}

// wantedRules are the rules of a cluster that lets these prefixes reach SSH and
// these ports.
func wantedRules(ref cloud.ClusterRef, network string, prefixes []netip.Prefix, ports []cloud.PortRange) []*compute.Firewall {
	tag := groupName(ref)
	base := func(ending string) *compute.Firewall {
		return &compute.Firewall{
			Name: tag + ending, Description: describe(ref), Network: network, Direction: "INGRESS",
			Priority: rulePriority, TargetTags: []string{tag},
		}
	}
	open := []*compute.FirewallAllowed{{IPProtocol: "tcp", Ports: portTexts(ports)}}
	var rules []*compute.Firewall
	for _, version := range []struct {
		ending string
		is4    bool
	}{{ruleIPv4, true}, {ruleIPv6, false}} {
		var sources []string
		for _, p := range prefixes {
			if p.Addr().Is4() == version.is4 {
				sources = append(sources, p.Masked().String())
			}
		}
		if len(sources) > 0 {
			slices.Sort(sources)
			rule := base(version.ending)
			rule.Allowed, rule.SourceRanges = open, slices.Compact(sources)
			rules = append(rules, rule)
		}
	}
	inside := base(ruleInside)
	inside.Allowed, inside.SourceTags = []*compute.FirewallAllowed{{IPProtocol: "all"}}, []string{tag}
	return append(rules, inside)
}

// portTexts are SSH and the ports, sorted.
func portTexts(ports []cloud.PortRange) []string {
	all := append([]cloud.PortRange{{First: sshPort, Last: sshPort}}, ports...)
	slices.SortFunc(all[1:], func(a, b cloud.PortRange) int {
		return int(a.First)<<16 + int(a.Last) - int(b.First)<<16 - int(b.Last)
	})
	var out []string
	for _, p := range all {
		if !slices.Contains(out, p.String()) {
			out = append(out, p.String())
		}
	}
	return out
}

// portsOf are the ports of rules, without SSH.
func portsOf(rules []*compute.Firewall) []cloud.PortRange {
	var out []cloud.PortRange
	for _, rule := range rules {
		for _, allowed := range rule.Allowed {
			for _, text := range allowed.Ports {
				p, err := cloud.ParsePorts(text) // one by one: together, neighbours would become one
				if ssh := (cloud.PortRange{First: sshPort, Last: sshPort}); err == nil && p[0] != ssh && !slices.Contains(out, p[0]) {
					out = append(out, p[0])
				}
			}
		}
	}
	return out
}

// rules lists the rules of ref's clusters.
func (d *driver) rules(ctx context.Context, ref cloud.ClusterRef) ([]*compute.Firewall, error) {
	if ref.Owner == "" {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	return call(ctx, d.c, "list firewall rules", func(ctx context.Context) ([]*compute.Firewall, error) {
		var own []*compute.Firewall
		err := d.c.api.listFirewalls(ctx, `name eq "sky-.*"`, func(page *compute.FirewallList) error {
			for _, rule := range page.Items {
				if ownsRule(ref, rule) {
					own = append(own, rule)
				}
			}
			return nil
		})
		return own, err
	})
}

// ensureFirewall makes the rules, brings the prefixes up to date and adds the
// spec's ports. It closes no port: that is for OpenPorts.
func (d *driver) ensureFirewall(ctx context.Context, cfg cloud.RunConfig, s settings) error {
	have, err := d.rules(ctx, cfg.Spec.Ref)
	if err != nil {
		return err
	}
	prefixes, err := d.cidrs(ctx, s, cfg.Spec.AllowedCIDRs)
	if err != nil {
		return err
	}
	ports := append(slices.Clone(cfg.Spec.Ports), portsOf(have)...)
	return d.setRules(ctx, have, wantedRules(cfg.Spec.Ref, found(cfg)[resourceNetwork], prefixes, ports))
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
	if !hasCode(err, codeExists, codeExistsOp) {
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
	err := d.c.do(ctx, "delete firewall rule "+name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.deleteFirewall(ctx, name)
	})
	if isNotFound(err) {
		return nil
	}
	return err
}

// OpenPorts implements cloud.Provisioner. SSH always stays open.
func (d *driver) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	have, err := d.rules(ctx, ref)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return fmt.Errorf("cluster %q has no firewall rules: %w", ref.Cluster, cloud.ErrNotFound)
	}
	s, err := d.defaults.with(cfg.Spec.NodeConfig)
	if err != nil {
		return err
	}
	prefixes, err := d.cidrs(ctx, s, cfg.Spec.AllowedCIDRs)
	if err != nil {
		return err
	}
	link := have[0].Network
	if i := strings.Index(link, "projects/"); i >= 0 {
		link = link[i:]
	}
	return d.setRules(ctx, have, wantedRules(ref, link, prefixes, ports))
}

// PortDrift implements cloud.Auditor.
func (d *driver) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	have, err := d.rules(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(have) == 0 {
		return []string{"the firewall rules are gone"}, nil
	}
	want := wantedRules(ref, have[0].Network, prefixes, ports)
	out := fleet.Drift(openings(have), openings(want))
	for _, h := range have {
		i := slices.IndexFunc(want, func(w *compute.Firewall) bool { return w.Name == h.Name })
		if i >= 0 && !sameRule(h, want[i]) && len(out) == 0 {
			out = append(out, "firewall rule "+h.Name+" is another one")
		}
	}
	return out, nil
}

// openings are what rules let in that are in force.
func openings(rules []*compute.Firewall) []string {
	var out []string
	for _, rule := range rules {
		if rule.Disabled {
			continue
		}
		for _, allowed := range rule.Allowed {
			proto := strings.ToLower(allowed.IPProtocol)
			what := slices.Clone(allowed.Ports)
			if proto != "tcp" || len(what) == 0 {
				what = []string{strings.TrimSpace(proto + " " + strings.Join(allowed.Ports, ", "))}
			}
			for _, w := range what {
				for _, from := range slices.Concat(rule.SourceRanges, rule.SourceTags) {
					out = append(out, fleet.OpeningLine(w, from))
				}
			}
		}
	}
	return out
}

// CleanupPorts implements cloud.Provisioner. It looks again after it deleted,
// until it sees nothing.
func (d *driver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	refused := 0
	return retry.Poll(ctx, d.poll, func(ctx context.Context) (bool, error) {
		own, err := d.rules(ctx, ref)
		if err != nil {
			return false, retry.Stop(err)
		}
		if len(own) == 0 {
			return true, nil
		}
		err = each(own, func(rule *compute.Firewall) error { return d.deleteRule(ctx, rule.Name) })
		if refused++; err != nil && (!isTransient(err) || refused >= d.missingLooks) {
			return false, retry.Stop(err)
		}
		return false, err
	})
}
