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
		case r.URL.Path == "/v2/catalog/gpus":
			fmt.Fprint(w, `{"gpus":[{"id":"NVIDIA H100 80GB HBM3","name":"H100 SXM","pool":null,"manufacturer":"NVIDIA","memory":80,"secure":true,
				"community":false,"price":{"secure":3.99,"community":0},"maxCount":{"secure":2,"community":0}},
				{"id":"NVIDIA B999","name":"B999","memory":999,"price":{"secure":9},"maxCount":{"secure":1}},
				{"id":"unsold","name":"unsold","memory":1,"price":{"secure":0},"maxCount":{"secure":8}}]}`)
		case r.URL.Path == "/v2/catalog/datacenters" && r.URL.Query().Get("include") == "GPU_AVAILABILITY":
			fmt.Fprint(w, `{"dataCenters":[{"id":"US-KS-2","name":"US Kansas 2","region":"NORTH_AMERICA","globalNetwork":true,"networkVolumeTypes":[],"compliance":[],
				"gpuAvailability":[{"id":"NVIDIA H100 80GB HBM3","name":"H100 SXM","availability":"NONE"},{"id":"unsold","name":"unsold","availability":"HIGH"}]},
				{"id":"EUR-IS-1","name":"Iceland 1","region":"EUROPE","globalNetwork":true,"networkVolumeTypes":[],"compliance":[],
				"gpuAvailability":[{"id":"NVIDIA B999","name":"B999","availability":"LOW"}]},{"id":"EU-RO-1","name":"none"}]}`)
		}
	}))
	defer server.Close()
	want := map[string]string{
		"lambda": "gpu_8x_a100,A100-80GB,8,240,1800,\"{'Gpus': [{'Name': 'A100-80GB', 'Count': 8, 'MemoryInfo': {'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 655360}\",22.32,,us-east-1,,x86_64\n",
		"runpod": "2x_H100-SXM_SECURE,H100-SXM,2,40,250,\"{'Gpus': [{'Name': 'H100-SXM', 'Count': 2, 'MemoryInfo': {'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 163840}\",7.98,,US,US-KS-2,x86_64\n",
	}
	for name := range want {
		f := Small()[name]
		o := Options{Client: server.Client(), Endpoint: server.URL, Getenv: func(string) string { return "sesame" }}
		rows, err := f.Fetch(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := CSV(rows)
		if err != nil || !strings.Contains(string(text), want[name]) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if name == "runpod" && (len(rows) != 3 || !strings.Contains(string(text), "1x_B999_SECURE,B999,1,,,") || !strings.Contains(string(text), "9,,IS,EUR-IS-1,")) {
			t.Errorf("runpod has %d rows:\n%s", len(rows), text)
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
