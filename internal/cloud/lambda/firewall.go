// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
// another.
const everything = "all"

// byHand describes rules that somebody else made and that are kept for now.
const byHand = "not made by terraform-provider-sky"

// inside reports whether a rule lets in one machine of the cluster, or what was one.
// What is wider, or says nothing of the cluster, somebody made by hand.
func (r ruleset) inside(rule rule) bool {
	p := prefix(rule.Source)
	return rule.Protocol == everything && p.IsValid() && p.IsSingleIP() && rule.Description == r.whose.FullName(maxDescription)
}

// prefix reads the source of a rule, which is an address or several.
func prefix(source string) netip.Prefix {
	if a, err := netip.ParseAddr(source); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	p, _ := netip.ParsePrefix(source) // what is neither is none
	return p.Masked()
}

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
		if r.inside(rule) {
			continue
		}
		o := fleet.Opening{From: rule.Source}
		if p := prefix(rule.Source); p.IsValid() {
			o.From = p.String()
		}
		if len(rule.Ports) == 2 {
			o.Ports = cloud.PortRange{First: uint16(rule.Ports[0]), Last: uint16(rule.Ports[1])} //nolint:gosec // ports
		}
		if rule.Protocol != "tcp" {
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
		if o.Proto == everything {
			r.Description = byHand
		}
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
	inside := slices.DeleteFunc(slices.Clone(r.Rules), func(one rule) bool { return !r.inside(one) })
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
	if err := d.Fleet.OpenPorts(ctx, ref, cfg, ports); err != nil {
		return err //nolint:wrapcheck // it says what was tried
	}
	return d.join(ctx, ref)
}

// PortDrift implements cloud.Auditor. Where no rules apply none can have changed.
func (d *driver) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	if ref.Region == unguarded {
		return nil, nil
	}
	out, err := d.Fleet.PortDrift(ctx, ref, prefixes, ports)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was tried
	}
	all, machines, err := d.behind(ctx, ref)
	for _, f := range all {
		r, _ := f.Native.(ruleset)
		_, stale, lacking := r.joined(machines)
		for _, source := range stale {
			out = append(out, fmt.Sprintf("everything from %s is open, which is no machine of the cluster", source))
		}
		for _, source := range lacking {
			out = append(out, fmt.Sprintf("everything from %s is closed, which is a machine of the cluster", source))
		}
	}
	return out, err
}

// Wait implements cloud.Provisioner. Once the machines run and have addresses,
// they are let through to one another: Lambda's rules know no other source.
func (d *driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if err := d.Fleet.Wait(ctx, ref, want); err != nil || want != cloud.StateRunning {
		return err //nolint:wrapcheck // it says what was waited for
	}
	return d.join(ctx, ref)
}

// Terminate implements cloud.Provisioner. An address that a machine of the cluster
// had may soon be another's.
func (d *driver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	err := d.Fleet.Terminate(ctx, ref)
	if err != nil || ref.Generation == "" || ref.Instances == nil || ref.Region == unguarded {
		return err //nolint:wrapcheck // it says what was tried
	}
	if err := d.join(ctx, ref); err != nil {
		return fmt.Errorf("the machines are gone, but the firewall still lets in their addresses: %w", err)
	}
	return nil
}

// behind are the rulesets of the cluster and the machines behind them. Where there
// are no machines nothing is to be told of either, nor where one has no address yet.
func (d *driver) behind(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, []machine, error) {
	ref.Instances = nil
	found, err := d.Look(ctx, ref)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // it says what was looked for
	}
	there := found.Staying()
	if len(there) == 0 || slices.ContainsFunc(there, func(m machine) bool { return m.InternalIP == "" }) {
		return nil, nil, nil
	}
	all, err := d.Firewalls(ctx, ref)
	return all, there, err
}

// join lets the machines of a cluster through to one another, by their addresses
// inside, and nobody else who had such an address.
func (d *driver) join(ctx context.Context, ref cloud.ClusterRef) error {
	all, machines, err := d.behind(ctx, ref)
	for _, f := range all {
		r, _ := f.Native.(ruleset)
		if rules, stale, lacking := r.joined(machines); len(stale)+len(lacking) > 0 {
			err = errors.Join(err, d.setRules(ctx, r, rules))
		}
	}
	return err
}

// joined are the rules of a ruleset as they are to be for its cluster's machines,
// and the sources that are let in and must not be, or are not and must.
func (r ruleset) joined(machines []machine) (rules []rule, stale, lacking []string) {
	want := map[string]bool{}
	for _, m := range machines {
		if m.Region == r.Region.Name && len(machines) > 1 {
			want[m.InternalIP+"/32"] = true
		}
	}
	for _, rule := range r.Rules {
		source := prefix(rule.Source).String()
		switch {
		case !r.inside(rule):
		case !want[source]:
			stale = append(stale, source)
			continue
		default:
			delete(want, source)
		}
		rules = append(rules, rule)
	}
	lacking = slices.Sorted(maps.Keys(want))
	for _, source := range lacking {
		rules = append(rules, rule{Protocol: everything, Ports: []int{1, 65535}, Source: source, Description: r.whose.FullName(maxDescription)})
	}
	return rules, stale, lacking
}
