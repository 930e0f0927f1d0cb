// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// reference ranks in the slow, obvious way: it writes down all that serves, and
// takes the best of what is left until nothing is.
// Machines with devices that nobody asked for come only where nothing else does.
func reference(req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block) []Choice {
	out := referenceWith(req, offers, caps, blocked, false)
	if len(out) == 0 && len(req.Unpriced) == 0 {
		out = referenceWith(req, offers, caps, blocked, true)
	}
	return out
}

func referenceWith(req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block, devices bool) []Choice {
	var left []Choice
	for _, o := range offers {
		var mine []Choice
		for i, alt := range req.Alternatives {
			if serves(req, alt, o, caps, blocked) && wanted(alt, o, devices) {
				mine = append(mine, price(req, i, o))
			}
		}
		if len(mine) > 0 {
			left = append(left, mine[first(req, mine)])
		}
	}
	var out []Choice
	for len(left) > 0 {
		i := first(req, left)
		out, left = append(out, left[i]), slices.Delete(left, i, i+1)
	}
	return out
}

func first(req Request, all []Choice) int {
	best := 0
	for i := range all {
		if before(req, all[i], all[best]) {
			best = i
		}
	}
	return best
}

func serves(req Request, alt cloud.Requirement, o cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block) bool {
	t := o.InstanceType
	named := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	if !named(alt.Cloud, o.Cloud) || !named(alt.Region, o.Region) || !named(alt.Zone, o.Zone) || !named(alt.InstanceType, t.Name) {
		return false
	}
	if o.Market == cloud.Spot && !slices.Contains(alt.Markets, cloud.Spot) {
		return false
	}
	if o.Market == cloud.OnDemand && len(alt.Markets) > 0 && !slices.Contains(alt.Markets, cloud.OnDemand) {
		return false
	}
	if len(alt.Accelerators) > 0 && accelerates(alt, o) < 0 {
		return false
	}
	if alt.Arch == "arm64" && t.Arch != "arm64" || alt.Arch == "x86_64" && t.Arch == "arm64" {
		return false
	}
	if len(alt.Families) > 0 && t.Name != "t1" && t.Name != "t3" || len(alt.ExcludedTypes) > 0 && t.Name == "t3" {
		return false // what requirement asks for
	}
	if v := alt.CPUs.Value; v > 0 && (t.VCPUs < v || (!alt.CPUs.AtLeast && t.VCPUs != v)) {
		return false
	}
	switch v := alt.Memory.Value; {
	case v > 0 && alt.Memory.PerVCPU && t.MemoryGiB < v*t.VCPUs, v > 0 && !alt.Memory.PerVCPU && t.MemoryGiB < v,
		v > 0 && !alt.Memory.PerVCPU && !alt.Memory.AtLeast && t.MemoryGiB != v:
		return false
	}
	if strings.HasPrefix(t.Accelerator.Name, "tpu-") || !able(req, alt, o, caps) {
		return false
	}
	if alt.Image != "" && req.Image(o, alt.Image) != "" {
		return false
	}
	usd := price(req, 0, o).HourlyUSD
	if alt.MaxHourlyUSD > 0 && usd-alt.MaxHourlyUSD > 1e-9 {
		return false
	}
	for _, b := range blocked {
		if (b.Cloud == "" || b.Cloud == o.Cloud) && (b.Region == "" || b.Region == o.Region) && (b.Zone == "" || b.Zone == o.Zone) &&
			(b.InstanceType == "" || b.InstanceType == t.Name) && (b.Market == "" || b.Market == o.Market) {
			return false
		}
	}
	return true
}

// wanted says what a person would want who did not say it.
func wanted(alt cloud.Requirement, o cloud.Offer, devices bool) bool {
	t := o.InstanceType
	if alt.InstanceType != "" || len(alt.Families) > 0 {
		return true
	}
	asked := len(alt.Accelerators) > 0
	refused := map[cloud.Traits]bool{
		cloud.Burstable: !alt.Burstable, cloud.Promotional: true, cloud.PreviousGeneration: !asked, cloud.BareMetal: !asked, cloud.DevicesApart: false,
	}
	for trait, no := range refused {
		if no && t.Traits&trait != 0 {
			return false
		}
	}
	if alt.Arch == "" && t.Arch == "arm64" {
		return false
	}
	if !asked && t.Accelerator.Name != "" && !devices {
		return false
	}
	if asked && t.Traits&cloud.DevicesApart != 0 && alt.CPUs.Value == 0 && alt.Memory.Value == 0 {
		return t.VCPUs >= 4*t.Accelerator.Count && t.MemoryGiB >= 16*t.Accelerator.Count
	}
	return true
}

func able(req Request, alt cloud.Requirement, o cloud.Offer, caps map[string]cloud.Capabilities) bool {
	c, known := caps[o.Cloud]
	spot := o.Market == cloud.Spot
	return known &&
		(!spot || c.Spot) &&
		(!req.Needs.Stop || (c.Stop && (!spot || c.StopSpot))) &&
		(req.Needs.SelfEnd != cloud.ShutdownTerminate || c.SelfTerminate) &&
		(req.Needs.SelfEnd != cloud.ShutdownStop || (c.SelfStop && c.Stop && (!spot || c.StopSpot))) &&
		(req.Nodes < 2 || c.MultiNode) &&
		(len(alt.Ports) == 0 || c.PortsLater || c.PortsLaunch) &&
		(alt.Image == "" || c.CustomImage) &&
		(alt.DiskGiB == 0 || c.CustomDisk) &&
		(alt.DiskTier == "" || slices.Contains(c.DiskTiers, alt.DiskTier))
}

// accelerates is the place of the offer's devices among those asked for, or -1.
func accelerates(alt cloud.Requirement, o cloud.Offer) int {
	for i, a := range alt.Accelerators {
		got := o.InstanceType.Accelerator
		if strings.EqualFold(a.Name, got.Name) && math.Abs(a.Count-got.Count) < 0.01 {
			return i
		}
	}
	return -1
}

func price(req Request, alternative int, o cloud.Offer) Choice {
	nodes := max(req.Nodes, 1)
	c := Choice{Placement: cloud.Placement{Offer: o, Nodes: nodes}, Alternative: alternative}
	for _, r := range req.Reserved {
		fits := r.Cloud == o.Cloud && r.InstanceType == o.InstanceType.Name && (r.Region == "" || r.Region == o.Region) && (r.Zone == "" || r.Zone == o.Zone)
		for n := 0; fits && o.Market == cloud.OnDemand && n < r.Count && c.Reserved < nodes; n++ {
			c.Reserved++
		}
	}
	c.HourlyUSD = o.HourlyUSD * float64(nodes-c.Reserved)
	hours := req.Alternatives[alternative].EstimatedHours
	if hours == 0 {
		hours = 1
	}
	c.EgressUSD, c.Hours = egress(req.Inputs, o.Cloud) // which has a test of its own
	c.EgressUnknown = unpriced(req.Inputs, o.Cloud)
	c.Hours += hours
	c.TotalUSD = c.HourlyUSD*hours + c.EgressUSD
	return c
}

// before compares what the user ordered first, then the objective, and then
// price, cloud, region, zone and type.
func before(req Request, a, b Choice) bool {
	key := func(c Choice) []any {
		alt, o := req.Alternatives[c.Alternative], c.Placement.Offer
		k := []any{0.0, 0.0, 0.0, c.TotalUSD, c.Hours}
		if req.Ordered {
			k[0] = float64(c.Alternative)
		}
		if alt.MarketsOrdered {
			k[1] = float64(slices.Index(alt.Markets, o.Market))
		}
		if alt.AcceleratorsOrdered {
			k[2] = float64(accelerates(alt, o))
		}
		if req.Objective == Time {
			k[3], k[4] = k[4], k[3]
		}
		return append(k, nearness(req, o), o.HourlyUSD, float64(o.RegionOrder), o.Cloud, o.Region, o.Zone, o.InstanceType.Name, string(o.Market),
			o.InstanceType.Accelerator.Name, o.InstanceType.Accelerator.Count, float64(c.Alternative))
	}
	x, y := key(a), key(b)
	for i := range x {
		switch v := x[i].(type) {
		case float64:
			if w, _ := y[i].(float64); v != w {
				return v < w
			}
		case string:
			if w, _ := y[i].(string); v != w {
				return v < w
			}
		}
	}
	return false
}

// nearness counts down what is preferred: regions first, then areas.
func nearness(req Request, o cloud.Offer) float64 {
	var wishes []func() bool
	for _, p := range req.Preferred {
		wishes = append(wishes, func() bool { return strings.EqualFold(p.Region, o.Region) })
	}
	for _, p := range req.Preferred {
		wishes = append(wishes, func() bool { return p.Area == o.Area && o.Area != 0 })
	}
	at := slices.IndexFunc(wishes, func(w func() bool) bool { return w() })
	if at < 0 {
		at = len(wishes)
	}
	return float64(at)
}

// dice makes random markets and requests, small enough for ties and dead ends.
type dice struct{ *rand.Rand }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

func (d dice) one(n int) bool { return d.IntN(n) == 0 }

func (d dice) offers() []cloud.Offer {
	var out []cloud.Offer
	for _, c := range []string{"aws", "gcp", "lambda"} {
		for n := range 6 {
			t := cloud.InstanceType{Name: fmt.Sprintf("t%d", n), VCPUs: pick(d, 2.0, 4, 8), MemoryGiB: pick(d, 8.0, 16, 64)}
			if !d.one(3) {
				t.Accelerator = cloud.Accelerator{Name: pick(d, "A100", "L4", "T4", "tpu-v4-8"), Count: pick(d, 1.0, 8, 0.5)}
			}
			t.Arch = pick(d, "", "x86_64", "x86_64", "arm64")
			t.Traits = pick(d, 0, 0, 0, cloud.Burstable, cloud.PreviousGeneration, cloud.Promotional|cloud.Burstable, cloud.BareMetal, cloud.DevicesApart)
			order := map[string]uint16{"east": uint16(d.IntN(2)), "west": 1}
			for _, place := range [][2]string{{"east", "a"}, {"east", "b"}, {"west", ""}} {
				for _, m := range []cloud.Market{cloud.OnDemand, cloud.Spot} {
					if !d.one(3) {
						out = append(out, cloud.Offer{Cloud: c, Region: place[0], Zone: place[1], InstanceType: t, Market: m, HourlyUSD: pick(d, 0.1, 0.7, 1, 1, 1.1, 3), RegionOrder: order[place[0]], Area: map[string]cloud.Area{"east": cloud.Europe}[place[0]]})
					}
				}
			}
		}
	}
	return out
}

func (d dice) requirement() cloud.Requirement {
	maybe := func(odds int, values ...string) string {
		if d.one(odds) {
			return pick(d, values...)
		}
		return ""
	}
	r := cloud.Requirement{
		Cloud: maybe(4, "aws", "GCP", "lambda"), Region: maybe(6, "east", "West"), Zone: maybe(10, "a", "B"), InstanceType: maybe(8, "t1", "T2"),
		DiskTier: maybe(6, "low", "high"), Image: maybe(6, "one", "two"),
		EstimatedHours: pick(d, 0.0, 0, 1, 2, 7), MaxHourlyUSD: pick(d, 0.0, 0, 0.3, 1, 2, 2.2, 6), DiskGiB: pick(d, 0, 0, 0, 50),
	}
	for range pick(d, 0, 0, 1, 2, 3) {
		r.Accelerators = append(r.Accelerators, cloud.Accelerator{Name: pick(d, "A100", "l4", "T4", "tpu-v4-8"), Count: pick(d, 1.0, 8, 0.5)})
	}
	r.AcceleratorsOrdered = len(r.Accelerators) > 1 && d.one(2)
	r.Markets = pick(d, nil, nil, []cloud.Market{cloud.Spot}, []cloud.Market{cloud.OnDemand}, []cloud.Market{cloud.Spot, cloud.OnDemand})
	r.MarketsOrdered = len(r.Markets) > 1 && d.one(2) // spot_then_on_demand
	r.CPUs = pick(d, cloud.Quantity{}, cloud.Quantity{}, cloud.Quantity{Value: 4}, cloud.Quantity{Value: 4, AtLeast: true})
	r.Memory = pick(d, cloud.Quantity{}, cloud.Quantity{}, cloud.Quantity{Value: 16}, cloud.Quantity{Value: 16, AtLeast: true}, cloud.Quantity{Value: 4, AtLeast: true, PerVCPU: true})
	r.Arch, r.Burstable = pick(d, "", "", "", "x86_64", "arm64", "any"), d.one(4)
	if d.one(8) {
		r.Families = []string{"t1", "T3*"}
	}
	if d.one(8) {
		r.ExcludedTypes = []string{"*3"}
	}
	if d.one(8) {
		r.Ports = []cloud.PortRange{{First: 80, Last: 80}}
	}
	return r
}

func (d dice) request() Request {
	req := Request{Nodes: pick(d, 0, 1, 2, 3), Ordered: d.one(2), Objective: pick(d, "", Cost, Time)}
	for range pick(d, 1, 1, 2, 3) {
		req.Alternatives = append(req.Alternatives, d.requirement())
	}
	for range pick(d, 0, 0, 1, 2) {
		req.Inputs = append(req.Inputs, Input{Cloud: pick(d, "aws", "gcp", "lambda"), SizeGB: pick(d, 0.0, 50, 500, 20000), Egress: pick(d, nil, steps())})
		req.Reserved = append(req.Reserved, Reservation{
			Cloud: pick(d, "aws", "gcp"), InstanceType: pick(d, "t0", "t1", "t2"), Region: pick(d, "", "east"), Zone: pick(d, "", "a"), Count: pick(d, 0, 1, 2, 9),
		})
	}
	for range pick(d, 0, 0, 1, 2) {
		req.Preferred = append(req.Preferred, pick(d, Preference{Region: "West"}, Preference{Region: "nowhere", Area: cloud.Europe}, Preference{Region: "east", Area: cloud.Europe}))
	}
	req.Unpriced = pick(d, nil, nil, nil, []string{"aws: no spot price"})
	req.Needs.Stop = d.one(8)
	req.Needs.SelfEnd = pick(d, "", "", "", "", cloud.ShutdownStop, cloud.ShutdownTerminate)
	req.Image = func(o cloud.Offer, image string) string {
		if image == "two" && o.Region == "east" {
			return "it is not there"
		}
		return ""
	}
	return req
}

func (d dice) capabilities() map[string]cloud.Capabilities {
	caps := map[string]cloud.Capabilities{}
	for _, c := range []string{"aws", "gcp", "lambda"} {
		if !d.one(6) {
			caps[c] = cloud.Capabilities{
				Stop: !d.one(3), StopSpot: d.one(2), Spot: !d.one(3), MultiNode: !d.one(4), PortsLater: !d.one(3), CustomImage: !d.one(3),
				CustomDisk: !d.one(3), SelfStop: d.one(2), SelfTerminate: d.one(2), DiskTiers: pick(d, nil, []string{"low"}, []string{"low", "high"}),
			}
		}
	}
	return caps
}

func (d dice) blocks() []Block {
	var out []Block
	for range pick(d, 0, 0, 1, 3) {
		out = append(out, Block{
			Cloud: pick(d, "aws", "gcp"), Region: pick(d, "", "east"), Zone: pick(d, "", "a"), InstanceType: pick(d, "", "t1", "t3"),
			Market: pick(d, "", cloud.Spot),
		})
	}
	return out
}

// Rank agrees with the reference on random requests over random offers, and
// whatever the order of the offers.
func TestRankAgainstReference(t *testing.T) {
	ranked, deepest, relaxed := 0, 0, 0
	for seed := range uint64(6000) {
		d := dice{rand.New(rand.NewPCG(seed, 1))}
		req, offers, caps, blocked := d.request(), d.offers(), d.capabilities(), d.blocks()
		want := reference(req, offers, caps, blocked)
		d.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		plan, err := Rank(req, offers, caps, blocked)
		if diff := cmp.Diff(want, plan.Choices); diff != "" {
			t.Fatalf("seed %d: %+v\n(-reference +Rank):\n%s", seed, req, diff)
		}
		if infeasible := (*InfeasibleError)(nil); (len(want) == 0) != errors.As(err, &infeasible) {
			t.Fatalf("seed %d: %d placements and the error %v", seed, len(want), err)
		}
		for i, c := range plan.Choices {
			if bound := req.Alternatives[c.Alternative].MaxHourlyUSD; bound > 0 && c.HourlyUSD > bound+1e-9 {
				t.Fatalf("seed %d: place %d costs %v, above %v", seed, i, c.HourlyUSD, bound)
			}
			if plan.Placements[i] != c.Placement {
				t.Fatalf("seed %d: place %d is %v, and %v", seed, i, plan.Placements[i], c.Placement)
			}
		}
		checkRejections(t, seed, req, offers, caps, blocked, plan)
		relaxed += checkRelaxations(t, seed, req, offers, caps, blocked, err)
		d.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		again, againErr := Rank(req, offers, caps, blocked)
		if diff := cmp.Diff(plan, again); diff != "" || fmt.Sprint(err) != fmt.Sprint(againErr) {
			t.Fatalf("seed %d: another order of offers:\n%s\n%v\n%v", seed, diff, err, againErr)
		}
		ranked, deepest = ranked+min(len(want), 1), max(deepest, len(want))
	}
	if ranked < 1000 || deepest < 20 || relaxed < 100 {
		t.Errorf("only %d requests could be met, with %d places at most, and %d relaxed: the dice are loaded", ranked, deepest, relaxed)
	}
}

// checkRejections: what the rules removed and what is left is all there was.
func checkRejections(t *testing.T, seed uint64, req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block, plan Plan) {
	t.Helper()
	devices := slices.Contains(plan.Notes, gaveWay)
	for i, alt := range req.Alternatives {
		left := len(offers)
		for _, r := range plan.Rejections {
			if r.Alternative == i {
				if left -= r.Rejected; r.Kept != left {
					t.Fatalf("seed %d: %+v, where %d are left", seed, r, left)
				}
			}
		}
		for _, o := range offers {
			if serves(req, alt, o, caps, blocked) && wanted(alt, o, devices) {
				left--
			}
		}
		if left != 0 {
			t.Fatalf("seed %d: %d offers of alternative %d are neither rejected nor left", seed, left, i)
		}
	}
}

// checkRelaxations: who takes the advice gets as many offers, from that price.
func checkRelaxations(t *testing.T, seed uint64, req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked []Block, err error) int {
	t.Helper()
	var infeasible *InfeasibleError
	if !errors.As(err, &infeasible) {
		return 0
	}
	checked := 0
	for _, r := range infeasible.Relaxations {
		words := strings.Fields(r.Change)
		changed := req
		changed.Alternatives = []cloud.Requirement{req.Alternatives[r.Alternative]}
		alt, perr := &changed.Alternatives[0], error(nil)
		switch words[0] {
		case "max_hourly_cost":
			alt.MaxHourlyUSD, perr = strconv.ParseFloat(words[1], 64)
		case "cpus":
			alt.CPUs, perr = cloud.ParseCPUs(words[1])
		case "memory":
			alt.Memory, perr = cloud.ParseMemory(words[1])
		default:
			continue
		}
		from := math.Inf(1)
		got := reference(changed, offers, caps, blocked)
		for _, c := range got {
			from = min(from, c.HourlyUSD)
		}
		if perr != nil || len(got) != r.Offers || from != r.FromUSD {
			t.Fatalf("seed %d: %q, and it leaves %d from %v, %v", seed, r, len(got), from, perr)
		}
		checked++
	}
	return checked
}

// Egress is the sum of each GB at the price of its tier.
func TestEgressGBByGB(t *testing.T) {
	for from, price := range map[string][]cloud.EgressStep{"stepped": steps(), "flat": {{USDPerGB: 0.01}}, "free": {{}}, "unknown": nil} {
		for _, size := range []int{0, 1, 100, 101, 1024, 1025, 10240, 60000, 200000} {
			want := 0.0
			for gb := range size {
				for _, step := range price {
					if float64(gb) < step.UpToGB || step.UpToGB == 0 {
						want += step.USDPerGB
						break
					}
				}
			}
			usd, hours := egress([]Input{{Cloud: from, SizeGB: float64(size), Egress: price}}, "elsewhere")
			if math.Abs(usd-want) > 1e-6 || math.Abs(hours-float64(size)*8/10/3600) > 1e-9 {
				t.Errorf("%d GB from %s: $%v, %v h, want $%v", size, from, usd, hours, want)
			}
			if usd, hours := egress([]Input{{Cloud: from, SizeGB: float64(size), Egress: price}}, from); usd != 0 || hours != 0 {
				t.Errorf("%d GB within %s: $%v, %v h", size, from, usd, hours)
			}
		}
	}
}
