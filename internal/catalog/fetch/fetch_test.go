// SPDX-License-Identifier: MPL-2.0

package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestFetchers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer sesame":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/api/v1/instance-types":
			fmt.Fprint(w, `{"data":{"gpu_8x_a100":{"instance_type":{"name":"gpu_8x_a100","gpu_description":"A100 (80 GB SXM4)",
				"price_cents_per_hour":2232,"specs":{"vcpus":240,"memory_gib":1800,"gpus":8}},"regions_with_capacity_available":[{"name":"us-east-1"}]},
				"gpu_1x_a6000":{"instance_type":{"gpu_description":"RTX A6000 (48 GB)","price_cents_per_hour":109,
				"specs":{"vcpus":14,"memory_gib":100,"gpus":1}},"regions_with_capacity_available":[]}}}`)
		case r.URL.Path == "/graphql":
			fmt.Fprint(w, `{"data":{"gpuTypes":[{"displayName":"H100 SXM","memoryInGb":80,"maxGpuCountSecureCloud":2,"securePrice":3.99,
				"secureSpotPrice":1.75,"lowestPrice":{"minVcpu":20,"minMemory":125}},{"displayName":"unsold","securePrice":0}]}}`)
		}
	}))
	defer server.Close()
	want := map[string]string{
		"lambda": "gpu_8x_a100,A100-80GB,8,240,1800,\"{'Gpus': [{'Name': 'A100-80GB', 'Count': 8, 'MemoryInfo': {'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 655360}\",22.32,,us-east-1,,x86_64\n",
		"runpod": "2x_H100-SXM_SECURE,H100-SXM,2,40,250,\"{'Gpus': [{'Name': 'H100-SXM', 'Count': 2, 'MemoryInfo': {'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 163840}\",7.98,3.5,US,,x86_64\n",
	}
	for name := range want {
		f := Fetchers()[name]
		o := Options{Client: server.Client(), Endpoint: server.URL, Getenv: func(string) string { return "sesame" }}
		rows, err := f.Fetch(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := CSV(rows)
		if err != nil || !strings.Contains(string(text), want[name]) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		o.Getenv = func(string) string { return "" }
		if _, err := f.Fetch(context.Background(), o); err == nil || !strings.Contains(err.Error(), f.Needs) {
			t.Errorf("%s without a key: %v", name, err)
		}
		o.Getenv = func(string) string { return "wrong-key" }
		if _, err := f.Fetch(context.Background(), o); err == nil || strings.Contains(err.Error(), "wrong-key") {
			t.Errorf("%s with a wrong key: %v", name, err)
		}
	}
}

// bigClouds answers as AWS and as Google do, with one machine each.
func bigClouds(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zone := `"zone":"https://x/zones/us-central1-a"`
		price := func(text, unit string) string {
			return fmt.Sprintf(`{"description":"N2 Instance %s running in Americas","serviceRegions":["us-central1"],"category":{"resourceFamily":"Compute","usageType":"OnDemand"},
				"pricingInfo":[{"pricingExpression":{"usageUnit":%q,"tieredRates":[{"unitPrice":{"currencyCode":"USD","nanos":500000000}}]}}]}`, text, unit)
		}
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/skus"):
			fmt.Fprintf(w, `{"skus":[%s,%s]}`, price("Core", "h"), price("Ram", "GiBy.h"))
		case strings.HasSuffix(path, "/aggregated/machineTypes"):
			fmt.Fprintf(w, `{"items":{"zones/us-central1-a":{"machineTypes":[{"name":"n2-standard-4","guestCpus":4,"memoryMb":16384,%s}]}}}`, zone)
		case strings.HasSuffix(path, "/aggregated/acceleratorTypes"):
			fmt.Fprint(w, `{"items":{}}`)
		case strings.HasSuffix(path, "/current/us-east-1/index.csv"):
			fmt.Fprint(w, "SKU,TermType,Unit,PricePerUnit,Currency,Instance Type,Tenancy,Operating System,CapacityStatus,Pre Installed S/W,MarketOption\n"+
				"A,OnDemand,Hrs,0.096,USD,m5.large,Shared,Linux,Used,NA,OnDemand\n")
		default:
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			action := r.Form.Get("Action")
			fmt.Fprintf(w, "<%sResponse>%s</%sResponse>", action, map[string]string{
				"DescribeRegions":               "<regionInfo><item><regionName>us-east-1</regionName></item></regionInfo>",
				"DescribeAvailabilityZones":     "<availabilityZoneInfo><item><zoneName>us-east-1a</zoneName><zoneId>use1-az4</zoneId></item></availabilityZoneInfo>",
				"DescribeInstanceTypes":         "<instanceTypeSet><item><instanceType>m5.large</instanceType><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>8192</sizeInMiB></memoryInfo></item></instanceTypeSet>",
				"DescribeInstanceTypeOfferings": "<instanceTypeOfferingSet><item><instanceType>m5.large</instanceType><location>use1-az4</location></item></instanceTypeOfferingSet>",
			}[action], action)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFetchersOfBigClouds(t *testing.T) {
	none := t.TempDir() + "/none"
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_PROFILE": "", "AWS_REGION": "", "AWS_ENDPOINT_URL": "",
	} {
		t.Setenv(name, value)
	}
	server := bigClouds(t)
	for name, want := range map[string]string{
		"aws": "m5.large,,,2,8,,0.096,,us-east-1,use1-az4,x86_64\n",
		"gcp": "n2-standard-4,,,4,16,,10,,us-central1,us-central1-a,\n",
	} {
		steps := 0
		o := Options{
			Client: server.Client(), Endpoint: server.URL, Progress: func(done, _ int, _ string) { steps = done },
			Getenv: func(name string) string { return map[string]string{"GOOGLE_CLOUD_PROJECT": "p"}[name] },
		}
		rows, err := Fetchers()[name].Fetch(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := CSV(rows)
		if err != nil || !strings.HasSuffix(string(text), want) || steps == 0 {
			t.Errorf("%s: %v, %d steps\n%s", name, err, steps, text)
		}
	}
	o := Options{Client: server.Client(), Endpoint: server.URL, Regions: []string{"mars-1"}, Getenv: func(string) string { return "" }}
	if _, err := Fetchers()["aws"].Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"mars-1" is not enabled`) {
		t.Errorf("aws in a region there is not: %v", err)
	}
	if _, err := Fetchers()["gcp"].Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), "leave the regions out") {
		t.Errorf("gcp with regions: %v", err)
	}
	o.Regions = nil
	if _, err := Fetchers()["gcp"].Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), "GOOGLE_CLOUD_PROJECT") {
		t.Errorf("gcp without a project: %v", err)
	}
}
