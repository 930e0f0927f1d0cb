// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// rule is one reason to reject an offer.
type rule struct {
	name string
	// want is what the rule asks, in the user's words.
	want string
	ok   func(o *cloud.Offer) bool
	// fixed is that no change of the request helps.
	fixed bool
	// byDefault is that nobody asked for it; instead is what to write against it.
	byDefault bool
	instead   string
}

func firstFailing(rs []rule, o *cloud.Offer) int {
	for i := range rs {
		if !rs[i].ok(o) {
			return i
		}
	}
	return -1
}

// rulesFor returns what is asked of an offer that serves one alternative.
func rulesFor(req Request, alt cloud.Requirement, caps map[string]cloud.Capabilities, blocked []Block) []rule {
	rs := append(requirementRules(alt), rule{
		name: "tpu", want: "no TPU VM, which this provider cannot launch", fixed: true,
		ok: func(o *cloud.Offer) bool { return !o.InstanceType.Accelerator.IsTPU() },
	})
	rs = append(rs, capabilityRules(req, alt, caps)...)
	if alt.Image != "" && req.Image != nil {
		rs = append(rs, rule{name: "image", want: "image " + alt.Image, ok: func(o *cloud.Offer) bool { return req.Image(*o, alt.Image) == "" }})
	}
	if alt.MaxHourlyUSD > 0 {
		want := "at most " + dollars(alt.MaxHourlyUSD) + "/h"
		if n := req.nodes(); n > 1 {
			want += fmt.Sprintf(" for all %d nodes", n)
		}
		rs = append(rs, rule{name: "max_hourly_cost", want: want, ok: func(o *cloud.Offer) bool {
			usd, _ := hourly(req, o)
			return Within(alt, usd)
		}})
	}
	if len(blocked) > 0 {
		rs = append(rs, rule{name: "blocked", want: blockedWant(blocked), fixed: true, ok: func(o *cloud.Offer) bool {
			return !slices.ContainsFunc(blocked, func(b Block) bool { return b.matches(o) })
		}})
	}
	return rs
}

// blockedWant names what must not be tried; the reasons are notes below the table.
func blockedWant(blocked []Block) string {
	const most = 3
	var parts []string
	for _, b := range blocked[:min(len(blocked), most)] {
		parts = append(parts, b.String())
	}
	if more := len(blocked) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return "not " + strings.Join(parts, "; ")
}

// requirementRules are the rules about the offer alone.
func requirementRules(alt cloud.Requirement) []rule {
	var rs []rule
	add := func(name, want string, ok func(o *cloud.Offer) bool) {
		rs = append(rs, rule{name: name, want: want, ok: ok})
	}
	if alt.Cloud != "" {
		add("cloud", alt.Cloud, func(o *cloud.Offer) bool { return strings.EqualFold(o.Cloud, alt.Cloud) })
	}
	if alt.Region != "" {
		add("region", alt.Region, func(o *cloud.Offer) bool { return strings.EqualFold(o.Region, alt.Region) })
	}
	if alt.Zone != "" {
		add("zone", alt.Zone, func(o *cloud.Offer) bool { return strings.EqualFold(o.Zone, alt.Zone) })
	}
	if alt.InstanceType != "" {
		add("instance_type", alt.InstanceType, func(o *cloud.Offer) bool {
			return strings.EqualFold(o.InstanceType.Name, alt.InstanceType)
		})
	}
	if len(alt.Accelerators) > 0 {
		add("accelerators", accelerators(alt.Accelerators), func(o *cloud.Offer) bool {
			return hasAccelerator(alt.Accelerators, o.InstanceType.Accelerator)
		})
	}
	if alt.Arch != "" && alt.Arch != cloud.ArchAny {
		add("arch", alt.Arch, func(o *cloud.Offer) bool { return alt.TakesArch(&o.InstanceType) })
	}
	if len(alt.Families) > 0 {
		add("instance_families", strings.Join(alt.Families, " or "), func(o *cloud.Offer) bool { return alt.TakesFamily(&o.InstanceType) })
	}
	if len(alt.ExcludedTypes) > 0 {
		add("excluded_instance_types", "not "+strings.Join(alt.ExcludedTypes, ", "), func(o *cloud.Offer) bool { return !alt.Excludes(&o.InstanceType) })
	}
	if !alt.CPUs.IsZero() {
		add("cpus", alt.CPUs.String(), func(o *cloud.Offer) bool {
			return alt.CPUs.Holds(o.InstanceType.VCPUs, o.InstanceType.VCPUs)
		})
	}
	if !alt.Memory.IsZero() {
		add("memory", alt.Memory.String(), func(o *cloud.Offer) bool {
			return alt.Memory.Holds(o.InstanceType.MemoryGiB, o.InstanceType.VCPUs)
		})
	}
	markets := marketsOf(alt)
	add("market", joinMarkets(markets), func(o *cloud.Offer) bool { return slices.Contains(markets, o.Market) })
	return rs
}

func marketsOf(alt cloud.Requirement) []cloud.Market {
	if len(alt.Markets) == 0 {
		return []cloud.Market{cloud.OnDemand}
	}
	return alt.Markets
}

func joinMarkets(ms []cloud.Market) string {
	parts := make([]string, len(ms))
	for i, m := range ms {
		parts[i] = string(m)
	}
	return strings.Join(parts, " or ")
}

// sameAccelerator compares names without regard to case and counts within 0.01.
func sameAccelerator(a, b cloud.Accelerator) bool {
	return math.Abs(a.Count-b.Count) < 0.01 && strings.EqualFold(a.Name, b.Name)
}

func hasAccelerator(want []cloud.Accelerator, got cloud.Accelerator) bool {
	for _, w := range want {
		if sameAccelerator(w, got) {
			return true
		}
	}
	return false
}

func accelerators(as []cloud.Accelerator) string {
	parts := make([]string, len(as))
	for i, a := range as {
		parts[i] = a.String()
	}
	return strings.Join(parts, " or ")
}

// ability is what a request needs of a cloud.
type ability struct {
	name, want string
	has        func(c cloud.Capabilities, o *cloud.Offer) bool
	// why is the capability's own reason for what it has not; nil has none.
	why func(c cloud.Capabilities, o *cloud.Offer) string
	// hint says what the user could set so that a cloud has it; nil is nothing.
	hint func(c cloud.Capabilities) string
}

// hints say what would give the ability to clouds that lack it.
func (a ability) hints(caps map[string]cloud.Capabilities) string {
	var all []string
	for _, name := range sortedKeys(caps) {
		if c := caps[name]; a.hint != nil && a.hint(c) != "" && !a.has(c, &cloud.Offer{Market: cloud.OnDemand}) {
			all = append(all, "on "+name+" only if "+a.hint(c))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "; " + strings.Join(all, "; ")
}

// capabilityRules ask what the clouds can do. The texts name the clouds that
// cannot, so that the reason is seen at plan.
func capabilityRules(req Request, alt cloud.Requirement, caps map[string]cloud.Capabilities) []rule {
	if caps == nil {
		return nil
	}
	rs := []rule{{name: "driver", want: "a cloud that is enabled: " + strings.Join(sortedKeys(caps), ", "), fixed: true, ok: func(o *cloud.Offer) bool {
		_, ok := caps[o.Cloud]
		return ok
	}}}
	asked := caps
	if c, ok := caps[strings.ToLower(alt.Cloud)]; ok { // the others are out for another reason
		asked = map[string]cloud.Capabilities{strings.ToLower(alt.Cloud): c}
	}
	for _, a := range abilities(req, alt) {
		rs = append(rs, rule{name: a.name, want: a.want + lacking(asked, a, marketsOf(alt)) + a.hints(asked), ok: func(o *cloud.Offer) bool {
			return a.has(caps[o.Cloud], o)
		}})
	}
	return rs
}

func abilities(req Request, alt cloud.Requirement) []ability {
	var as []ability
	need := func(when bool, name, want string, has func(c cloud.Capabilities, o *cloud.Offer) bool) {
		if when {
			as = append(as, ability{name: name, want: want, has: has})
		}
	}
	plain := func(f func(c cloud.Capabilities) bool) func(cloud.Capabilities, *cloud.Offer) bool {
		return func(c cloud.Capabilities, _ *cloud.Offer) bool { return f(c) }
	}
	need(slices.Contains(alt.Markets, cloud.Spot), "spot", "spot machines", func(c cloud.Capabilities, o *cloud.Offer) bool {
		return c.Spot || o.Market != cloud.Spot
	})
	reasoned := func(when bool, name, want string, why func(c cloud.Capabilities, o *cloud.Offer) string) {
		if when {
			as = append(as, ability{name: name, want: want, why: why, has: func(c cloud.Capabilities, o *cloud.Offer) bool { return why(c, o) == "" }})
		}
	}
	reasoned(req.Needs.Stop, "stop", "machines that stop", func(c cloud.Capabilities, o *cloud.Offer) string { return c.CannotStop(*o) })
	reasoned(req.Needs.SelfEnd == cloud.ShutdownStop, "autostop", "machines that stop by themselves", func(c cloud.Capabilities, o *cloud.Offer) string {
		return c.CannotEndItself(*o, cloud.ShutdownStop)
	})
	if req.Needs.SelfEnd == cloud.ShutdownTerminate {
		as = append(as, ability{
			name: "autodown", want: "machines that remove themselves", has: func(c cloud.Capabilities, _ *cloud.Offer) bool { return c.SelfTerminate },
			hint: func(c cloud.Capabilities) string { return c.SelfTerminateIf },
		})
	}
	need(req.nodes() > 1, "multi_node", "several nodes", plain(func(c cloud.Capabilities) bool { return c.MultiNode }))
	need(len(alt.Ports) > 0, "ports", "open ports", plain(func(c cloud.Capabilities) bool { return c.PortsLaunch || c.PortsLater }))
	need(req.Needs.PortsLater, "ports_later", "ports on a running cluster", plain(func(c cloud.Capabilities) bool { return c.PortsLater }))
	need(req.Needs.UserData, "user_data", "user data", plain(func(c cloud.Capabilities) bool { return c.UserData || c.StartCommand }))
	need(alt.Image != "", "image_id", "a custom image", plain(func(c cloud.Capabilities) bool { return c.CustomImage }))
	need(alt.DiskGiB > 0, "disk_size", "a disk of a chosen size", plain(func(c cloud.Capabilities) bool { return c.CustomDisk }))
	need(alt.DiskTier != "", "disk_tier", "disk tier "+alt.DiskTier, plain(func(c cloud.Capabilities) bool {
		return slices.Contains(c.DiskTiers, alt.DiskTier)
	}))
	return as
}

// lacking says of which clouds no machine has the ability that is of a market asked
// for, and why, and where only some have it not.
func lacking(caps map[string]cloud.Capabilities, a ability, markets []cloud.Market) string {
	var not, why []string
	for _, name := range sortedKeys(caps) {
		var reasons []string
		without := 0
		for _, m := range markets {
			o := &cloud.Offer{Cloud: name, Market: m}
			if a.has(caps[name], o) {
				continue
			}
			without++
			if a.why != nil {
				reasons = append(reasons, a.why(caps[name], o))
			}
		}
		if without == len(markets) {
			not = append(not, name)
		}
		for _, r := range reasons {
			if !slices.Contains(why, r) {
				why = append(why, r)
			}
		}
	}
	switch {
	case len(why) > 0:
		return " (" + strings.Join(why, "; ") + ")"
	case len(not) > 0:
		return " (not on " + strings.Join(not, ", ") + ")"
	}
	return ""
}

func sortedKeys(caps map[string]cloud.Capabilities) []string {
	keys := make([]string, 0, len(caps))
	for k := range caps {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// dollars writes an amount with at least two decimals and at most four.
func dollars(v float64) string {
	s := strings.TrimRight(strconv.FormatFloat(v, 'f', 4, 64), "0")
	if dot := strings.IndexByte(s, '.'); len(s)-dot < 3 {
		s += "00"[:3-(len(s)-dot)]
	}
	return "$" + s
}
