// SPDX-License-Identifier: MPL-2.0

package request

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// Verdict says whether a running cluster may stay as it is under a changed
// request.
type Verdict struct {
	// Replace holds the members of resources that force a replacement.
	Replace []string
	// Why is for the user.
	Why string
}

// Judge compares a changed request with the machines that are there. changed
// names the members of resources whose value changed. old is nil where the
// former request is not known, as after an import.
func Judge(present cloud.Offer, nodes int, old *optimizer.Request, now optimizer.Request, changed []string) Verdict {
	index := alternativeWithin(now, present, nodes)
	if index < 0 {
		forced := mismatches(now, present, nodes, changed)
		return Verdict{Replace: forced, Why: fmt.Sprintf("The present machines, %s, do not satisfy the changed %s.",
			cloud.Placement{Offer: present, Nodes: nodes}, strings.Join(forced, ", "))}
	}
	if old == nil {
		return Verdict{}
	}
	was := alternativeWithin(*old, present, nodes)
	if was < 0 {
		return Verdict{}
	}
	a, b := old.Alternatives[was], now.Alternatives[index]
	switch {
	case a.DiskGiB != b.DiskGiB:
		return Verdict{Replace: blame(changed, "disk_size"), Why: "The disk of a running machine cannot change its size."}
	case a.DiskTier != b.DiskTier:
		return Verdict{Replace: blame(changed, "disk_tier"), Why: "The disk of a running machine cannot change its tier."}
	case a.Image != b.Image:
		return Verdict{Replace: blame(changed, "image_id"), Why: "The image of a running machine cannot change."}
	}
	return Verdict{}
}

// alternativeWithin is the first alternative that the offer satisfies, its
// price included, or -1.
func alternativeWithin(req optimizer.Request, o cloud.Offer, nodes int) int {
	for i, alt := range req.Alternatives {
		one := optimizer.Request{Alternatives: []cloud.Requirement{alt}, Nodes: nodes, Reserved: req.Reserved}
		if optimizer.Satisfies(one, o) && optimizer.Within(alt, optimizer.HourlyUSD(one, o)) {
			return i
		}
	}
	return -1
}

// mismatches names the changed members that the offer does not satisfy; all
// changed ones where alternatives hide which it is.
func mismatches(req optimizer.Request, o cloud.Offer, nodes int, changed []string) []string {
	if len(req.Alternatives) != 1 || slices.Contains(changed, "any_of") || slices.Contains(changed, "ordered") {
		return changed
	}
	single := judged(&req.Alternatives[0])
	var out []string
	for _, name := range changed {
		one, ok := single[name]
		if !ok {
			continue
		}
		if name != "use_spot" && name != "market" {
			one.Markets = []cloud.Market{o.Market}
		}
		if alternativeWithin(optimizer.Request{Alternatives: []cloud.Requirement{one}, Reserved: req.Reserved}, o, nodes) < 0 {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return changed
	}
	return out
}

// judged is, for each member of resources that a running machine is held to, what it
// alone asks for.
func judged(r *cloud.Requirement) map[string]cloud.Requirement {
	return map[string]cloud.Requirement{
		"infra": {Cloud: r.Cloud, Region: r.Region, Zone: r.Zone}, "cloud": {Cloud: r.Cloud}, "region": {Region: r.Region},
		"instance_families": {Families: r.Families}, "excluded_instance_types": {ExcludedTypes: r.ExcludedTypes}, "arch": {Arch: r.Arch},
		"zone": {Zone: r.Zone}, "instance_type": {InstanceType: r.InstanceType}, "accelerators": {Accelerators: r.Accelerators},
		"cpus": {CPUs: r.CPUs}, "memory": {Memory: r.Memory}, "use_spot": {Markets: r.Markets}, "market": {Markets: r.Markets},
		"max_hourly_cost": {MaxHourlyUSD: r.MaxHourlyUSD},
	}
}

func blame(changed []string, name string) []string {
	if slices.Contains(changed, name) {
		return []string{name}
	}
	return changed
}

// ChangedMembers names the members of resources that differ, sorted; ports
// and labels, which change in place, are left out.
func ChangedMembers(old, now types.Object) []string {
	before, after := old.Attributes(), now.Attributes()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if name == "ports" || name == "labels" {
			continue
		}
		if was, ok := before[name]; !ok || !was.Equal(after[name]) {
			out = append(out, name)
		}
	}
	return out
}

// Member is a member of resources, null where the object is.
func Member(object types.Object, name string) attr.Value {
	if v, ok := object.Attributes()[name]; ok {
		return v
	}
	return types.StringNull()
}

// neverForces names the members of resources that force no replacement, or do so
// only where a running cluster has become too expensive.
func neverForces() []string {
	return []string{"ports", "labels", "objective", "inputs", "reserved", "estimated_hours", "max_hourly_cost", "preferred_regions", "burstable"}
}

// Undecided names the members of resources that are known at apply only and may
// force a replacement then; "resources" is the whole.
func Undecided(object types.Object) []string {
	if object.IsUnknown() {
		return []string{"resources"}
	}
	var out []string
	members := object.Attributes()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !kit.FullyKnown(members[name]) && !slices.Contains(neverForces(), name) {
			out = append(out, name)
		}
	}
	return out
}
