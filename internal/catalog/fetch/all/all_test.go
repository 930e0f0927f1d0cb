// SPDX-License-Identifier: MPL-2.0

package all

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

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
		o := fetch.Options{
			Client: server.Client(), Endpoint: server.URL, Progress: func(done, _ int, _ string) { steps = done },
			Getenv: func(name string) string { return map[string]string{"GOOGLE_CLOUD_PROJECT": "p"}[name] },
		}
		rows, err := Fetchers()[name].Fetch(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := fetch.CSV(rows)
		if err != nil || !strings.HasSuffix(string(text), want) || steps == 0 {
			t.Errorf("%s: %v, %d steps\n%s", name, err, steps, text)
		}
	}
	o := fetch.Options{Client: server.Client(), Endpoint: server.URL, Regions: []string{"mars-1"}, Getenv: func(string) string { return "" }}
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
