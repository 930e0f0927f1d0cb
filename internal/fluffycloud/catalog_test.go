// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTheCatalogIsWhatTheAPISells(t *testing.T) {
	c := newCloud(t, nil)
	var out struct {
		Types []typeJSON `json:"instance_types"`
	}
	c.must("GET", "/v1/instance-types", nil, &out)
	rows := strings.Split(strings.TrimSpace(catalogCSV()), "\n")[1:]
	sold := 0
	for _, ty := range out.Types {
		for _, o := range ty.Offers {
			sold++
			price := fmt.Sprintf(",%.4f,%.4f,%s,%s,%s", o.OnDemandUSD, o.SpotUSD, o.Region, o.Zone, ty.Arch)
			if !slices.ContainsFunc(rows, func(r string) bool { return strings.HasPrefix(r, ty.Name+",") && strings.HasSuffix(r, price) }) {
				t.Errorf("%s in %s is not in the catalog at %s", ty.Name, o.Zone, price)
			}
			if o.SpotUSD <= 0 || o.SpotUSD >= o.OnDemandUSD {
				t.Errorf("%s in %s: spot %v, on demand %v", ty.Name, o.Zone, o.SpotUSD, o.OnDemandUSD)
			}
		}
	}
	if sold != len(rows) {
		t.Errorf("%d offers, %d rows", sold, len(rows))
	}
	shipped, err := os.ReadFile("../../catalogs/fluffycloud/vms.csv")
	if err != nil {
		t.Fatal(err)
	}
	if string(shipped) != catalogCSV() {
		t.Errorf("catalogs/fluffycloud/vms.csv is not what the cloud sells, which is:\n%s", catalogCSV())
	}
}

// catalogCSV returns the offers as a catalog file of schema v8, sorted by
// type, region and zone.
func catalogCSV() string {
	var b strings.Builder
	b.WriteString("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch\n")
	for _, t := range typeTable() {
		for _, p := range places() {
			for _, z := range p.zones {
				if t.soldIn(z.name) {
					b.WriteString(catalogRow(t, p, z))
				}
			}
		}
	}
	return b.String()
}

func catalogRow(t typeSpec, p placeSpec, z zoneSpec) string {
	onDemand, spot := t.prices(p, z)
	count, info := "", ""
	if t.gpu != "" {
		count = fmt.Sprintf("%.1f", t.gpuCount)
		info = fmt.Sprintf("\"{'Gpus': [{'Name': '%s', 'Manufacturer': 'NVIDIA', 'Count': %.1f, 'MemoryInfo': {'SizeInMiB': %d}}], 'TotalGpuMemoryInMiB': %d}\"",
			t.gpu, t.gpuCount, t.gpuMiB, t.gpuMiB*int(t.gpuCount))
	}
	return fmt.Sprintf("%s,%s,%s,%.1f,%.1f,%s,%.4f,%.4f,%s,%s,%s\n",
		t.name, t.gpu, count, t.vcpus, t.memoryGiB, info, onDemand, spot, p.name, z.name, t.arch)
}
