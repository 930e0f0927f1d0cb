// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func offer(cloudName, region, zone, name string, vcpus, memory, usd float64, acc ...cloud.Accelerator) cloud.Offer {
	o := cloud.Offer{Cloud: cloudName, Region: region, Zone: zone, Market: cloud.OnDemand, HourlyUSD: usd}
	o.InstanceType = cloud.InstanceType{Name: name, VCPUs: vcpus, MemoryGiB: memory}
	if len(acc) > 0 {
		o.InstanceType.Accelerator = acc[0]
	}
	return o
}

func spot(o cloud.Offer, usd float64) cloud.Offer {
	o.Market, o.HourlyUSD = cloud.Spot, usd
	return o
}

func market() []cloud.Offer {
	a1, a8 := cloud.Accelerator{Name: "A100", Count: 1}, cloud.Accelerator{Name: "A100", Count: 8}
	l4 := cloud.Accelerator{Name: "L4", Count: 1}
	big := offer("aws", "us-east-1", "use1-az1", "p4d.24xlarge", 96, 1152, 32.77, a8)
	return []cloud.Offer{
		big, spot(big, 9.8),
		offer("aws", "us-east-1", "use1-az2", "p4d.24xlarge", 96, 1152, 32.77, a8),
		offer("gcp", "us-central1", "us-central1-a", "a2-highgpu-8g", 96, 680, 29.38, a8),
		offer("gcp", "us-central1", "us-central1-a", "a2-highgpu-1g", 12, 85, 3.67, a1),
		offer("gcp", "us-central1", "us-central1-b", "g2-standard-8", 8, 32, 0.85, l4),
		offer("lambda", "us-west-1", "", "gpu_1x_a100", 30, 200, 1.29, a1),
		offer("aws", "us-east-1", "use1-az1", "m6i.2xlarge", 8, 32, 0.384),
		offer("aws", "us-east-1", "use1-az1", "r6i.2xlarge", 8, 64, 0.504),
	}
}

func ids(p Plan) []string {
	var out []string
	for _, x := range p.Placements {
		id := x.Offer.Place() + " " + x.Offer.InstanceType.Name
		if x.Offer.Market == cloud.Spot {
			id += "[spot]"
		}
		out = append(out, id)
	}
	return out
}

func rank(t *testing.T, req Request, offers []cloud.Offer, caps map[string]cloud.Capabilities, blocked ...Block) Plan {
	t.Helper()
	plan, err := Rank(req, offers, caps, blocked)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func want(t *testing.T, plan Plan, wanted ...string) {
	t.Helper()
	if diff := cmp.Diff(wanted, ids(plan)); diff != "" {
		t.Errorf("placements (-want +got):\n%s", diff)
	}
}

func a100(count float64) cloud.Requirement {
	return cloud.Requirement{Accelerators: []cloud.Accelerator{{Name: "a100", Count: count}}}
}

func TestRankKeepsEveryZoneAndTypeInOrderOfPrice(t *testing.T) {
	plan := rank(t, Request{Alternatives: []cloud.Requirement{a100(8)}, Nodes: 2}, market(), nil)
	want(t, plan, "gcp/us-central1/us-central1-a a2-highgpu-8g",
		"aws/us-east-1/use1-az1 p4d.24xlarge", "aws/us-east-1/use1-az2 p4d.24xlarge")
	if got := plan.Choices[0].HourlyUSD; got != 2*29.38 {
		t.Errorf("the cluster costs %v, want %v", got, 2*29.38)
	}
}

func TestRankDoesNotDependOnTheOrderOfOffers(t *testing.T) {
	req := Request{Alternatives: []cloud.Requirement{{Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}}, a100(8)}}
	offers := market()
	first := rank(t, req, offers, nil)
	for range 50 {
		rand.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		if diff := cmp.Diff(first.Placements, rank(t, req, offers, nil).Placements); diff != "" {
			t.Fatalf("another order:\n%s", diff)
		}
	}
}

func TestRankOrders(t *testing.T) {
	ordered := Request{Ordered: true, Alternatives: []cloud.Requirement{a100(8), a100(1)}}
	if got := ids(rank(t, ordered, market(), nil)); !strings.Contains(got[0], "a2-highgpu-8g") || len(got) != 5 {
		t.Errorf("ordered alternatives gave %v", got)
	}
	anyOf := Request{Alternatives: []cloud.Requirement{a100(8), a100(1)}}
	if got := ids(rank(t, anyOf, market(), nil)); !strings.Contains(got[0], "gpu_1x_a100") {
		t.Errorf("any_of gave %v", got)
	}
	r := a100(8)
	r.Markets, r.MarketsOrdered = []cloud.Market{cloud.OnDemand, cloud.Spot}, true
	if got := ids(rank(t, Request{Alternatives: []cloud.Requirement{r}}, market(), nil)); !strings.Contains(got[3], "[spot]") {
		t.Errorf("ordered markets gave %v", got)
	}
	r = cloud.Requirement{Accelerators: []cloud.Accelerator{{Name: "A100", Count: 1}, {Name: "L4", Count: 1}}, AcceleratorsOrdered: true}
	if got := ids(rank(t, Request{Alternatives: []cloud.Requirement{r}}, market(), nil)); !strings.Contains(got[2], "g2-standard-8") {
		t.Errorf("ordered accelerators gave %v", got)
	}
}

// steps are a price of egress in steps, the first of them free.
func steps() []cloud.EgressStep {
	return []cloud.EgressStep{{UpToGB: 100}, {UpToGB: 10240, USDPerGB: 0.09}, {USDPerGB: 0.05}}
}

// A price that is not known is no price of 0: the estimate leaves it out, and the
// table says so, but where the data lies on the chosen cloud.
func TestEgressUnknown(t *testing.T) {
	for from, want := range map[string]string{"nimbus": "moving 1000 GB out of nimbus", "lambda": "moving 1000 GB out of lambda", "gcp": ""} {
		plan := rank(t, Request{Alternatives: []cloud.Requirement{a100(8)}, Inputs: []Input{
			{Cloud: from, SizeGB: 1000}, {Cloud: "aws", SizeGB: 200, Egress: []cloud.EgressStep{{}}},
		}}, market(), nil)
		if plan.Placements[0].Offer.Cloud != "gcp" {
			t.Fatalf("the cheapest is %v", plan.Placements[0])
		}
		if c := plan.Choices[0]; c.EgressUSD != 0 {
			t.Errorf("1000 GB from %s cost %v", from, c.EgressUSD)
		}
		got := plan.Table()
		if want == "" && strings.Contains(got, "Not in the estimate") || !strings.Contains(got, want) || strings.Contains(got, "out of aws") {
			t.Errorf("with 1000 GB on %s the table is\n%s", from, got)
		}
	}
}

func TestRankTimeEgressAndReservations(t *testing.T) {
	slow, fast := a100(1), a100(8)
	slow.EstimatedHours, fast.EstimatedHours = 10, 1
	req := Request{Alternatives: []cloud.Requirement{slow, fast}}
	if got := ids(rank(t, req, market(), nil)); !strings.Contains(got[0], "gpu_1x_a100") {
		t.Errorf("cost chose %v", got[0])
	}
	req.Objective = Time
	if got := ids(rank(t, req, market(), nil)); !strings.Contains(got[0], "a2-highgpu-8g") {
		t.Errorf("time chose %v", got[0])
	}

	near := Request{Alternatives: []cloud.Requirement{a100(8)}, Inputs: []Input{{Cloud: "aws", SizeGB: 1000, Egress: steps()}}}
	plan := rank(t, near, market(), nil)
	if got := ids(plan); !strings.Contains(got[0], "p4d") || plan.Choices[0].EgressUSD != 0 {
		t.Errorf("with a TB on aws it chose %v", got[0])
	}
	if got := plan.Choices[2].EgressUSD; got != 900*0.09 {
		t.Errorf("egress of a TB from aws costs %v", got)
	}

	held := Request{Alternatives: []cloud.Requirement{a100(8)}, Nodes: 3,
		Reserved: []Reservation{{Cloud: "aws", InstanceType: "p4d.24xlarge", Zone: "use1-az2", Count: 2}}}
	plan = rank(t, held, market(), nil)
	if c := plan.Choices[0]; c.Placement.Offer.Zone != "use1-az2" || c.HourlyUSD != 32.77 || c.Reserved != 2 {
		t.Errorf("reserved capacity gave %+v", c)
	}
}

func TestRankFiltersOnCapabilitiesBlocksAndBudget(t *testing.T) {
	caps := map[string]cloud.Capabilities{"aws": {MultiNode: true, Spot: true, Stop: true}, "lambda": {}}
	req := Request{Alternatives: []cloud.Requirement{a100(8)}, Nodes: 2}
	want(t, rank(t, req, market(), caps), "aws/us-east-1/use1-az1 p4d.24xlarge", "aws/us-east-1/use1-az2 p4d.24xlarge")
	want(t, rank(t, req, market(), caps, Block{Cloud: "aws", Zone: "use1-az1"}), "aws/us-east-1/use1-az2 p4d.24xlarge")

	req.Nodes, req.Needs.SelfEnd = 1, cloud.ShutdownTerminate
	if _, err := Rank(req, market(), caps, nil); err == nil || !strings.Contains(err.Error(), "machines that remove themselves (not on aws, lambda)") {
		t.Errorf("autodown where nothing removes itself gave %v", err)
	}
	caps["aws"] = cloud.Capabilities{SelfStop: true, SelfTerminateIf: "it is Sunday", Spot: true}
	if _, err := Rank(req, market(), caps, nil); err == nil || !strings.Contains(err.Error(), "on aws only if it is Sunday") {
		t.Errorf("autodown that a setting would allow gave %v", err)
	}
	caps["aws"] = cloud.Capabilities{SelfStop: true, SelfTerminate: true, Spot: true}
	if _, err := Rank(req, market(), caps, nil); err != nil {
		t.Errorf("autodown gave %v", err)
	}

	one := a100(1)
	one.MaxHourlyUSD = 4
	plan := rank(t, Request{Alternatives: []cloud.Requirement{one}, Nodes: 2}, market(), nil)
	want(t, plan, "lambda/us-west-1 gpu_1x_a100")
	if last := plan.Rejections[len(plan.Rejections)-1]; last.Rule != "max_hourly_cost" || last.Rejected != 1 || last.Kept != 1 {
		t.Errorf("the budget's rejection is %+v", last)
	}
}

// The reason is the capability's, of the markets and the cloud that were asked for.
func TestReasonComesFromTheCapability(t *testing.T) {
	caps := map[string]cloud.Capabilities{
		"aws": {Stop: true, SelfStop: true, Spot: true}, "lambda": {Spot: true}, "fluffycloud": {Stop: true, SelfStop: true, Spot: true, OptIn: true},
	}
	for _, tt := range []struct {
		cloud   string
		markets []cloud.Market
		want    string
	}{
		{"lambda", nil, "machines that stop by themselves (machines of lambda cannot be stopped, only removed)"},
		{"", []cloud.Market{cloud.Spot}, "spot machines of aws cannot be stopped, only removed; spot machines of fluffycloud cannot be stopped, only removed; machines of lambda cannot"},
	} {
		one := cloud.Requirement{Accelerators: []cloud.Accelerator{{Name: "A100", Count: 1}}, Cloud: tt.cloud, Markets: tt.markets}
		_, err := Rank(Request{Alternatives: []cloud.Requirement{one}, Needs: Needs{SelfEnd: cloud.ShutdownStop}}, market(), caps, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "not on") {
			t.Errorf("autostop on %q: %v, want %q", tt.cloud, err, tt.want)
		}
	}
}

func TestInfeasibleSaysWhyAndWhatWouldDo(t *testing.T) {
	cases := []struct {
		name  string
		req   cloud.Requirement
		parts []string
	}{
		{"memory", cloud.Requirement{CPUs: cloud.Quantity{Value: 8}, Memory: cloud.Quantity{Value: 96, AtLeast: true}},
			[]string{"memory 64+ instead of 96+ leaves 1 offer from $0.504/h", "memory  96+"}},
		{"accelerator", cloud.Requirement{Accelerators: []cloud.Accelerator{{Name: "A10", Count: 1}}},
			[]string{"Accelerators that come closest: A100:1, A100:8"}},
		{"count", a100(3), []string{"accelerators A100:1 or A100:8 instead of a100:3"}},
		{"price", cloud.Requirement{Accelerators: a100(8).Accelerators, MaxHourlyUSD: 5},
			[]string{"max_hourly_cost 29.38 instead of 5.00 leaves 1 offer from $29.38/h"}},
		{"zone", cloud.Requirement{Region: "us-central1", Zone: "use1-az1"},
			[]string{"zone use1-az1 lies in region us-east-1 of aws, not in us-central1"}},
		{"region", cloud.Requirement{Cloud: "aws", Region: "us-esat-1"},
			[]string{`region "us-esat-1" is in no catalog`, "region us-east-1 instead of us-esat-1 leaves 2 offers from $0.384/h"}},
		{"two", cloud.Requirement{Cloud: "lambda", Accelerators: a100(8).Accelerators, CPUs: cloud.Quantity{Value: 96}},
			[]string{"cloud gcp or aws instead of lambda"}},
	}
	_, err := Rank(Request{Alternatives: []cloud.Requirement{{Cloud: "aws", Accelerators: a100(8).Accelerators,
		Memory: cloud.Quantity{Value: 2000, AtLeast: true}}}}, market(), nil, nil)
	if strings.Contains(err.Error(), "accelerators none") {
		t.Errorf("a machine without devices is offered for devices:\n%s", err)
	}
	for _, c := range cases {
		_, err := Rank(Request{Alternatives: []cloud.Requirement{c.req}}, market(), nil, nil)
		var infeasible *InfeasibleError
		if !errors.As(err, &infeasible) {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, part := range c.parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: lacks %q:\n%s", c.name, part, err)
			}
		}
	}
}

// TestNamedMachinesThatAreNone: what would do instead is what a person would take, and
// what is spelled alike.
func TestNamedMachinesThatAreNone(t *testing.T) {
	offers := market()
	slow, arm := offer("aws", "us-east-1", "use1-az1", "t3.nano", 2, 0.5, 0.005), offer("aws", "us-east-1", "use1-az1", "m6g.large", 2, 8, 0.07)
	slow.InstanceType.Traits, arm.InstanceType.Arch = cloud.Burstable, cloud.ArchARM
	offers = append(offers, slow, arm)
	for _, c := range []struct {
		req   cloud.Requirement
		parts []string
	}{
		{cloud.Requirement{Cloud: "aws", Families: []string{"m6z"}},
			[]string{"instance_families m6i or r6i or p4d instead of m6z leaves 4 offers from $0.384/h", `instance family "m6z" is in no catalog; the nearest of 8 are m6g, m6i`}},
		{cloud.Requirement{Cloud: "aws", Families: []string{"m6i", "m6i.2xlrage"}, CPUs: cloud.Quantity{Value: 3}},
			[]string{"instance family \"m6i.2xlrage\" is in no catalog; the nearest of 9 are m6i.2xlarge"}},
		{cloud.Requirement{Cloud: "aws", InstanceType: "m6z.large"},
			[]string{"instance_type m6i.2xlarge or r6i.2xlarge or p4d.24xlarge instead of m6z.large leaves 4 offers from $0.384/h"}},
		{cloud.Requirement{Cloud: "lambda", Families: []string{"m6i"}}, []string{"instance_families gpu_1x_a100 instead of m6i"}},
	} {
		_, err := Rank(Request{Alternatives: []cloud.Requirement{c.req}}, offers, nil, nil)
		for _, part := range c.parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("lacks %q:\n%v", part, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), `"m6i" is in no catalog`) {
			t.Errorf("a family that is there is said to be in no catalog:\n%v", err)
		}
	}
}

func TestTable(t *testing.T) {
	r := a100(8)
	r.Markets = []cloud.Market{cloud.Spot, cloud.OnDemand}
	got := rank(t, Request{Alternatives: []cloud.Requirement{r}, Nodes: 2}, market(), nil).Table()
	const text = `Considered resources (2 nodes):
INFRA                          INSTANCE              vCPUs  Mem(GB)  GPUS    COST ($/h)  CHOSEN
aws/us-east-1/use1-az1         2xp4d.24xlarge[Spot]  96     1152     A100:8  19.60       ✔
gcp/us-central1/us-central1-a  2xa2-highgpu-8g       96     680      A100:8  58.76
aws/us-east-1/use1-az1         2xp4d.24xlarge        96     1152     A100:8  65.54
Estimated cost: $19.60 / hour
`
	if diff := cmp.Diff(text, got); diff != "" {
		t.Error(diff)
	}
}

// The architecture has a column where one of the machines has another than the usual.
func TestTableSaysTheArchitecture(t *testing.T) {
	arm := offer("aws", "us-east-1", "use1-az1", "m6g.2xlarge", 8, 32, 0.308)
	arm.InstanceType.Arch = cloud.ArchARM
	r := cloud.Requirement{Cloud: "aws", Arch: cloud.ArchAny, Memory: cloud.Quantity{Value: 32}}
	got := rank(t, Request{Alternatives: []cloud.Requirement{r}}, append(market(), arm), nil).Table()
	const text = `Considered resources (1 node):
INFRA                   INSTANCE     ARCH    vCPUs  Mem(GB)  GPUS  COST ($/h)  CHOSEN
aws/us-east-1/use1-az1  m6g.2xlarge  arm64   8      32       -     0.308       ✔
aws/us-east-1/use1-az1  m6i.2xlarge  x86_64  8      32       -     0.384
Estimated cost: $0.308 / hour
`
	if diff := cmp.Diff(text, got); diff != "" {
		t.Error(diff)
	}
}
