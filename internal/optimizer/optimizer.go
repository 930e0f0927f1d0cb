// SPDX-License-Identifier: MPL-2.0

// Package optimizer turns a request and the offers of the clouds into a ranked
// list of placements, or into an error that says what each rule removed and
// what comes closest. It is pure and deterministic: the same input gives the
// same output, byte for byte, and nothing is read or written on the way.
package optimizer

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Objective says what the best placement is.
type Objective string

// The objectives. Empty is Cost.
const (
	Cost Objective = "cost"
	Time Objective = "time"
)

// Input is data that the work reads, and where it lies. Moving it to another
// cloud costs money and time; within one cloud it is free.
type Input struct {
	Cloud  string
	Region string
	SizeGB float64
	// Egress is what the cloud asks for data that leaves it; nil is not known. Such
	// a price is left out of every sum, and the table names it.
	Egress []cloud.EgressStep
}

// Reservation is capacity that is paid for already: machines of it cost nothing.
// Empty Region and Zone match anywhere.
type Reservation struct {
	Cloud, Region, Zone, InstanceType string
	Count                             int
}

// Needs are abilities the caller will use, beyond those that the requirements
// imply (spot, several nodes, ports, image, disk, labels).
type Needs struct {
	// Stop: the cluster will be stopped rather than only removed.
	Stop bool
	// SelfEnd is how the machines must be able to end by themselves (autostop);
	// empty is not at all.
	SelfEnd cloud.Shutdown
	// PortsLater: ports will be opened or closed on the running cluster.
	PortsLater bool
	// UserData: machines must run a script at first boot, or as their start command.
	UserData bool
}

// Request is what a user wants.
type Request struct {
	// Alternatives are what a node may be; any one will do. None is one that
	// asks for nothing.
	Alternatives []cloud.Requirement
	// Ordered makes an earlier alternative win over a cheaper later one.
	Ordered bool
	// Nodes is the number of machines; 0 is one.
	Nodes     int
	Objective Objective
	Inputs    []Input
	Reserved  []Reservation
	Needs     Needs
	// Preferred are the regions that win among offers of one price, the first before
	// the second, and those near one of them before others.
	Preferred []Preference
	// Unpriced says, for people, which clouds lack prices that would answer; empty is
	// that none does.
	Unpriced []string `json:"-"`
	// Image says why an offer cannot run the image a requirement names (wrong
	// region or architecture); empty is that it can. Nil asks nothing.
	Image func(o cloud.Offer, image string) (problem string) `json:"-"`
}

// Preference is a region that is preferred, by its name, and the area it lies in;
// either may be empty.
type Preference struct {
	Region string
	Area   cloud.Area
}

// near is how far an offer is from what is preferred: the position of its region,
// else, behind all of these, that of its area, else behind all of these.
func (r *Request) near(o *cloud.Offer) int {
	n := len(r.Preferred)
	best := 2 * n
	for i, p := range r.Preferred {
		switch {
		case p.Region != "" && strings.EqualFold(p.Region, o.Region):
			return i
		case p.Area != 0 && p.Area == o.Area:
			best = min(best, n+i)
		}
	}
	return best
}

// Prefer sorts offers by price, with the regions that are preferred first among those
// of one price, as a ranking does.
func (r *Request) Prefer(offers []cloud.Offer) {
	slices.SortFunc(offers, func(a, b cloud.Offer) int {
		return cmp.Or(cmp.Compare(a.HourlyUSD, b.HourlyUSD), cmp.Compare(r.near(&a), r.near(&b)), cloud.CompareOffers(&a, &b))
	})
}

func (r Request) nodes() int { return max(r.Nodes, 1) }

func (r Request) alternatives() []cloud.Requirement {
	if len(r.Alternatives) == 0 {
		return []cloud.Requirement{{}}
	}
	return r.Alternatives
}

// Block is a pattern of offers that must not be tried; empty fields match
// anything, so the zero Block matches every offer.
type Block struct {
	Cloud, Region, Zone, InstanceType string
	Market                            cloud.Market
	Reason                            string
}

// Matches reports whether the pattern covers o.
func (b Block) Matches(o cloud.Offer) bool { return b.matches(&o) }

func (b Block) matches(o *cloud.Offer) bool {
	return (b.Cloud == "" || b.Cloud == o.Cloud) &&
		(b.Region == "" || b.Region == o.Region) &&
		(b.Zone == "" || b.Zone == o.Zone) &&
		(b.InstanceType == "" || b.InstanceType == o.InstanceType.Name) &&
		(b.Market == "" || b.Market == o.Market)
}

// String returns "cloud/region/zone type market", with "*" for what is any.
func (b Block) String() string {
	parts := []string{cmp.Or(cloud.ShortPlace(b.Cloud, b.Region, b.Zone), "*")}
	if b.InstanceType != "" {
		parts = append(parts, b.InstanceType)
	}
	if b.Market != "" {
		parts = append(parts, string(b.Market))
	}
	return strings.Join(parts, " ")
}

// Choice is a placement with what made it rank where it does.
type Choice struct {
	Placement cloud.Placement
	// Alternative is the index of the requirement it satisfies.
	Alternative int
	// HourlyUSD is the price of the cluster an hour, reserved machines free.
	HourlyUSD float64
	// Reserved is how many of its machines are reserved capacity.
	Reserved int
	// Hours is how long the work is estimated to run, data transfer included.
	Hours float64
	// EgressUSD is the price of bringing the inputs to the placement's cloud, as
	// far as it is known.
	EgressUSD float64
	// EgressUnknown says, for people, of which inputs it is not; empty is none.
	EgressUnknown string
	// TotalUSD is HourlyUSD for the work's own hours, and EgressUSD.
	TotalUSD float64
}

// Rejection says what one rule removed, of what the rules before it had left.
type Rejection struct {
	Alternative int
	// Rule names the rule: "region", "memory", "max_hourly_cost", ...
	Rule string
	// Want is what the rule asks, in the user's words.
	Want           string
	Rejected, Kept int
	// Default is that nobody asked for it; Instead is what to write against it.
	Default bool
	Instead string
}

// Plan is the answer to a request that can be met.
type Plan struct {
	// Placements are to be tried in this order. Of each place they hold the best.
	Placements []cloud.Placement
	// Choices holds one entry a placement, in the same order.
	Choices []Choice
	// Rejections are the rules that removed something.
	Rejections []Rejection
	// Considered is how many offers there were.
	Considered int
	// Machines is how many machines would do; Best is the best choice of each of the
	// first of them, as many as a table shows.
	Machines int
	Best     []Choice
	// Notes are what people should know of it, a sentence each.
	Notes []string
}

// Rank filters and orders offers. Offers of clouds that caps lacks are rejected
// as having no driver; a nil caps asks nothing of the clouds. When nothing is
// left it returns an *InfeasibleError, and the Plan still holds the Rejections.
//
// The order is by objective, then price, the regions that are preferred, those
// that most users expect, cloud, region, zone and type; where the request is
// ordered, the alternative, the market and the accelerator come first. Every place stays in the ranking, with at least its best machine in
// each market, and with as many of the next best as a Plan has room for.
func Rank(req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block) (Plan, error) {
	return RankEach(req, Each(offers), caps, blocked)
}

// Each walks over offers that lie in memory.
func Each(offers []cloud.Offer) iter.Seq[*cloud.Offer] {
	return func(yield func(*cloud.Offer) bool) {
		for i := range offers {
			if !yield(&offers[i]) {
				return
			}
		}
	}
}

// RankEach is Rank of offers that are each good until the next, and may be walked
// several times. However many there are, it takes no more memory than their
// places and machines do.
func RankEach(req Request, offers iter.Seq[*cloud.Offer], caps map[string]cloud.Capabilities, blocked []Block) (Plan, error) {
	if err := req.check(); err != nil {
		return Plan{}, err
	}
	plan, found := pass(req, offers, caps, blocked, false)
	if len(found.places) == 0 && plan.mayGiveWay(req) {
		if plan, found = pass(req, offers, caps, blocked, true); len(found.places) > 0 {
			plan.Notes = append(plan.Notes, gaveWay)
		}
	}
	plan.Notes = append(plan.Notes, req.Unpriced...)
	if len(found.places) == 0 {
		return plan, explain(req, offers, caps, blocked, plan)
	}
	plan.fill(req, found.ranked())
	plan.Machines, plan.Best = found.machines()
	return plan, nil
}

// pass reads the offers once. devices is rulesetFor's.
func pass(req Request, offers iter.Seq[*cloud.Offer], caps map[string]cloud.Capabilities, blocked []Block, devices bool) (Plan, *shortlist) {
	var plan Plan
	alternatives := req.alternatives()
	rules, counts := make([]ruleset, len(alternatives)), make([][]int, len(alternatives))
	for i, alt := range alternatives {
		rules[i] = rulesetFor(req, alt, caps, blocked, devices)
		counts[i] = make([]int, len(rules[i].rules))
	}
	found := &shortlist{req: &req}
	var best candidate // one for all offers: what is kept is copied
	for o := range offers {
		plan.Considered++
		best.offer = nil
		for i, alt := range alternatives {
			if r := rules[i].failing(o); r >= 0 {
				counts[i][r]++
				continue
			}
			if c := newCandidate(req, i, alt, o); best.offer == nil || req.compare(&c, &best) < 0 {
				best = c
			}
		}
		if best.offer != nil {
			found.add(&best)
		}
	}
	for i := range alternatives {
		plan.Rejections = append(plan.Rejections, rejections(i, rules[i].rules, counts[i], plan.Considered)...)
	}
	return plan, found
}

func (r Request) check() error {
	switch r.Objective {
	case "", Cost, Time:
	default:
		return fmt.Errorf("objective %q is not known; it is cost or time", r.Objective)
	}
	if r.Nodes < 0 {
		return fmt.Errorf("%d nodes; a cluster has at least one", r.Nodes)
	}
	for _, in := range r.Inputs {
		if !(in.SizeGB >= 0) {
			return fmt.Errorf("input on %s of %v GB; a size is zero or more", in.Cloud, in.SizeGB)
		}
	}
	return nil
}

func rejections(alt int, rs []rule, counts []int, considered int) []Rejection {
	var out []Rejection
	kept := considered
	for i, r := range rs {
		kept -= counts[i]
		if counts[i] > 0 {
			out = append(out, Rejection{Alternative: alt, Rule: r.name, Want: r.want, Rejected: counts[i], Kept: kept, Default: r.byDefault, Instead: r.instead})
		}
	}
	return out
}

func (p *Plan) fill(req Request, found []*candidate) {
	p.Placements = make([]cloud.Placement, len(found))
	p.Choices = make([]Choice, len(found))
	for i, c := range found {
		p.Choices[i] = c.choice(req)
		p.Placements[i] = p.Choices[i].Placement
	}
}

// Satisfies reports whether an offer is still what the request asks for: place,
// machine and market of any alternative. It is how a change of the request is
// judged against a running cluster; prices do not count.
func Satisfies(req Request, o cloud.Offer) bool {
	return slices.ContainsFunc(req.alternatives(), func(alt cloud.Requirement) bool {
		return firstFailing(requirementRules(alt), &o) < 0
	})
}

// WithDefaults fills in what a user who names no machine wants: at least 8
// vCPUs where nothing is asked for, and at least 4 GiB for each vCPU where no
// memory is. Requirements with an instance type, families or accelerators stay as they
// are.
func WithDefaults(r cloud.Requirement) cloud.Requirement {
	if r.InstanceType != "" || len(r.Families) > 0 || len(r.Accelerators) > 0 {
		return r
	}
	if r.CPUs.IsZero() && r.Memory.IsZero() {
		r.CPUs = cloud.Quantity{Value: 8, AtLeast: true}
	}
	if r.Memory.IsZero() {
		r.Memory = cloud.Quantity{Value: 4, AtLeast: true, PerVCPU: true}
	}
	return r
}
