// SPDX-License-Identifier: MPL-2.0

package fetch

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// product is one of Oracle's price list, in the shape of its documentation.
func product(name, metric string, usd float64) string {
	return fmt.Sprintf(`{"partNumber":"B1","displayName":%q,"metricName":%q,"serviceCategory":"Compute","currencyCodeLocalizations":[
		{"currencyCode":"EUR","prices":[{"model":"PAY_AS_YOU_GO","value":9}]},{"currencyCode":"USD","prices":[{"model":"ANNUAL","value":8},{"model":"PAY_AS_YOU_GO","value":%v}]}]}`, name, metric, usd)
}

// priceList serves products where Oracle's list is.
func priceList(t *testing.T, products ...string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/products/" || r.URL.Query().Get("currencyCode") != "USD" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"lastUpdated":"2026-11-01T00:00:00Z","items":[`+strings.Join(products, ",")+`]}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestOCIPriceList: prices of families become prices of shapes, those that can be
// preemptible at half; a shape without a price is not there.
func TestOCIPriceList(t *testing.T) {
	url := priceList(
		t, product("Compute - Standard - E4 - OCPU", "OCPU Per Hour", 0.026), product("Compute - Standard - E4 - Memory", "Gigabyte Per Hour", 0.0016),
		product("Compute - Standard - E5 - OCPU", "OCPU Per Hour", 0.03), // without its memory
		product("Compute - GPU - A100 - v2", "GPU Per Hour", 4.5), product("Compute - GPU - A10", "GPU Per Hour", 2.1), product("Database - GPU - H100", "GPU Per Hour", 1),
		product("Windows OS - Compute - GPU - L40S", "OCPU Per Hour", 0.1),
	)
	rows, err := oci(t.Context(), Options{Endpoint: url, Client: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	types := map[string]bool{}
	for _, r := range rows {
		types[r.Type] = true
		if r.Region == "us-ashburn-1" && (r.Type == "VM.Standard.E4.Flex$_4_32" || strings.Contains(r.Type, "GPU")) {
			got = append(got, fmt.Sprintf("%s %s:%v/%v %v %v %s", r.Type, r.Accelerator, r.Count, r.DeviceGiB, r.Price, r.Spot, r.Arch))
		}
	}
	slices.Sort(got)
	want := []string{
		"BM.GPU.A10.4 A10:4/24 8.4 0 x86_64", "BM.GPU.A100-v2.8 A100-80GB:8/80 36 0 x86_64",
		"VM.GPU.A10.1 A10:1/24 2.1 0 x86_64", "VM.GPU.A10.2 A10:2/24 4.2 0 x86_64", "VM.Standard.E4.Flex$_4_32 :0/0 0.1552 0.0776 x86_64",
	}
	if !slices.Equal(got, want) {
		t.Errorf("read are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if types["VM.Standard.E5.Flex$_1_4"] {
		t.Error("a shape without a price of its memory is there")
	}
	if _, err := oci(t.Context(), Options{Endpoint: priceList(t, product("Something", "Each", 1)), Client: http.DefaultClient}); err == nil || !strings.Contains(err.Error(), "stays as it is") {
		t.Errorf("a list with no known product: %v", err)
	}
}
