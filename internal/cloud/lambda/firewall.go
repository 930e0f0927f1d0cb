// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// unguarded is the region where Lambda's rules do not apply.
const unguarded = "us-south-1"

// ruleset is a firewall of one region, in front of the machines that were
// launched with it.
type ruleset struct {
	ID      string
	Name    string
	Region  struct{ Name string }
	Rules   []rule
	Created time.Time
	whose   cloud.ClusterRef
}

type rule struct {
	Protocol    string `json:"protocol"`
	Ports       []int  `json:"port_range,omitempty"`
	Source      string `json:"source_network"`
	Description string `json:"description"`
}

// everything is the protocol of the rules that let a cluster's machines reach one
// another. Only they have it.
const everything = "all"

// maxDescription is how long the description of a rule may be.
const maxDescription = 128

// rulesets are all of ref's clusters, the eldest first. Each rule says whose it is.
func (d *driver) rulesets(ctx context.Context, ref cloud.ClusterRef) ([]ruleset, error) {
	all, err := get[[]ruleset](ctx, d, "/firewall-rulesets")
	if err != nil {
		return nil, err
	}
	var own []ruleset
	for _, r := range all {
		words := []string{r.Name}
		for _, rule := range r.Rules {
			words = append(words, rule.Description)
		}
		var ok bool
		if r.whose, ok = cloud.RefOf(maxName, []cloud.ClusterRef{ref}, words...); ok && (ref.Region == "" || r.Region.Name == ref.Region) {
			own = append(own, r)
		}
	}
	slices.SortFunc(own, func(a, b ruleset) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	return own, nil
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	all, err := d.rulesets(ctx, ref)
	var own []fleet.Firewall
	for _, r := range all {
		if ref.Owns(r.whose.Tags()) {
			own = append(own, fleet.Firewall{ID: r.ID, Name: r.Name, Region: r.Region.Name, Open: openings(r), Native: r})
		}
	}
	return own, err
}

// openings are what a ruleset lets in from outside.
func openings(r ruleset) []fleet.Opening {
	var out []fleet.Opening
	for _, rule := range r.Rules {
		o := fleet.Opening{From: rule.Source}
		if p, err := netip.ParsePrefix(rule.Source); err == nil {
			o.From = p.Masked().String()
		} else if a, err := netip.ParseAddr(rule.Source); err == nil {
			o.From = netip.PrefixFrom(a, a.BitLen()).String()
		}
		if len(rule.Ports) == 2 {
			o.Ports = cloud.PortRange{First: uint16(rule.Ports[0]), Last: uint16(rule.Ports[1])} //nolint:gosec // ports
		}
		switch rule.Protocol {
		case everything:
			continue
		case "tcp":
		default:
			o.Proto, o.What = rule.Protocol, strings.TrimSpace(rule.Protocol+" "+strings.Trim(fmt.Sprint(rule.Ports), "[]"))
		}
		out = append(out, o)
	}
	return out
}

// rulesOf let in what is wanted. Their description says whose they are, since
// names can be too short for that.
func rulesOf(whose cloud.ClusterRef, want []fleet.Opening) []rule {
	rules := make([]rule, 0, len(want))
	for _, o := range want {
		r := rule{Protocol: cmp.Or(o.Proto, "tcp"), Source: o.From, Description: whose.FullName(maxDescription)}
		if o.Ports != (cloud.PortRange{}) {
			r.Ports = []int{int(o.Ports.First), int(o.Ports.Last)}
		}
		rules = append(rules, r)
	}
	return rules
}

// SetOpenings implements fleet.Firewalls: Lambda replaces all rules at once, also
// of machines that run.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, want []fleet.Opening) error {
	r, _ := f.Native.(ruleset)
	inside := slices.DeleteFunc(slices.Clone(r.Rules), func(r rule) bool { return r.Protocol != everything })
	return d.setRules(ctx, r, append(rulesOf(r.whose, want), inside...))
}

func (d *driver) setRules(ctx context.Context, r ruleset, rules []rule) error {
	return d.c.Do(ctx, http.MethodPatch, "/firewall-rulesets/"+r.ID, nil, map[string]any{"rules": rules}, nil) //nolint:wrapcheck // it names the call
}

// ensureRuleset finds or makes the cluster's ruleset of the region, and lets in
// whom the spec says.
func (d *driver) ensureRuleset(ctx context.Context, spec cloud.ClusterSpec, region string) (string, error) {
	if region == unguarded {
		return "", nil
	}
	ref := spec.Ref
	ref.Region = region
	own, err := d.Firewalls(ctx, ref)
	if err != nil {
		return "", err
	}
	if len(own) > 0 {
		return own[0].ID, d.OpenFirewall(ctx, spec, own[0])
	}
	made, err := call[ruleset](ctx, &d.c, http.MethodPost, "/firewall-rulesets", map[string]any{
		"name": ref.FullName(maxName), "region": region, "rules": rulesOf(ref, d.Openings(spec.AllowedCIDRs, spec.Ports)),
	})
	if err == nil && made.ID == "" {
		err = &answerError{"POST /firewall-rulesets"}
	}
	return made.ID, err
}

// OpenPorts implements cloud.Provisioner. Where no rules apply all is open.
func (d *driver) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	if ref.Region == unguarded {
		return nil
	}
	return d.Fleet.OpenPorts(ctx, ref, cfg, ports) //nolint:wrapcheck // it says what was tried
}

// PortDrift implements cloud.Auditor. Where no rules apply none can have changed.
func (d *driver) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	if ref.Region == unguarded {
		return nil, nil
	}
	return d.Fleet.PortDrift(ctx, ref, prefixes, ports) //nolint:wrapcheck // it says what was tried
}

// Wait implements cloud.Provisioner. Once the machines run and have addresses,
// they are let through to one another: Lambda's rules know no other source.
func (d *driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if err := d.Fleet.Wait(ctx, ref, want); err != nil || want != cloud.StateRunning {
		return err //nolint:wrapcheck // it says what was waited for
	}
	whole := ref
	whole.Instances = nil
	found, err := d.Look(ctx, whole)
	if err != nil || len(found.Staying()) < 2 {
		return err //nolint:wrapcheck // it says what was looked for
	}
	all, err := d.Firewalls(ctx, whole)
	if err != nil {
		return err
	}
	for _, f := range all {
		if err := d.join(ctx, f, found.Staying()); err != nil {
			return err
		}
	}
	return nil
}

// join lets through what comes from the machines, by their addresses inside, and
// from no other.
func (d *driver) join(ctx context.Context, f fleet.Firewall, machines []machine) error {
	r, _ := f.Native.(ruleset)
	rules := slices.DeleteFunc(slices.Clone(r.Rules), func(r rule) bool { return r.Protocol == everything })
	outside := len(rules)
	for _, m := range machines {
		if m.Region == r.Region.Name && m.InternalIP != "" {
			rules = append(rules, rule{Protocol: everything, Ports: []int{1, 65535}, Source: m.InternalIP + "/32", Description: r.whose.FullName(maxDescription)})
		}
	}
	known := func(have rule) bool { return slices.ContainsFunc(r.Rules, have.same) }
	if len(rules) == len(r.Rules) && !slices.ContainsFunc(rules[outside:], func(r rule) bool { return !known(r) }) {
		return nil
	}
	return d.setRules(ctx, r, rules)
}

// same reports whether two rules let in the same machine.
func (r rule) same(o rule) bool {
	return r.Protocol == o.Protocol && strings.TrimSuffix(r.Source, "/32") == strings.TrimSuffix(o.Source, "/32")
}
