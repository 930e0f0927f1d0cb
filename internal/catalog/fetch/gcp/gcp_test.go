// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/api/cloudbilling/v1"
	"google.golang.org/api/compute/v1"
)

// sku is a price as the Cloud Billing API shows it.
func sku(description, usage, unit string, nanos int64, regions ...string) *cloudbilling.Sku {
	return &cloudbilling.Sku{
		Description: description, ServiceRegions: regions,
		Category: &cloudbilling.Category{ResourceFamily: "Compute", UsageType: usage},
		PricingInfo: []*cloudbilling.PricingInfo{{PricingExpression: &cloudbilling.PricingExpression{
			UsageUnit: unit, TieredRates: []*cloudbilling.TierRate{{UnitPrice: &cloudbilling.Money{CurrencyCode: "USD", Nanos: nanos}}},
		}}},
	}
}

const zoneURL = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a"

// google answers in pages, as the two services do.
func google(t *testing.T, change func(path string, answer any)) *httptest.Server {
	t.Helper()
	skus := []*cloudbilling.Sku{
		sku("N2 Instance Core running in Americas", "OnDemand", "h", 31_611_000, "us-central1", "us-east1"),
		sku("N2 Instance Ram running in Americas", "OnDemand", "GiBy.h", 4_237_000, "us-central1"),
		sku("Spot Preemptible N2 Instance Core running in Americas", "Preemptible", "h", 8_000_000, "us-central1"),
		sku("Spot Preemptible N2 Instance Ram running in Americas", "Preemptible", "GiBy.h", 1_000_000, "us-central1"),
		sku("N2 Custom Instance Core running in Americas", "OnDemand", "h", 1, "us-central1"),
		sku("Commitment v1: N2 Cpu in Americas for 1 Year", "Commit1Yr", "h", 1, "us-central1"),
		sku("N2 Sole Tenancy Instance Core running in Americas", "OnDemand", "h", 1, "us-central1"),
		sku("N1 Predefined Instance Core running in Americas", "OnDemand", "h", 31_611_000, "us-central1"),
		sku("N1 Predefined Instance Ram running in Americas", "OnDemand", "GiBy.h", 4_237_000, "us-central1"),
		sku("G2 Instance Core running in Americas", "OnDemand", "h", 25_000_000, "us-central1"),
		sku("G2 Instance Ram running in Americas", "OnDemand", "GiBy.h", 3_000_000, "us-central1"),
		sku("Nvidia L4 GPU running in Americas", "OnDemand", "h", 560_000_000, "us-central1"),
		sku("Nvidia Tesla T4 GPU running in Americas", "OnDemand", "h", 350_000_000, "us-central1"),
		sku("Nvidia Tesla T4 GPU attached to Spot Preemptible VMs running in Americas", "Preemptible", "h", 140_000_000, "us-central1"),
		sku("Nvidia Tesla T4 GPU reserved in Calendar Mode running in Americas", "OnDemand", "h", 1, "us-central1"),
		sku("Network Internet Egress from Americas", "OnDemand", "GiBy", 1, "us-central1"),
	}
	types := map[string]compute.MachineTypesScopedList{"zones/us-central1-a": {MachineTypes: []*compute.MachineType{
		{Name: "n2-standard-4", GuestCpus: 4, MemoryMb: 16384, Zone: zoneURL, Architecture: "X86_64"},
		{Name: "n1-standard-8", GuestCpus: 8, MemoryMb: 30720, Zone: zoneURL},
		{Name: "g2-standard-4", GuestCpus: 4, MemoryMb: 16384, Zone: zoneURL, Accelerators: []*compute.MachineTypeAccelerators{{GuestAcceleratorType: "nvidia-l4", GuestAcceleratorCount: 1}}},
		{Name: "z9-standard-4", GuestCpus: 4, MemoryMb: 16384, Zone: zoneURL},
		{Name: "n2-old-4", GuestCpus: 4, MemoryMb: 16384, Zone: zoneURL, Deprecated: &compute.DeprecationStatus{State: "DEPRECATED"}},
	}}}
	devices := map[string]compute.AcceleratorTypesScopedList{"zones/us-central1-a": {AcceleratorTypes: []*compute.AcceleratorType{
		{Name: "nvidia-tesla-t4", MaximumCardsPerInstance: 4, Zone: zoneURL}, {Name: "nvidia-l4", MaximumCardsPerInstance: 8, Zone: zoneURL},
	}}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/skus") && r.URL.Query().Get("pageToken") == "":
			answer = &cloudbilling.ListSkusResponse{Skus: skus[:8], NextPageToken: "more"}
		case strings.HasSuffix(path, "/skus"):
			answer = &cloudbilling.ListSkusResponse{Skus: skus[8:]}
		case strings.HasSuffix(path, "/aggregated/machineTypes"):
			answer = &compute.MachineTypeAggregatedList{Items: types}
		case strings.HasSuffix(path, "/aggregated/acceleratorTypes"):
			answer = &compute.AcceleratorTypeAggregatedList{Items: devices}
		default:
			t.Errorf("a call of %s", path)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if change != nil {
			change(r.URL.Path, answer)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFetch(t *testing.T) {
	s := google(t, nil)
	rows, err := Fetch(t.Context(), Options{Project: "p", Compute: s.URL, Billing: s.URL, Client: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s %s:%g %g/%g %.4f %.4f %s %s", r.Type, r.Accelerator, r.Count, r.VCPUs, r.Memory, r.Price, r.Spot, r.Zone, r.Arch))
	}
	want := []string{
		" T4:1 0/0 0.3500 0.1400 us-central1-a ",
		" T4:2 0/0 0.7000 0.2800 us-central1-a ",
		" T4:4 0/0 1.4000 0.5600 us-central1-a ",
		"g2-standard-4 L4:1 4/16 0.7080 0.0000 us-central1-a ",
		"n1-standard-8 :0 8/30 0.3800 0.0000 us-central1-a ",
		"n2-standard-4 :0 4/16 0.1942 0.0480 us-central1-a x86_64",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the rows are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFetchFailsWhole(t *testing.T) {
	for name, change := range map[string]func(string, any){
		"a zone does not answer": func(_ string, answer any) {
			if a, ok := answer.(*compute.MachineTypeAggregatedList); ok {
				a.Items = map[string]compute.MachineTypesScopedList{"zones/us-central1-a": {Warning: &compute.MachineTypesScopedListWarning{Code: "UNREACHABLE"}}}
			}
		},
		"no prices": func(_ string, answer any) {
			if a, ok := answer.(*cloudbilling.ListSkusResponse); ok {
				a.Skus = nil
			}
		},
		"other devices unreachable": func(_ string, answer any) {
			if a, ok := answer.(*compute.AcceleratorTypeAggregatedList); ok {
				a.Items = map[string]compute.AcceleratorTypesScopedList{"zones/us-central1-a": {Warning: &compute.AcceleratorTypesScopedListWarning{Code: "UNREACHABLE"}}}
			}
		},
	} {
		s := google(t, change)
		if rows, err := Fetch(t.Context(), Options{Project: "p", Compute: s.URL, Billing: s.URL, Client: s.Client()}); err == nil {
			t.Errorf("%s: Fetch returned %d rows", name, len(rows))
		}
	}
	if _, err := Fetch(t.Context(), Options{}); err == nil {
		t.Error("Fetch needs no project")
	}
}

func TestParts(t *testing.T) {
	for description, want := range map[string]string{
		"N2D AMD Instance Core running in Tokyo":                                      "n2d core",
		"Spot Preemptible T2A Arm Instance Ram running in Iowa":                       "t2a ram",
		"Compute optimized Core running in Japan":                                     "c2 core",
		"E2 Instance Ram running in Americas":                                         "e2 ram",
		"Nvidia Tesla A100 80GB GPU running in Americas":                              "nvidia tesla a100 80gb",
		"Nvidia H100 80GB Mega GPU attached to Spot Preemptible VMs running in Tokyo": "nvidia h100 80gb mega",
		"Small Instance with 1 VCPU running in Japan":                                 "",
		"Spot Preemptible E2 Custom Instance Core running in Tokyo":                   "",
		"Licensing Fee for Windows Server on VM":                                      "",
		"":                                                                            "",
	} {
		if got := part(description); got != want {
			t.Errorf("part(%q) = %q, want %q", description, got, want)
		}
	}
}

func FuzzPart(f *testing.F) {
	f.Add("N2 Instance Core running in Americas")
	f.Fuzz(func(_ *testing.T, s string) {
		list := priceList{}
		list.add(sku(s, "OnDemand", "h", 1, "r"))
	})
}
