// SPDX-License-Identifier: MPL-2.0

package fetch

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

type lambdaAnswer struct {
	Data map[string]struct {
		Type struct {
			Name  string `json:"name"`
			GPU   string `json:"gpu_description"`
			Cents int    `json:"price_cents_per_hour"`
			Specs struct {
				VCPUs  float64 `json:"vcpus"`
				Memory float64 `json:"memory_gib"`
				GPUs   float64 `json:"gpus"`
			} `json:"specs"`
		} `json:"instance_type"`
		Regions []struct {
			Name string `json:"name"`
		} `json:"regions_with_capacity_available"`
	} `json:"data"`
}

func lambdaFetcher() Fetcher {
	return Fetcher{Cloud: "lambda", Needs: "LAMBDA_API_KEY", Fetch: lambda}
}

// lambda asks Lambda's API. It lists a type only in the regions that have some
// free at the moment: the API names no others.
func lambda(ctx context.Context, o Options) ([]Row, error) {
	key, err := o.key("LAMBDA_API_KEY")
	if err != nil {
		return nil, err
	}
	url := cmp.Or(o.Endpoint, "https://cloud.lambda.ai") + "/api/v1/instance-types"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking Lambda: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	var answer lambdaAnswer
	if err := ask(o, req, &answer); err != nil {
		return nil, err
	}
	var rows []Row
	for name, d := range answer.Data {
		t := d.Type
		r := Row{Type: cmp.Or(t.Name, name), VCPUs: t.Specs.VCPUs, Memory: t.Specs.Memory, Price: float64(t.Cents) / 100, Arch: "x86_64"}
		if t.Specs.GPUs > 0 {
			r.Accelerator, r.DeviceGiB = device(t.GPU)
			r.Count = t.Specs.GPUs
		}
		if strings.HasPrefix(r.Accelerator, "GH200") {
			r.Arch = "arm64"
		}
		for _, region := range d.Regions {
			r.Region = region.Name
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("lambda has nothing free anywhere at the moment; the catalog stays as it is")
	}
	return rows, nil
}

// described is how Lambda words a device: "A100 (40 GB SXM4)".
var described = regexp.MustCompile(`^(.*?)\s*\((\d+(?:\.\d+)?) GB`)

// device turns Lambda's words into the name that catalogs use, and its memory.
func device(words string) (string, float64) {
	name, gib := words, 0.0
	if m := described.FindStringSubmatch(words); m != nil {
		name = m[1]
		gib, _ = strconv.ParseFloat(m[2], 64)
	}
	name = strings.TrimPrefix(strings.TrimPrefix(name, "Tesla "), "Quadro ")
	name = strings.ReplaceAll(strings.TrimPrefix(name, "RTX A"), " ", "")
	if strings.HasPrefix(words, "RTX A") {
		name = "A" + name
	}
	if name == "A100" && gib >= 80 {
		name = "A100-80GB"
	}
	return name, gib
}
