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

	"github.com/skybroker/terraform-provider-sky/catalogs"
	names "github.com/skybroker/terraform-provider-sky/catalogs/runpod"
)

// runpodTypes are RunPod's devices, with the price of one.
type runpodTypes struct {
	GPUs []struct {
		ID, Name string
		Memory   float64
		Price    struct{ Secure float64 }
		MaxCount struct{ Secure int }
	}
}

// runpodPlaces are RunPod's data centers, with the devices that each has, free or not.
type runpodPlaces struct {
	DataCenters []struct {
		ID              string
		GPUAvailability []struct{ ID string }
	}
}

func runpodFetcher() Fetcher {
	return Fetcher{Cloud: "runpod", Needs: "RUNPOD_API_KEY", Fetch: runpod}
}

// runpod asks RunPod's API v2 for the secure cloud's devices. A device has one price
// wherever it is. The API does not say how many vCPUs and how much memory come with
// it: those are the default catalog's, and left blank for a device that is new.
func runpod(ctx context.Context, o Options) ([]Row, error) {
	key, err := o.key("RUNPOD_API_KEY")
	if err != nil {
		return nil, err
	}
	var types runpodTypes
	if err := askRunPod(ctx, o, key, "/v2/catalog/gpus", &types); err != nil {
		return nil, err
	}
	var places runpodPlaces
	if err := askRunPod(ctx, o, key, "/v2/catalog/datacenters?include=GPU_AVAILABILITY", &places); err != nil {
		return nil, err
	}
	hosts, err := runpodHosts()
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, t := range types.GPUs {
		if t.Price.Secure <= 0 {
			continue
		}
		name := names.Device(t.Name, t.Memory)
		for _, at := range places.DataCenters {
			if !slices.ContainsFunc(at.GPUAvailability, func(g struct{ ID string }) bool { return g.ID == t.ID }) {
				continue
			}
			for n := 1; n <= min(t.MaxCount.Secure, 8); n *= 2 {
				count := float64(n)
				rows = append(rows, Row{
					Type: fmt.Sprintf("%dx_%s_SECURE", n, name), Accelerator: name, Count: count, DeviceGiB: t.Memory, Arch: "x86_64",
					VCPUs: hosts[name].vcpus * count, Memory: hosts[name].memory * count, Price: t.Price.Secure * count,
					Region: names.Country(at.ID), Zone: at.ID,
				})
			}
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the answers of RunPod name no device with a price and a place")
	}
	return rows, nil
}

func askRunPod(ctx context.Context, o Options, key, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cmp.Or(o.Endpoint, "https://api.runpod.io")+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking RunPod: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("User-Agent", "terraform-provider-sky") // some without one were refused
	return ask(o, req, into)
}

// host is what comes with one device.
type host struct{ vcpus, memory float64 }

// runpodHosts are the hosts of the default catalog, by device.
func runpodHosts() (map[string]host, error) {
	text, err := catalogs.FS.ReadFile("runpod/vms.csv")
	if err != nil {
		return nil, fmt.Errorf("reading the default catalog: %w", err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the default catalog: %w", err)
	}
	at := func(name string) int { return slices.Index(rows[0], name) }
	device, count, vcpus, memory := at("AcceleratorName"), at("AcceleratorCount"), at("vCPUs"), at("MemoryGiB")
	out := map[string]host{}
	for _, r := range rows[1:] {
		if r[count] == "1" {
			v, _ := strconv.ParseFloat(r[vcpus], 64) // blank is not known
			m, _ := strconv.ParseFloat(r[memory], 64)
			out[r[device]] = host{v, m}
		}
	}
	return out, nil
}
