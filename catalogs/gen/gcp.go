// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"strings"
)

// gcpFamilies are predefined families: the price of a vCPU and of a GiB in the
// regions of gcpRegions ("us" is us-central1, us-east1 and us-west1, which have
// one price), then shapes as class:GiB for each vCPU:vCPUs.
const gcpFamilies = `
us      e2  0.021811 0.002923 standard:4:2,4,8,16,32 highmem:8:2,4,8,16 highcpu:1:2,4,8,16,32
us      n1  0.031611 0.004237 standard:3.75:1,2,4,8,16,32,64,96 highmem:6.5:2,4,8,16,32,64,96
us      n2  0.031611 0.004237 standard:4:2,4,8,16,32,48,64,80,96,128 highmem:8:2,4,8,16,32,48,64,80,96 highcpu:1:2,4,8,16,32,48,64,80,96
us      n2d 0.027502 0.003686 standard:4:2,4,8,16,32,48,64,80,96,128,224 highmem:8:2,4,8,16,32,48,64,80,96 highcpu:1:2,4,8,16,32,48,64,80,96,128,224
us      c2d 0.029563 0.003959 standard:4:2,4,8,16,32,56,112 highmem:8:2,4,8,16,32,56,112 highcpu:2:2,4,8,16,32,56,112
us      c2  0.03398  0.00455  standard:4:4,8,16,30,60
us      t2d 0.027502 0.003686 standard:4:1,2,4,8,16,32,48,60
us-east4 e2 0.024564 0.003292 standard:4:2,4,8,16,32 highmem:8:2,4,8,16 highcpu:1:2,4,8,16,32
us-east4 n1 0.0356   0.00477  standard:3.75:1,2,4,8,16,32,64,96 highmem:6.5:2,4,8,16,32,64,96
us-east4 n2 0.0356   0.004771 standard:4:2,4,8,16,32,48,64,80,96,128 highmem:8:2,4,8,16,32,48,64,80,96
`

// gcpZones are the zones of each region.
func gcpZones() map[string][]string {
	return map[string][]string{
		"us":       {"us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f", "us-east1-b", "us-east1-c", "us-east1-d", "us-west1-a", "us-west1-b", "us-west1-c"},
		"us-east4": {"us-east4-a", "us-east4-b", "us-east4-c"},
	}
}

// gcpDevices attach to N1 hosts: the price of one, the numbers sold, the zones.
const gcpDevices = `
T4   16 0.35 1,2,4   us-central1-a us-central1-b us-central1-c us-central1-f us-east1-c us-east1-d us-west1-a us-west1-b us-east4-a us-east4-b us-east4-c
V100 16 2.48 1,2,4,8 us-central1-a us-central1-b us-central1-c us-central1-f us-east1-c us-west1-a us-west1-b
P100 16 1.46 1,2,4   us-central1-c us-central1-f us-east1-b us-east1-c us-west1-a us-west1-b
P4   8  0.60 1,2,4   us-central1-a us-central1-c us-east4-a us-east4-b us-east4-c
`

// gcpWhole are machines that come with their devices, at the price of both.
// What Google quotes on request is named without one.
const gcpWhole = `
@a100
a2-highgpu-1g 12 85 A100:1:40 3.673385
a2-highgpu-2g 24 170 A100:2:40 7.34677
a2-highgpu-4g 48 340 A100:4:40 14.69354
a2-highgpu-8g 96 680 A100:8:40 29.38708
@a100-16
a2-megagpu-16g 96 1360 A100:16:40 55.739504
@a100-80
a2-ultragpu-1g 12 170 A100-80GB:1:80 5.068798
a2-ultragpu-2g 24 340 A100-80GB:2:80 10.137596
a2-ultragpu-4g 48 680 A100-80GB:4:80 20.275192
a2-ultragpu-8g 96 1360 A100-80GB:8:80 40.550383
@l4
g2-standard-4 4 16 L4:1:24 0.706832
g2-standard-8 8 32 L4:1:24 0.853632
g2-standard-12 12 48 L4:1:24 1.000432
g2-standard-16 16 64 L4:1:24 1.147232
g2-standard-24 24 96 L4:2:24 2.000865
g2-standard-32 32 128 L4:1:24 1.734433
g2-standard-48 48 192 L4:4:24 4.001729
g2-standard-96 96 384 L4:8:24 8.003458
@h100
a3-highgpu-8g 208 1872 H100:8:80 88.490000
@h100-mega
a3-megagpu-8g 208 1872 H100-MEGA:8:80 92.94
@h200
a3-ultragpu-8g 224 2952 H200:8:141 86.76
@quoted
a4-highgpu-8g 224 3968 B200:8:180 0
arm64!a4x-highgpu-4g 140 884 GB200:4:186 0
g4-standard-48 48 180 RTXPRO6000:1:96 0
g4-standard-96 96 360 RTXPRO6000:2:96 0
g4-standard-192 192 720 RTXPRO6000:4:96 0
g4-standard-384 384 1440 RTXPRO6000:8:96 0
`

func gcpBook() book {
	b := book{cloud: "gcp", date: "2025-07-01"}
	for l := range strings.Lines(gcpFamilies) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for _, shape := range w[4:] {
			p := strings.Split(shape, ":")
			for _, n := range strings.Split(p[2], ",") {
				cpus := num(n)
				f := fact{name: fmt.Sprintf("%s-%s-%s", w[1], p[0], n), vcpus: cpus, memory: cpus * num(p[1]), arch: "x86_64"}
				f.usd = f.vcpus*num(w[2]) + f.memory*num(w[3])
				b.facts = append(b.facts, everywhere(f, inRegions(gcpZones()[w[0]]))...)
			}
		}
	}
	for l := range strings.Lines(gcpDevices) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for _, n := range strings.Split(w[3], ",") {
			f := fact{device: w[0], count: num(n), deviceGiB: num(w[1]), usd: num(w[2]) * num(n)}
			b.facts = append(b.facts, everywhere(f, inRegions(w[4:]))...)
		}
	}
	b.facts = append(b.facts, machines(gcpWhole, map[string][]string{
		"a100":      inRegions([]string{"us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f", "us-east1-b", "us-west1-b"}),
		"a100-16":   inRegions([]string{"us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"}),
		"a100-80":   inRegions([]string{"us-central1-a", "us-central1-c"}),
		"l4":        inRegions([]string{"us-central1-a", "us-central1-b", "us-central1-c", "us-east1-b", "us-east1-d", "us-west1-a", "us-west1-b"}),
		"h100-mega": inRegions([]string{"us-central1-a", "us-central1-b", "us-central1-c", "us-west1-a", "us-west1-b"}),
		"h200":      inRegions([]string{"us-central1-b", "us-west1-c"}),
		"quoted":    inRegions([]string{"us-central1-b"}),
		"h100":      inRegions([]string{"us-central1-a", "us-central1-c", "us-west1-a", "us-west1-b"}),
	})...)
	const images = "projects/ubuntu-os-cloud/global/images/family/"
	b.images = [][]string{
		{"skypilot:cpu-ubuntu-2204", "", "ubuntu", "22.04", images + "ubuntu-2204-lts", "20250701", "x86_64"},
		{"skypilot:cpu-ubuntu-2404", "", "ubuntu", "24.04", images + "ubuntu-2404-lts-amd64", "20250701", "x86_64"},
		{"skypilot:cpu-ubuntu-2404", "", "ubuntu", "24.04", images + "ubuntu-2404-lts-arm64", "20250701", "arm64"},
	}
	return b
}

// inRegions writes zones as "region/zone".
func inRegions(zones []string) []string {
	out := make([]string, len(zones))
	for i, z := range zones {
		out[i] = z[:strings.LastIndexByte(z, '-')] + "/" + z
	}
	return out
}
