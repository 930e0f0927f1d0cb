// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// ruleset is what an offer must pass to serve one alternative: what was asked for,
// and then what a person would want who did not say it.
type ruleset struct {
	rules []rule
	// asked is how many of the rules come of the request; the others are the
	// defaults, which are checked in one go first.
	asked    int
	defaults cloud.Defaults
}

// failing is the number of the first rule that an offer fails, or -1.
func (s *ruleset) failing(o *cloud.Offer) int {
	if r := firstFailing(s.rules[:s.asked], o); r >= 0 || s.defaults.Hold(&o.InstanceType) {
		return r
	}
	return s.asked + firstFailing(s.rules[s.asked:], o)
}

// ruleNoDevices names the default that gives way where nothing else fits.
const ruleNoDevices = "gpu"

// rulesetFor returns every rule for one alternative. devices lets machines with
// devices serve an alternative that asks for none.
func rulesetFor(req Request, alt cloud.Requirement, caps map[string]cloud.Capabilities, blocked []Block, devices bool) ruleset {
	s := ruleset{rules: rulesFor(req, alt, caps, blocked), defaults: alt.Defaults()}
	s.asked = len(s.rules)
	if devices {
		s.defaults.NoDevices = false
	}
	s.rules = append(s.rules, defaultRules(s.defaults)...)
	return s
}

func defaultRules(d cloud.Defaults) []rule {
	var rs []rule
	add := func(name, want, instead string, ok func(t *cloud.InstanceType) bool) {
		rs = append(rs, rule{name: name, want: want, instead: instead, byDefault: true, ok: func(o *cloud.Offer) bool { return ok(&o.InstanceType) }})
	}
	if d.X86 {
		add("arch", "x86_64, the default", `arch = "any"`, func(t *cloud.InstanceType) bool { return !t.NotX86() })
	}
	for _, kind := range []struct {
		trait               cloud.Traits
		name, want, instead string
	}{
		{cloud.Burstable, "burstable", "none, the default", "burstable = true"},
		{cloud.PreviousGeneration, "previous_generation", "none, the default", "instance_families that name them"},
		{cloud.Promotional, "promotional", "none, the default", "instance_families that name them"},
		{cloud.BareMetal, "bare_metal", "none, the default", "instance_families that name them"},
	} {
		if d.Refused&kind.trait != 0 {
			add(kind.name, kind.want, kind.instead, func(t *cloud.InstanceType) bool { return t.Traits&kind.trait == 0 })
		}
	}
	if d.HostVCPUs+d.HostMemoryGiB > 0 {
		add("host", hostWant(d), "the cpus or memory that a smaller host has", func(t *cloud.InstanceType) bool {
			return d.Feeds(t.Traits, t.Accelerator.Count, t.VCPUs, t.MemoryGiB)
		})
	}
	if d.NoDevices {
		add(ruleNoDevices, "none, since accelerators asks for none", "the accelerators of these machines", func(t *cloud.InstanceType) bool { return t.Accelerator.IsZero() })
	}
	return rs
}

func hostWant(d cloud.Defaults) string {
	return fmt.Sprintf("%v vCPUs and %v GiB for each device, the default", d.HostVCPUs, d.HostMemoryGiB)
}

// gaveWay is what a plan says whose machines have devices that nobody asked for.
const gaveWay = "No machine without accelerators fits, so these have accelerators that nobody asked for."

// mayGiveWay reports whether machines with devices may serve where nothing else does:
// not where it is only prices that are missing.
func (p *Plan) mayGiveWay(req Request) bool {
	for _, r := range p.Rejections {
		if r.Rule == ruleNoDevices && len(req.Unpriced) == 0 {
			return true
		}
	}
	return false
}

// leftOut says, for the table, what the defaults removed.
func (p Plan) leftOut() string {
	var rows [][]string
	at := make(map[string]int)
	counts := make(map[string]int)
	for _, r := range p.Rejections {
		if !r.Default {
			continue
		}
		if _, ok := at[r.Rule]; !ok {
			at[r.Rule] = len(rows)
			rows = append(rows, []string{"  " + r.Rule, "", r.Instead})
		}
		counts[r.Rule] += r.Rejected
		rows[at[r.Rule]][1] = fmt.Sprint(counts[r.Rule])
	}
	if len(rows) == 0 {
		return ""
	}
	return "Left out by default:\n" + layout(append([][]string{{"  RULE", "OFFERS", "WHAT WOULD TAKE THEM"}}, rows...))
}
