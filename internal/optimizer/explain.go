// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"fmt"
	"iter"
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

// explain walks the offers once more, and gathers what there is to say.
func explain(req Request, offers iter.Seq[*cloud.Offer], caps map[string]cloud.Capabilities, blocked []Block, plan Plan) error {
	e := &InfeasibleError{Request: req, Considered: plan.Considered, Rejections: plan.Rejections}
	if plan.Considered == 0 {
		e.Hints = append(e.Hints, "no catalog holds any offer; check which clouds are enabled and which catalog is in use")
		return e
	}
	devices := make(Devices)
	near := make([]nearMisses, len(req.alternatives()))
	places := make([]placeNames, len(near))
	for i, alt := range req.alternatives() {
		near[i] = nearMisses{req: &req, index: i, alt: &alt, ruleset: rulesetFor(req, alt, caps, blocked, false)}
		places[i] = placeNames{alt: &alt}
	}
	for o := range offers {
		devices.Add(o)
		for i := range near {
			near[i].add(o)
			places[i].add(o)
		}
	}
	for i, alt := range req.alternatives() {
		e.Relaxations = append(e.Relaxations, near[i].relaxations()...)
		e.Hints = append(e.Hints, places[i].hints()...)
		for _, want := range alt.Accelerators {
			if !devices.has(want) {
				e.Nearest = append(e.Nearest, NearestAccelerators(want, devices)...)
			}
		}
	}
	if slices.ContainsFunc(req.alternatives(), wantsTPU) {
		e.Hints = append(e.Hints, "TPU VMs are not supported yet; ask for another accelerator")
	}
	e.Hints = append(e.Hints, req.Unpriced...)
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

func dedupe(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
