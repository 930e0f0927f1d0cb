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

func TestRunPodDevices(t *testing.T) {
	for words, want := range map[string]string{
		"H100 SXM": "H100-SXM", "H100 PCIe": "H100", "A100 PCIe": "A100-80GB", "RTX A6000": "RTXA6000", "RTX 6000 Ada": "RTX6000-Ada",
		"RTX PRO 6000": "RTXPRO6000", "RTX PRO 6000 WK": "RTXPRO6000-WK", "RTX PRO 4500": "RTXPRO4500", "NVIDIA H200 NVL": "NVIDIA-H200-NVL",
	} {
		if got := runpodDevice(words, 80); got != want {
			t.Errorf("%q is %q, want %q", words, got, want)
		}
	}
}
