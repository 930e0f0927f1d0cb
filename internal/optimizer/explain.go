// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// InfeasibleError says that no offer satisfies a request, what each rule
// removed, and what comes closest. Its text is what users read.
type InfeasibleError struct {
	Request    Request
	Considered int
	Rejections []Rejection
	// Nearest are accelerators that do exist, as "NAME:COUNT", best first.
	Nearest []string
	// Relaxations are changes of the request, each of which would make it feasible.
	Relaxations []Relaxation
	// Hints are other things the user should know.
	Hints []string
}

// Relaxation is a change to one or two rules and what it would leave.
type Relaxation struct {
	Alternative int
	// Change says what to ask for instead, in the user's words.
	Change string
	Offers int
	// FromUSD is the hourly price of the cheapest cluster left.
	FromUSD float64
}

// String returns "memory 64+ instead of 96+ leaves 12 offers from $3.06/h".
func (r Relaxation) String() string {
	offers := "offers"
	if r.Offers == 1 {
		offers = "offer"
	}
	return fmt.Sprintf("%s leaves %d %s from %s/h", r.Change, r.Offers, offers, dollars(r.FromUSD))
}

// Error implements error.
func (e *InfeasibleError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no offer satisfies the request (%d considered)\n", e.Considered)
	e.writeRules(&b)
	if len(e.Relaxations) > 0 {
		b.WriteString("What would do:\n")
		for _, r := range e.Relaxations {
			b.WriteString("  - " + e.label(r.Alternative) + r.String() + "\n")
		}
	}
	if len(e.Nearest) > 0 {
		b.WriteString("Accelerators that come closest: " + strings.Join(e.Nearest, ", ") + "\n")
	}
	for _, h := range e.Hints {
		b.WriteString("Note: " + h + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func (e *InfeasibleError) writeRules(b *strings.Builder) {
	if len(e.Rejections) == 0 {
		return
	}
	rows := [][]string{{"  RULE", "ASKED FOR", "REJECTED", "LEFT"}}
	for _, r := range e.Rejections {
		rows = append(rows, []string{"  " + e.label(r.Alternative) + r.Rule, r.Want, fmt.Sprint(r.Rejected), fmt.Sprint(r.Kept)})
	}
	b.WriteString(layout(rows))
}

// label tells alternatives apart where there are several.
func (e *InfeasibleError) label(alternative int) string {
	if len(e.Request.Alternatives) < 2 {
		return ""
	}
	return fmt.Sprintf("alternative %d: ", alternative+1)
}

func explain(req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block, rejected []Rejection) error {
	e := &InfeasibleError{Request: req, Considered: len(offers), Rejections: rejected}
	if len(offers) == 0 {
		e.Hints = append(e.Hints, "no catalog holds any offer; check which clouds are enabled and which catalog is in use")
		return e
	}
	for i, alt := range req.alternatives() {
		rs := rulesFor(req, alt, caps, blocked)
		e.Relaxations = append(e.Relaxations, relaxations(req, i, alt, rs, offers)...)
		e.Hints = append(e.Hints, placeHints(alt, offers)...)
		for _, want := range alt.Accelerators {
			if !offered(want, offers) {
				e.Nearest = append(e.Nearest, NearestAccelerators(want, offers)...)
			}
		}
	}
	if slices.ContainsFunc(req.alternatives(), wantsTPU) {
		e.Hints = append(e.Hints, "TPU VMs are not supported yet; ask for another accelerator")
	}
	for _, b := range blocked {
		if b.Reason != "" {
			e.Hints = append(e.Hints, b.String()+" is left out: "+b.Reason)
		}
	}
	e.Nearest = dedupe(e.Nearest)
	return e
}

func wantsTPU(alt cloud.Requirement) bool {
	return slices.ContainsFunc(alt.Accelerators, cloud.Accelerator.IsTPU)
}

func offered(a cloud.Accelerator, offers []cloud.Offer) bool {
	return slices.ContainsFunc(offers, func(o cloud.Offer) bool { return sameAccelerator(a, o.InstanceType.Accelerator) })
}

// placeHints catches a zone outside its region and a region outside its cloud.
func placeHints(alt cloud.Requirement, offers []cloud.Offer) []string {
	var hints []string
	zone := func(o *cloud.Offer) bool { return strings.EqualFold(o.Zone, alt.Zone) }
	region := func(o *cloud.Offer) bool { return strings.EqualFold(o.Region, alt.Region) }
	ofCloud := func(o *cloud.Offer) bool { return strings.EqualFold(o.Cloud, alt.Cloud) }
	if alt.Zone != "" && alt.Region != "" {
		if o := find(offers, zone); o != nil && find(offers, zone, region) == nil {
			hints = append(hints, fmt.Sprintf("zone %s lies in region %s of %s, not in %s", o.Zone, o.Region, o.Cloud, alt.Region))
		}
	}
	if alt.Region != "" && alt.Cloud != "" {
		if o := find(offers, region); o != nil && find(offers, region, ofCloud) == nil {
			hints = append(hints, fmt.Sprintf("region %s belongs to %s, not to %s", o.Region, o.Cloud, alt.Cloud))
		}
	}
	for _, p := range []struct {
		what, want string
		of         func(o *cloud.Offer) string
	}{
		{"region", alt.Region, func(o *cloud.Offer) string { return o.Region }},
		{"zone", alt.Zone, func(o *cloud.Offer) string { return o.Zone }},
		{"instance type", alt.InstanceType, func(o *cloud.Offer) string { return o.InstanceType.Name }},
	} {
		if near := unknownName(p.want, offers, p.of); near != "" {
			hints = append(hints, fmt.Sprintf("%s %q is in no catalog; %s", p.what, p.want, near))
		}
	}
	return hints
}

// find returns the offer for which all of that is so, the first by place.
func find(offers []cloud.Offer, is ...func(o *cloud.Offer) bool) *cloud.Offer {
	var found *cloud.Offer
	for i := range offers {
		o := &offers[i]
		if slices.ContainsFunc(is, func(f func(o *cloud.Offer) bool) bool { return !f(o) }) {
			continue
		}
		if found == nil || cmp.Or(strings.Compare(o.Cloud, found.Cloud), strings.Compare(o.Region, found.Region), strings.Compare(o.Zone, found.Zone)) < 0 {
			found = o
		}
	}
	return found
}

// relaxations finds what single change, or else what pair of changes, would
// leave offers. An offer that fails exactly one rule speaks for relaxing it.
func relaxations(req Request, index int, alt cloud.Requirement, rs []rule, offers []cloud.Offer) []Relaxation {
	single := make([][]*cloud.Offer, len(rs))
	pairs := make(map[[2]int][]*cloud.Offer)
	for i := range offers {
		o := &offers[i]
		var failed []int
		for r := range rs {
			if !rs[r].ok(o) {
				if failed = append(failed, r); len(failed) > 2 {
					break
				}
			}
		}
		switch len(failed) {
		case 1:
			single[failed[0]] = append(single[failed[0]], o)
		case 2:
			at := [2]int{failed[0], failed[1]}
			if !rs[at[0]].fixed && !rs[at[1]].fixed {
				pairs[at] = append(pairs[at], o)
			}
		}
	}
	var out []Relaxation
	for r, left := range single {
		if rs[r].name == "accelerators" {
			// Who asks for devices is not helped by a machine without any.
			left = slices.DeleteFunc(left, func(o *cloud.Offer) bool { return o.InstanceType.Accelerator.IsZero() })
		}
		if len(left) > 0 && !rs[r].fixed {
			out = append(out, relax(req, index, alt, rs[r], left))
		}
	}
	if len(out) == 0 {
		out = pairRelaxations(req, index, rs, pairs)
	}
	return out
}

// maxPairs bounds how many pairs of changes a user is shown.
const maxPairs = 3

func pairRelaxations(req Request, index int, rs []rule, pairs map[[2]int][]*cloud.Offer) []Relaxation {
	keys := make([][2]int, 0, len(pairs))
	for k := range pairs {
		keys = append(keys, k)
	}
	devices := func(k [2]int) int {
		if rs[k[0]].name == "accelerators" || rs[k[1]].name == "accelerators" {
			return 1
		}
		return 0
	}
	slices.SortFunc(keys, func(a, b [2]int) int {
		return cmp.Or(cmp.Compare(devices(a), devices(b)), cmp.Compare(len(pairs[b]), len(pairs[a])), cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	var out []Relaxation
	for _, k := range keys[:min(len(keys), maxPairs)] {
		a, b := rs[k[0]], rs[k[1]]
		change := fmt.Sprintf("any %s and any %s (instead of %s, %s)", a.name, b.name, a.want, b.want)
		out = append(out, relaxation(req, index, change, pairs[k]))
	}
	return out
}

func relaxation(req Request, index int, change string, left []*cloud.Offer) Relaxation {
	r := Relaxation{Alternative: index, Change: change, Offers: len(left), FromUSD: math.Inf(1)}
	for _, o := range left {
		usd, _ := hourly(req, o)
		r.FromUSD = min(r.FromUSD, usd)
	}
	return r
}

// relax words the nearest weakening of one rule that the offers left allow.
func relax(req Request, index int, alt cloud.Requirement, r rule, left []*cloud.Offer) Relaxation {
	switch r.name {
	case "cpus":
		return relaxQuantity(req, index, r, alt.CPUs, left, func(o *cloud.Offer) float64 { return o.InstanceType.VCPUs })
	case "memory":
		return relaxQuantity(req, index, r, alt.Memory, left, func(o *cloud.Offer) float64 { return o.InstanceType.MemoryGiB })
	case "max_hourly_cost":
		all := relaxation(req, index, "", left)
		limit := math.Ceil(all.FromUSD*1e4-1e-6) / 1e4
		left = slices.DeleteFunc(left, func(o *cloud.Offer) bool { return !Within(cloud.Requirement{MaxHourlyUSD: limit}, HourlyUSD(req, *o)) })
		return relaxation(req, index, fmt.Sprintf("max_hourly_cost %s instead of %s",
			strings.TrimPrefix(dollars(limit), "$"), strings.TrimPrefix(dollars(alt.MaxHourlyUSD), "$")), left)
	case "accelerators":
		names, near := nearestOf(alt.Accelerators, left)
		return relaxation(req, index, fmt.Sprintf("accelerators %s instead of %s", names, r.want), near)
	}
	change := "any " + r.name + " instead of " + r.want
	if of := placeOf(r.name); of != nil {
		change = fmt.Sprintf("%s %s instead of %s", r.name, someOf(left, of), r.want)
	}
	return relaxation(req, index, change, left)
}

// relaxQuantity names the largest amount below a lower bound, or the nearest to
// an exact amount.
func relaxQuantity(req Request, index int, r rule, q cloud.Quantity, left []*cloud.Offer, of func(o *cloud.Offer) float64) Relaxation {
	amountOf := of
	if q.PerVCPU {
		amountOf = func(o *cloud.Offer) float64 { return of(o) / max(o.InstanceType.VCPUs, 1e-9) }
	}
	best := amountOf(left[0])
	for _, o := range left {
		v := amountOf(o)
		if near, nearest := math.Abs(v-q.Value), math.Abs(best-q.Value); near < nearest || (near == nearest && v > best) {
			best = v
		}
	}
	if q.PerVCPU {
		best = math.Floor(best*100) / 100
	}
	weaker := q
	weaker.Value = best
	keep := slices.DeleteFunc(slices.Clone(left), func(o *cloud.Offer) bool { return !weaker.Holds(of(o), o.InstanceType.VCPUs) })
	if len(keep) == 0 || best == 0 {
		return relaxation(req, index, "any "+r.name+" instead of "+r.want, left)
	}
	return relaxation(req, index, fmt.Sprintf("%s %s instead of %s", r.name, weaker, r.want), keep)
}

func placeOf(rule string) func(o *cloud.Offer) string {
	switch rule {
	case "cloud":
		return func(o *cloud.Offer) string { return o.Cloud }
	case "region":
		return func(o *cloud.Offer) string { return o.Region }
	case "zone":
		return func(o *cloud.Offer) string { return cmp.Or(o.Zone, "(none)") }
	case "instance_type":
		return func(o *cloud.Offer) string { return o.InstanceType.Name }
	case "market":
		return func(o *cloud.Offer) string { return string(o.Market) }
	}
	return nil
}

// someOf lists the values of the cheapest offers, a few of them.
func someOf(left []*cloud.Offer, of func(o *cloud.Offer) string) string {
	sorted := slices.Clone(left)
	slices.SortFunc(sorted, cloud.CompareOffers)
	var names []string
	for _, o := range sorted {
		if n := of(o); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" or %d others", len(names)-3)
	}
	return strings.Join(names, " or ")
}

func dedupe(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
