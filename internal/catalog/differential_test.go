// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gocarina/gocsv"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// The reference: gocsv into structs, every offer written out, a linear scan for
// each query, and a sort. Slow and obvious, and it shares no code with the index.

type refRow struct {
	InstanceType     string `csv:"InstanceType"`
	AcceleratorName  string `csv:"AcceleratorName"`
	AcceleratorCount string `csv:"AcceleratorCount"`
	VCPUs            string `csv:"vCPUs"`
	MemoryGiB        string `csv:"MemoryGiB"`
	Price            string `csv:"Price"`
	SpotPrice        string `csv:"SpotPrice"`
	Region           string `csv:"Region"`
	Zone             string `csv:"AvailabilityZone"`
}

func refNumber(t testing.TB, s string) float64 {
	t.Helper()
	if s == "" {
		return math.NaN()
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func refOffers(t testing.TB, cloudName, text string) []cloud.Offer {
	t.Helper()
	var rows []refRow
	if err := gocsv.UnmarshalString(text, &rows); err != nil {
		t.Fatal(err)
	}
	zero := func(s string) float64 {
		if v := refNumber(t, s); !math.IsNaN(v) {
			return v
		}
		return 0
	}
	var out []cloud.Offer
	emit := func(r refRow, name, acc, count string, od, spot float64) {
		o := cloud.Offer{Cloud: cloudName, Region: r.Region, Zone: r.Zone}
		o.InstanceType = cloud.InstanceType{Name: name, VCPUs: zero(r.VCPUs), MemoryGiB: zero(r.MemoryGiB)}
		o.RegionOrder, o.Area = about.Of(cloudName).Place(r.Region) // which has tests of its own
		if acc != "" {
			o.InstanceType.Accelerator = cloud.Accelerator{Name: acc, Count: zero(count)}
		}
		if od > 0 { // neither blank nor zero
			o.Market, o.HourlyUSD = cloud.OnDemand, od
			out = append(out, o)
		}
		if spot > 0 {
			o.Market, o.HourlyUSD = cloud.Spot, spot
			out = append(out, o)
		}
	}
	for _, r := range rows {
		od, spot := refNumber(t, r.Price), refNumber(t, r.SpotPrice)
		switch {
		case cloudName != "gcp":
			emit(r, r.InstanceType, r.AcceleratorName, r.AcceleratorCount, od, spot)
		case r.InstanceType == "":
			if strings.HasPrefix(r.AcceleratorName, "tpu-") {
				emit(r, "TPU-VM", r.AcceleratorName, r.AcceleratorCount, od, spot)
			}
		default:
			if !strings.HasPrefix(r.InstanceType, "a2-") && !strings.HasPrefix(r.InstanceType, "g2-") {
				emit(r, r.InstanceType, "", "", od, spot)
			}
			for _, d := range rows {
				if d.InstanceType == "" && d.Region == r.Region && d.Zone == r.Zone && refTakes(r, d, zero) {
					emit(r, r.InstanceType, d.AcceleratorName, d.AcceleratorCount, od+refNumber(t, d.Price), spot+refNumber(t, d.SpotPrice))
				}
			}
		}
	}
	return out
}

// refTakes says whether a host takes a device, from a table written another way
// than the reader's.
func refTakes(host, device refRow, num func(string) float64) bool {
	pair := device.AcceleratorName + ":" + strconv.Itoa(int(num(device.AcceleratorCount)))
	fixed := map[string]string{
		"a2-highgpu-1g": "A100:1", "a2-highgpu-2g": "A100:2", "a2-highgpu-4g": "A100:4", "a2-highgpu-8g": "A100:8",
		"a2-megagpu-16g": "A100:16", "a2-ultragpu-1g": "A100-80GB:1", "a2-ultragpu-2g": "A100-80GB:2",
		"a2-ultragpu-4g": "A100-80GB:4", "a2-ultragpu-8g": "A100-80GB:8", "g2-standard-8": "L4:1",
	}
	if want, ok := fixed[host.InstanceType]; ok {
		return want == pair
	}
	most := map[string][2]float64{
		"K80:1": {8, 52}, "K80:2": {16, 104}, "K80:4": {32, 208}, "K80:8": {64, 416},
		"P100:1": {16, 104}, "P100:2": {32, 208}, "P100:4": {96, 624},
		"P4:1": {24, 156}, "P4:2": {48, 312}, "P4:4": {96, 624},
		"T4:1": {48, 312}, "T4:2": {48, 312}, "T4:4": {96, 624},
		"V100:1": {12, 78}, "V100:2": {24, 156}, "V100:4": {48, 312}, "V100:8": {96, 624},
	}
	m, ok := most[pair]
	return ok && strings.HasPrefix(host.InstanceType, "n1-") && num(host.VCPUs) <= m[0] && num(host.MemoryGiB) <= m[1]
}

// refQuery scans offers that were sorted once, best first.
func refQuery(offers []cloud.Offer, r cloud.Requirement, limit int) []cloud.Offer {
	if r.Arch == "" && refARMOnly(offers, r) {
		r.Arch = cloud.ArchAny
	}
	var out []cloud.Offer
	for i := range offers {
		o := &offers[i]
		t := &o.InstanceType
		market := o.Market == cloud.OnDemand && len(r.Markets) == 0 || slices.Contains(r.Markets, o.Market)
		acc := len(r.Accelerators) == 0
		for _, a := range r.Accelerators {
			acc = acc || (strings.EqualFold(a.Name, t.Accelerator.Name) && math.Abs(a.Count-t.Accelerator.Count) < 0.01)
		}
		if market && acc &&
			(r.Cloud == "" || strings.EqualFold(r.Cloud, o.Cloud)) && (r.Region == "" || strings.EqualFold(r.Region, o.Region)) &&
			(r.Zone == "" || strings.EqualFold(r.Zone, o.Zone)) && (r.InstanceType == "" || strings.EqualFold(r.InstanceType, t.Name)) &&
			refChosen(o, r) &&
			r.CPUs.Holds(t.VCPUs, t.VCPUs) && r.Memory.Holds(t.MemoryGiB, t.VCPUs) &&
			(r.MaxHourlyUSD == 0 || o.HourlyUSD <= r.MaxHourlyUSD) {
			if out = append(out, *o); len(out) == limit {
				break
			}
		}
	}
	return out
}

// refARMOnly says whether one of the devices is in no machine of the clouds but those
// with ARM processors.
func refARMOnly(offers []cloud.Offer, r cloud.Requirement) bool {
	return slices.ContainsFunc(r.Accelerators, func(a cloud.Accelerator) bool {
		arm, others := 0, 0
		for _, o := range offers {
			got := o.InstanceType.Accelerator
			switch {
			case r.Cloud != "" && r.Cloud != o.Cloud || !strings.EqualFold(a.Name, got.Name) || a.Count != got.Count:
			case o.Cloud == "aws" && (o.InstanceType.Name == "c6g.x" || o.InstanceType.Name == "t4g.x"):
				arm++
			default:
				others++
			}
		}
		return arm > 0 && others == 0
	})
}

// refChosen says whether a person would choose the machine where the request does
// not say otherwise, by the names of the types that generated makes.
func refChosen(o *cloud.Offer, r cloud.Requirement) bool {
	t := &o.InstanceType
	is := func(names ...string) bool { return o.Cloud == "aws" && slices.Contains(names, t.Name) }
	burstable := is("t3.x", "t4g.x") || t.Name == "e2-small"
	arch := cloud.ArchX86
	if is("c6g.x", "t4g.x") {
		arch = cloud.ArchARM
	}
	if (r.Arch == cloud.ArchX86 || r.Arch == cloud.ArchARM) && r.Arch != arch || slices.Contains(r.ExcludedTypes, "m5*") && strings.HasPrefix(t.Name, "m5") {
		return false
	}
	if r.InstanceType != "" || len(r.Families) > 0 {
		return len(r.Families) == 0 || strings.HasPrefix(strings.ToLower(t.Name), "t") // the family asked for is t*
	}
	device := len(r.Accelerators) > 0
	if r.Arch == "" && arch != cloud.ArchX86 || !device && t.Accelerator.Name != "" || !r.Burstable && burstable ||
		!device && is("m4.x", "m5.metal") {
		return false
	}
	apart := strings.HasPrefix(t.Name, "n1-") && t.Accelerator.Name != ""
	said := !r.CPUs.IsZero() || !r.Memory.IsZero()
	return !apart || said || (t.VCPUs >= 4*t.Accelerator.Count && t.MemoryGiB >= 16*t.Accelerator.Count)
}

// generated makes catalogs with the shapes of the real ones: many zones, ties,
// blanks, fractions, names in two cases, hosts and devices apart.
func generated(rng *rand.Rand) map[string]string {
	accs := []string{"A100,8", "A100,1", "a10g,0.5", "T4,1.0", "V100-32GB,8", "H100,8", "Virtex UltraScale (VU9P),2"}
	price := func() string {
		if rng.IntN(12) == 0 {
			return ""
		}
		return strconv.FormatFloat(math.Round(rng.Float64()*40)/8, 'f', -1, 64)
	}
	out := make(map[string]string)
	for _, name := range []string{"aws", "azure"} {
		var b strings.Builder
		b.WriteString(v5Header)
		for i := range 16 {
			acc := ","
			if rng.IntN(3) == 0 {
				acc = accs[rng.IntN(len(accs))]
			}
			vcpus := []float64{1, 2, 4, 8, 16, 96}[rng.IntN(6)]
			// Some files do not tell how large a machine is.
			cores, memory := fmt.Sprint(vcpus), fmt.Sprint(vcpus*[]float64{1, 2, 4, 7.5}[i%4])
			if i%8 == 1 {
				cores = ""
			}
			if i%8 >= 6 || i == 1 {
				memory = ""
			}
			kind := map[int]string{2: "t3.x", 3: "c6g.x", 4: "m4.x", 5: "m5.metal", 6: "t4g.x", 7: "m5.x"}[i]
			if kind == "" {
				kind = fmt.Sprintf("m%d.x", 10+i)
			}
			for region := range 2 {
				for zone := range 2 {
					fmt.Fprintf(&b, "%s,%s,%s,%s,,%s,%s,r%d,r%d-%c\n", kind, acc, cores, memory,
						price(), price(), region, region, 'a'+zone)
				}
			}
		}
		out[name] = b.String()
	}
	var b strings.Builder
	b.WriteString(v5Header)
	for _, host := range []string{"a2-highgpu-1g,12,85", "a2-highgpu-8g,96,680", "n1-standard-8,8,30", "n1-standard-1,1,4", "n1-highmem-4,4,26", "n1-highmem-96,96,624", "e2-small,2,2"} {
		f := strings.Split(host, ",")
		for zone := range 2 {
			fmt.Fprintf(&b, "%s,,,%s,%s,,%s,%s,us,us-%c\n", f[0], f[1], f[2], price(), price(), 'a'+zone)
		}
	}
	for _, device := range []string{"A100,1", "A100,8", "T4,1", "T4,4", "V100,8", "tpu-v2-8,1"} {
		for zone := range 2 {
			fmt.Fprintf(&b, ",%s,,,x,%s,%s,us,us-%c\n", device, price(), price(), 'a'+zone)
		}
	}
	out["gcp"] = b.String()
	return out
}

// randomRequirement asks for things that exist, nearly exist and do not.
func randomRequirement(rng *rand.Rand, offers []cloud.Offer) cloud.Requirement {
	var r cloud.Requirement
	some := func() cloud.Offer { return offers[rng.IntN(len(offers))] }
	chance := func(n int) bool { return rng.IntN(n) == 0 }
	quantity := func(v float64) cloud.Quantity {
		return []cloud.Quantity{{Value: v}, {Value: v, AtLeast: true}, {Value: v + 1, AtLeast: true}, {Value: v / 2}}[rng.IntN(4)]
	}
	if chance(2) {
		for range 1 + rng.IntN(2) {
			if a := some().InstanceType.Accelerator; !a.IsZero() {
				if chance(2) {
					a.Name = strings.ToLower(a.Name)
				}
				r.Accelerators = append(r.Accelerators, a)
			}
		}
	}
	if chance(3) {
		r.CPUs = quantity(some().InstanceType.VCPUs)
	}
	if chance(3) {
		if r.Memory = quantity(some().InstanceType.MemoryGiB); chance(3) {
			r.Memory = cloud.Quantity{Value: float64(1 + rng.IntN(8)), AtLeast: true, PerVCPU: true}
		}
	}
	if chance(4) {
		r.Cloud = some().Cloud
	}
	if chance(4) {
		r.Region = some().Region
	}
	if chance(6) {
		r.Zone = strings.ToUpper(some().Zone)
	}
	if chance(6) {
		r.InstanceType = strings.ToUpper(some().InstanceType.Name)
	}
	if chance(5) {
		r.MaxHourlyUSD = some().HourlyUSD
	}
	r.Arch = []string{"", "", "", cloud.ArchX86, cloud.ArchARM, cloud.ArchAny}[rng.IntN(6)]
	r.Burstable = chance(4)
	if chance(8) {
		r.Families = []string{"T*"}
	}
	if chance(8) {
		r.ExcludedTypes = []string{"m5*"}
	}
	r.Markets = [][]cloud.Market{nil, {cloud.Spot}, {cloud.OnDemand, cloud.Spot}}[rng.IntN(3)]
	return r
}

// compareWithReference asks both n random queries, from several goroutines.
func compareWithReference(t *testing.T, texts map[string]string, seed uint64, n int) {
	t.Helper()
	dir := t.TempDir()
	var reference []cloud.Offer
	var clouds []string
	for name, text := range texts {
		write(t, filepath.Join(dir, name, "vms.csv"), text)
		reference = append(reference, refOffers(t, name, text)...)
		clouds = append(clouds, name)
	}
	slices.SortFunc(reference, func(a, b cloud.Offer) int { return cloud.CompareOffers(&a, &b) })
	set, err := Open(Options{Path: dir, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(t.Context())
	for worker := range askers {
		group.Go(func() error {
			return ask(ctx, set, clouds, reference, rand.New(rand.NewPCG(seed, uint64(worker))), n/askers)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// askers is how many goroutines ask at once; a Set is safe for that.
const askers = 2

func ask(ctx context.Context, set *Set, clouds []string, reference []cloud.Offer, rng *rand.Rand, n int) error {
	for range n {
		r := randomRequirement(rng, reference)
		limit := []int{1, 1, 1, 5, 5, 5, 100, math.MaxInt}[rng.IntN(8)]
		want := refQuery(reference, r, limit)
		got, _, err := set.Cheapest(ctx, []cloud.Requirement{r}, clouds, limit)
		if err != nil {
			return err
		}
		for i := range got {
			got[i].InstanceType.AcceleratorMemoryGiB, got[i].InstanceType.Arch, got[i].InstanceType.Traits = 0, "", 0
		}
		if !slices.Equal(want, got) {
			return fmt.Errorf("query %+v, limit %d (-reference +index):\n%s", r, limit, cmp.Diff(want, got))
		}
	}
	return nil
}

func TestIndexAgreesWithReference(t *testing.T) {
	const catalogs, queries = 20, 5000
	for seed := range uint64(catalogs) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			compareWithReference(t, generated(rng), seed, queries)
		})
	}
}

// The same over the real files of SKY_CATALOGS, where that is set: 100,000
// queries, or SKY_QUERIES of them.
func TestIndexAgreesWithReferenceOnRealFiles(t *testing.T) {
	dir := os.Getenv("SKY_CATALOGS")
	if dir == "" {
		t.Log("SKY_CATALOGS names no folder; the generated catalogs are all there is to compare")
		return
	}
	texts := make(map[string]string)
	for _, name := range []string{"aws", "azure", "gcp"} {
		text, err := os.ReadFile(filepath.Join(dir, name, "vms.csv"))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	n, err := strconv.Atoi(os.Getenv("SKY_QUERIES"))
	if err != nil {
		n = 100_000
	}
	compareWithReference(t, texts, 2, n)
}
