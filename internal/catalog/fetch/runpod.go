// SPDX-License-Identifier: MPL-2.0

package fetch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// runpodQuery asks for every device, its price in the secure cloud and what
// comes with one.
const runpodQuery = `query { gpuTypes { id displayName memoryInGb maxGpuCountSecureCloud securePrice secureSpotPrice
  lowestPrice(input: {gpuCount: 1, secureCloud: true}) { minVcpu minMemory } } }`

type runpodAnswer struct {
	Data struct {
		Types []struct {
			Name   string  `json:"displayName"`
			Memory float64 `json:"memoryInGb"`
			Most   int     `json:"maxGpuCountSecureCloud"`
			Price  float64 `json:"securePrice"`
			Spot   float64 `json:"secureSpotPrice"`
			Lowest struct {
				VCPUs  float64 `json:"minVcpu"`
				Memory float64 `json:"minMemory"`
			} `json:"lowestPrice"`
		} `json:"gpuTypes"`
	} `json:"data"`
	Errors []struct {
		Message string `json:"message"`
	} `json:"errors"`
}

func runpodFetcher() Fetcher {
	return Fetcher{Cloud: "runpod", Needs: "RUNPOD_API_KEY", Fetch: runpod}
}

// runpod asks RunPod's API. Prices are the same wherever a device is; the API
// does not say where that is, so every country is listed.
func runpod(ctx context.Context, o Options) ([]Row, error) {
	key, err := o.key("RUNPOD_API_KEY")
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"query": runpodQuery})
	if err != nil {
		return nil, fmt.Errorf("asking RunPod: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cmp.Or(o.Endpoint, "https://api.runpod.io")+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking RunPod: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	var answer runpodAnswer
	if err := ask(o, req, &answer); err != nil {
		return nil, err
	}
	if len(answer.Errors) > 0 {
		return nil, fmt.Errorf("asking RunPod: %s", answer.Errors[0].Message)
	}
	var rows []Row
	for _, t := range answer.Data.Types {
		if t.Price <= 0 {
			continue
		}
		name := runpodDevice(t.Name, t.Memory)
		for n := 1; n <= min(t.Most, 8); n *= 2 {
			count := float64(n)
			for _, country := range []string{"CA", "CZ", "IS", "NL", "NO", "RO", "SE", "US"} {
				rows = append(rows, Row{
					Type: fmt.Sprintf("%dx_%s_SECURE", n, name), Accelerator: name, Count: count, DeviceGiB: t.Memory, Arch: "x86_64",
					VCPUs: t.Lowest.VCPUs * count, Memory: t.Lowest.Memory * count, Price: t.Price * count, Spot: t.Spot * count, Region: country,
				})
			}
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the answer of RunPod names no device with a price")
	}
	return rows, nil
}

// runpodDevice turns RunPod's words into the name that catalogs use.
func runpodDevice(words string, gib float64) string {
	switch words {
	case "A100 PCIe":
		return "A100-80GB"
	case "A100 SXM":
		return "A100-80GB-SXM"
	case "H100 PCIe":
		return "H100"
	}
	name := strings.NewReplacer("RTX PRO ", "RTXPRO", "RTX ", "RTX", " ", "-").Replace(words)
	if name == "A100-SXM-40GB" || (name == "A100" && gib < 80) {
		return "A100"
	}
	return name
}
