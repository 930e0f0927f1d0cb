// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

const priceHead = `"FormatVersion","v1.0"
"Disclaimer","This pricing list is for informational purposes only."
"Publication Date","2026-11-01T00:00:00Z"
"Version","20261101000000"
"OfferCode","AmazonEC2"
"SKU","OfferTermCode","TermType","Unit","PricePerUnit","Currency","Instance Type","Tenancy","Operating System","CapacityStatus","Pre Installed S/W","MarketOption"
`

func priceLine(fields ...string) string {
	return `"ABC","JRTC","` + strings.Join(fields, `","`) + "\"\n"
}

// priceList holds prices that count among those that do not.
func priceList() string {
	return priceHead +
		priceLine("OnDemand", "Hrs", "0.0960000000", "USD", "m5.large", "Shared", "Linux", "Used", "NA", "OnDemand") +
		priceLine("OnDemand", "Hrs", "0.1880000000", "USD", "m5.large", "Shared", "Windows", "Used", "NA", "OnDemand") +
		priceLine("OnDemand", "Hrs", "0.5760000000", "USD", "m5.large", "Shared", "Linux", "Used", "SQL Std", "OnDemand") +
		priceLine("OnDemand", "Hrs", "0.0000000000", "USD", "m5.large", "Shared", "Linux", "AllocatedCapacityReservation", "NA", "OnDemand") +
		priceLine("OnDemand", "Hrs", "0.1020000000", "USD", "m5.large", "Dedicated", "Linux", "Used", "NA", "OnDemand") +
		priceLine("Reserved", "Hrs", "0.0600000000", "USD", "m5.large", "Shared", "Linux", "Used", "NA", "") +
		priceLine("OnDemand", "GB-Mo", "0.0800000000", "USD", "", "", "", "", "", "") +
		priceLine("OnDemand", "Hrs", "40.9656800000", "USD", "p4de.24xlarge", "Shared", "Linux", "Used", "NA", "OnDemand") +
		priceLine("OnDemand", "Hrs", "31.4640000000", "USD", "p4de.24xlarge", "Shared", "Linux", "Used", "NA", "CapacityBlock")
}

func fakeAWS(t *testing.T) (*httptest.Server, Options) {
	t.Helper()
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/current/us-east-1/index.csv") {
			_, _ = io.WriteString(w, priceList())
			return
		}
		body, _ := io.ReadAll(r.Body) // an empty body has no action
		form, _ := url.ParseQuery(string(body))
		action := form.Get("Action")
		_, _ = fmt.Fprintf(w, "<%sResponse>%s</%sResponse>", action, answers(form), action)
	}))
	t.Cleanup(s.Close)
	return s, Options{Endpoint: s.URL, PriceList: s.URL, Client: s.Client(), Regions: []string{"us-east-1"}, Now: func() time.Time { return time.Unix(1790000000, 0) }}
}

// answers are in the shape of EC2's, paged where EC2 pages.
func answers(form url.Values) string {
	action, token := form.Get("Action"), form.Get("NextToken")
	spot := func(typ, zone, price, at string) string {
		return fmt.Sprintf("<item><instanceType>%s</instanceType><availabilityZone>%s</availabilityZone><spotPrice>%s</spotPrice><timestamp>%s</timestamp></item>", typ, zone, price, at)
	}
	switch {
	case action == "DescribeRegions":
		return "<regionInfo><item><regionName>us-east-1</regionName></item><item><regionName>eu-west-1</regionName></item></regionInfo>"
	case action == "DescribeAvailabilityZones":
		return "<availabilityZoneInfo><item><zoneName>us-east-1a</zoneName><zoneId>use1-az4</zoneId></item><item><zoneName>us-east-1b</zoneName><zoneId>use1-az6</zoneId></item></availabilityZoneInfo>"
	case action == "DescribeInstanceTypes" && token == "":
		return "<instanceTypeSet><item><instanceType>p4de.24xlarge</instanceType><vCpuInfo><defaultVCpus>96</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>1179648</sizeInMiB></memoryInfo>" +
			"<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>" +
			"<gpuInfo><gpus><item><name>A100</name><manufacturer>NVIDIA</manufacturer><count>8</count><memoryInfo><sizeInMiB>81920</sizeInMiB></memoryInfo></item></gpus></gpuInfo></item></instanceTypeSet><nextToken>2</nextToken>"
	case action == "DescribeInstanceTypes":
		return "<instanceTypeSet><item><instanceType>m5.large</instanceType><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>8192</sizeInMiB></memoryInfo></item></instanceTypeSet>"
	case action == "DescribeInstanceTypeOfferings" && form.Get("LocationType") == "availability-zone-id":
		return "<instanceTypeOfferingSet><item><instanceType>m5.large</instanceType><location>use1-az6</location></item><item><instanceType>m5.large</instanceType><location>use1-az4</location></item>" +
			"<item><instanceType>p4de.24xlarge</instanceType><location>use1-az6</location></item></instanceTypeOfferingSet>"
	case action == "DescribeSpotPriceHistory" && token == "":
		return "<spotPriceHistorySet>" + spot("m5.large", "us-east-1a", "0.035", "2026-09-21T00:00:00Z") + spot("m5.large", "us-east-1a", "0.031", "2026-09-22T00:00:00Z") +
			spot("m5.large", "us-east-1z", "0.001", "2026-09-22T00:00:00Z") + "</spotPriceHistorySet><nextToken>2</nextToken>"
	case action == "DescribeSpotPriceHistory":
		return "<spotPriceHistorySet>" + spot("m5.large", "us-east-1b", "NaN", "2026-09-22T00:00:00Z") + spot("p4de.24xlarge", "us-east-1b", "12.5", "2026-09-22T00:00:00Z") + "</spotPriceHistorySet>"
	}
	return ""
}

func TestFetch(t *testing.T) {
	_, o := fakeAWS(t)
	got, err := Fetch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []fetch.Row{
		{Type: "m5.large", VCPUs: 2, Memory: 8, Price: 0.096, Spot: 0.031, Region: "us-east-1", Zone: "use1-az4", Arch: "x86_64"},
		{Type: "m5.large", VCPUs: 2, Memory: 8, Price: 0.096, Region: "us-east-1", Zone: "use1-az6", Arch: "x86_64"},
		{Type: "p4de.24xlarge", VCPUs: 96, Memory: 1152, Accelerator: "A100-80GB", Count: 8, DeviceGiB: 80, Price: 40.96568, Spot: 12.5, Region: "us-east-1", Zone: "use1-az6", Arch: "x86_64"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows are\n%+v\nwant\n%+v", got, want)
	}
}

// TestActions: what the docs say a fetch may have to call, and nothing else.
func TestActions(t *testing.T) {
	_, o := fakeAWS(t)
	var mu sync.Mutex
	called := map[string]bool{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an empty body has no action
		form, _ := url.ParseQuery(string(body))
		mu.Lock()
		defer mu.Unlock()
		called[form.Get("Action")] = true
		_, _ = fmt.Fprintf(w, "<%[1]sResponse>%[2]s</%[1]sResponse>", form.Get("Action"), answers(form))
	}))
	defer front.Close()
	o.Endpoint = front.URL
	if _, err := Fetch(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want := []string{"DescribeAvailabilityZones", "DescribeInstanceTypeOfferings", "DescribeInstanceTypes", "DescribeRegions", "DescribeSpotPriceHistory"}
	if got := slices.Sorted(maps.Keys(called)); !slices.Equal(got, want) {
		t.Errorf("the actions are %v, want %v", got, want)
	}
}

func TestFetchFailsWhole(t *testing.T) {
	_, o := fakeAWS(t)
	o.Regions = []string{"us-east-1", "eu-west-1"} // whose price list is not there
	if rows, err := Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), "eu-west-1") {
		t.Errorf("a region without price list: %d rows, %v", len(rows), err)
	}
	o.Regions = []string{"mars-1"}
	if _, err := Fetch(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"mars-1" is not enabled`) {
		t.Errorf("an unknown region: %v", err)
	}
}

func TestReadPricesRefusesWhatIsNoPriceList(t *testing.T) {
	good := priceLine("OnDemand", "Hrs", "0.1", "USD", "m5.large", "Shared", "Linux", "Used", "NA", "OnDemand")
	for name, tt := range map[string]struct{ text, want string }{
		"a web page":      {"<html>\n<body>Sorry</body>\n", "no header"},
		"nothing":         {"", "no header"},
		"another header":  {strings.Replace(priceHead, "Tenancy", "Tenure", 1) + good, `"Tenancy"`},
		"no machines":     {priceHead, "no price of a machine"},
		"a comma":         {priceHead + strings.Replace(good, "0.1", "0,1", 1), `"0,1"`},
		"not a number":    {priceHead + strings.Replace(good, "0.1", "NaN", 1), `"NaN"`},
		"negative":        {priceHead + strings.Replace(good, "0.1", "-1", 1), `"-1"`},
		"endless price":   {priceHead + strings.Replace(good, "0.1", "1e9", 1), `"1e9"`},
		"broken quotes":   {priceHead + good + "\"AB", "quote"},
		"header too late": {strings.Repeat("x\n", 50) + priceHead, "no header within"},
	} {
		if prices, err := readPrices(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want %q", name, prices, err, tt.want)
		}
	}
}

// TestReadPricesStreams reads a list far bigger than what it keeps.
func TestReadPricesStreams(t *testing.T) {
	const lines = 200000
	line := priceLine("OnDemand", "Hrs", "0.096", "USD", "m5.large", "Shared", "Linux", "Used", "NA", "OnDemand")
	in, out := io.Pipe()
	var most atomic.Uint64 // bytes of heap in use at the same time
	go func() {
		_, _ = io.WriteString(out, priceHead) // the reader's errors are the test's
		for i := range lines {
			_, _ = io.WriteString(out, line)
			if i%10000 == 0 {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most.Store(max(most.Load(), now.HeapAlloc))
			}
		}
		_ = out.Close()
	}()
	prices, err := readPrices(in)
	if err != nil || len(prices) != 1 {
		t.Errorf("%d prices, %v", len(prices), err)
	}
	if size := uint64(lines * len(line)); most.Load() > size/2 {
		t.Errorf("a list of %d bytes took %d bytes of heap", size, most.Load())
	}
}

func FuzzReadPrices(f *testing.F) {
	f.Add(priceList())
	f.Add(priceHead + "\"A\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		prices, err := readPrices(strings.NewReader(text))
		for name, p := range prices {
			if err == nil && (name == "" || !(p > 0) || p > maxPrice) {
				t.Errorf("%q costs %v", name, p)
			}
		}
	})
}
