// SPDX-License-Identifier: MPL-2.0

package fetch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/skybroker/terraform-provider-sky/catalogs"
)

// ociPrices is Oracle's public price list, as its documentation shows it.
type ociPrices struct {
	Items []struct {
		Name   string `json:"displayName"`
		Metric string `json:"metricName"`
		Prices []struct {
			Currency string `json:"currencyCode"`
			Prices   []struct {
				Model string  `json:"model"`
				Value float64 `json:"value"`
			} `json:"prices"`
		} `json:"currencyCodeLocalizations"`
	} `json:"items"`
}

func ociFetcher() Fetcher {
	return Fetcher{Cloud: "oci", Needs: "nothing: Oracle's price list is public", Fetch: oci}
}

// oci asks Oracle's price list, which has a price for an OCPU, a GiB and a device of
// each family, the same in all commercial regions. It does not say which shapes there
// are, nor where: those are the default catalog's. A shape whose price is not in the
// list is left out.
func oci(ctx context.Context, o Options) ([]Row, error) {
	url := cmp.Or(o.Endpoint, "https://apexapps.oracle.com/pls/apex/cetools") + "/api/v1/products/?currencyCode=USD"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking Oracle: %w", err)
	}
	var list ociPrices
	if err := ask(o, req, &list); err != nil {
		return nil, err
	}
	known, err := ociShapes()
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, r := range known {
		usd, ok := list.price(r)
		if !ok {
			continue
		}
		if r.Spot > 0 {
			r.Spot = usd / 2 // by the list's own terms of preemptible machines
		}
		r.Price = usd
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("oracle's price list of %d products has none of the shapes that are known; the catalog stays as it is", len(list.Items))
	}
	return rows, nil
}

// one is the price of a product that has all these words in its name.
func (p ociPrices) one(metric string, words ...string) (float64, bool) {
	for _, item := range p.Items {
		have := strings.FieldsFunc(strings.ToUpper(item.Name), func(r rune) bool { return strings.ContainsRune(" -()/.,", r) })
		if !strings.HasPrefix(strings.ToUpper(item.Metric), metric) || slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(have, w) }) {
			continue
		}
		for _, local := range item.Prices {
			for _, price := range local.Prices {
				if local.Currency == "USD" && price.Model == "PAY_AS_YOU_GO" && price.Value > 0 {
					return price.Value, true
				}
			}
		}
	}
	return 0, false
}

// price is that of a row's machine.
func (p ociPrices) price(r Row) (float64, bool) {
	shape, size, flexible := strings.Cut(r.Type, "$_")
	if flexible {
		family := ociFamilies()[shape]
		ocpus, _, _ := strings.Cut(size, "_")
		n, err := strconv.ParseFloat(ocpus, 64)
		cpu, okC := p.one("OCPU", "COMPUTE", family, "OCPU")
		memory, okM := p.one("GIGABYTE", "COMPUTE", family, "MEMORY")
		return round(n*cpu + r.Memory*memory), err == nil && family != "" && okC && okM
	}
	device, ok := p.one("GPU", ociDevices(shape)...)
	return round(device * r.Count), ok && r.Count > 0
}

// round drops what multiplication adds to a price.
func round(usd float64) float64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(usd, 'f', 6, 64), 64) // it was written by the same package
	return v
}

// ociFamilies are the words that the price list has for flexible shapes.
func ociFamilies() map[string]string {
	return map[string]string{"VM.Standard.E4.Flex": "E4", "VM.Standard.E5.Flex": "E5", "VM.Standard3.Flex": "X9", "VM.Standard.A1.Flex": "A1"}
}

// ociDevices are the words for the device of a shape: BM.GPU.H100.8 has one that is
// sold as "Compute - GPU - H100".
func ociDevices(shape string) []string {
	words := strings.FieldsFunc(strings.ToUpper(shape), func(r rune) bool { return r == '.' || r == '-' })
	if len(words) < 3 || words[1] != "GPU" {
		return []string{"none of the list's"} // shapes of earlier generations have other names there
	}
	return append([]string{"COMPUTE"}, words[1:len(words)-1]...)
}

// ociShapes are the rows of the default catalog.
func ociShapes() ([]Row, error) {
	text, err := catalogs.FS.ReadFile("oci/vms.csv")
	if err != nil {
		return nil, fmt.Errorf("read the default catalog: %w", err)
	}
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the default catalog: %w", err)
	}
	column := map[string]int{}
	for i, name := range lines[0] {
		column[name] = i
	}
	var rows []Row
	for _, line := range lines[1:] {
		number := func(name string) float64 { v, _ := strconv.ParseFloat(line[column[name]], 64); return v } // blank is 0
		rows = append(rows, Row{
			Type: line[column["InstanceType"]], Accelerator: line[column["AcceleratorName"]], Count: number("AcceleratorCount"),
			VCPUs: number("vCPUs"), Memory: number("MemoryGiB"), Spot: number("SpotPrice"), Region: line[column["Region"]], Arch: line[column["Arch"]],
			DeviceGiB: mib(line[column["GpuInfo"]]) / 1024,
		})
	}
	return rows, nil
}

// mib reads a device's memory from a catalog's description of it.
func mib(info string) float64 {
	_, rest, _ := strings.Cut(info, "'SizeInMiB': ")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		return 0
	}
	v, _ := strconv.ParseFloat(rest[:digits], 64) // digits are a number, none is 0
	return v
}
