// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// verdict says whether a running cluster may stay as it is under a changed
// request.
type verdict struct {
	// Replace holds the members of resources that force a replacement.
	Replace []string
	// Why is for the user.
	Why string
}

// judge compares a changed request with the machines that are there. changed
// names the members of resources whose value changed. old is nil where the
// former request is not known, as after an import.
func judge(present cloud.Offer, nodes int, old *optimizer.Request, now optimizer.Request, changed []string) verdict {
	index := alternativeWithin(now, present, nodes)
	if index < 0 {
		forced := mismatches(now, present, nodes, changed)
		return verdict{Replace: forced, Why: fmt.Sprintf("The present machines, %s, do not satisfy the changed %s.",
			cloud.Placement{Offer: present, Nodes: nodes}, strings.Join(forced, ", "))}
	}
	if old == nil {
		return verdict{}
	}
	was := alternativeWithin(*old, present, nodes)
	if was < 0 {
		return verdict{}
	}
	a, b := old.Alternatives[was], now.Alternatives[index]
	switch {
	case a.DiskGiB != b.DiskGiB:
		return verdict{Replace: blame(changed, "disk_size"), Why: "The disk of a running machine cannot change its size."}
	case a.DiskTier != b.DiskTier:
		return verdict{Replace: blame(changed, "disk_tier"), Why: "The disk of a running machine cannot change its tier."}
	case a.Image != b.Image:
		return verdict{Replace: blame(changed, "image_id"), Why: "The image of a running machine cannot change."}
	}
	return verdict{}
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
	r := req.Alternatives[0]
	single := map[string]cloud.Requirement{
		"infra": {Cloud: r.Cloud, Region: r.Region, Zone: r.Zone}, "cloud": {Cloud: r.Cloud}, "region": {Region: r.Region},
		"zone": {Zone: r.Zone}, "instance_type": {InstanceType: r.InstanceType}, "accelerators": {Accelerators: r.Accelerators},
		"cpus": {CPUs: r.CPUs}, "memory": {Memory: r.Memory}, "use_spot": {Markets: r.Markets}, "market": {Markets: r.Markets},
		"max_hourly_cost": {MaxHourlyUSD: r.MaxHourlyUSD},
	}
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

func blame(changed []string, name string) []string {
	if slices.Contains(changed, name) {
		return []string{name}
	}
	return changed
}

// changedMembers names the members of resources that differ, sorted; ports
// and labels, which change in place, are left out.
func changedMembers(old, now types.Object) []string {
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

// member is a member of resources, null where the object is.
func member(object types.Object, name string) attr.Value {
	if v, ok := object.Attributes()[name]; ok {
		return v
	}
	return types.StringNull()
}

// changes says what an update in place must do.
func changes(old, now clusterModel) broker.Changes {
	same := func(name string) bool {
		before, after := member(old.Resources, name), member(now.Resources, name)
		return before.Equal(after) || (kit.Empty(before) && kit.Empty(after))
	}
	return broker.Changes{
		Network: !same("ports") || !same("labels") || !old.AllowedCIDRs.Equal(now.AllowedCIDRs) || !old.ChangedOutside.IsNull(),
		Files: !old.Workdir.Equal(now.Workdir) || !old.FileMounts.Equal(now.FileMounts) ||
			!old.WorkdirDigest.Equal(now.WorkdirDigest) || !old.FileMountsDigest.Equal(now.FileMountsDigest),
		Autostop: !old.Autostop.Equal(now.Autostop),
		Runtime:  cmp.Or(old.Runtime.ValueString(), cluster.RuntimeSSH) != cmp.Or(now.Runtime.ValueString(), cluster.RuntimeSSH),
		Setup:    !now.Setup.IsNull() && (!old.Setup.Equal(now.Setup) || !old.Envs.Equal(now.Envs)),
	}
}
