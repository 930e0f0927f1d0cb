// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"strings"
)

// gcpFamilies are predefined families: the price of a vCPU and of a GiB in a
// region ("us" is us-central1, us-east1 and us-west1, which have one price), then
// shapes as class:GiB for each vCPU:vCPUs; none are those of the family's first line.
const gcpFamilies = `
us      e2  0.02181159 0.00292353 standard:4:2,4,8,16,32 highmem:8:2,4,8,16 highcpu:1:2,4,8,16,32
us      n1  0.031611 0.004237 standard:3.75:1,2,4,8,16,32,64,96 highmem:6.5:2,4,8,16,32,64,96
us      n2  0.031611 0.004237 standard:4:2,4,8,16,32,48,64,80,96,128 highmem:8:2,4,8,16,32,48,64,80,96 highcpu:1:2,4,8,16,32,48,64,80,96
us      n2d 0.027502 0.003686 standard:4:2,4,8,16,32,48,64,80,96,128,224 highmem:8:2,4,8,16,32,48,64,80,96 highcpu:1:2,4,8,16,32,48,64,80,96,128,224
us      c2d 0.029563 0.003959 standard:4:2,4,8,16,32,56,112 highmem:8:2,4,8,16,32,56,112 highcpu:2:2,4,8,16,32,56,112
us      c2  0.03398  0.00455  standard:4:4,8,16,30,60
us      t2d 0.027502 0.003686 standard:4:1,2,4,8,16,32,48,60
us-east4 e2 0.02456745 0.00329199 standard:4:2,4,8,16,32 highmem:8:2,4,8,16 highcpu:1:2,4,8,16,32
us-east4 n1 0.0356   0.00477  standard:3.75:1,2,4,8,16,32,64,96 highmem:6.5:2,4,8,16,32,64,96
us-east4 n2 0.0356   0.004771 standard:4:2,4,8,16,32,48,64,80,96,128 highmem:8:2,4,8,16,32,48,64,80,96
us-east5 e2 0.02181159 0.00292353
us-south1 e2 0.02573768 0.00344977
us-west2 e2 0.0261993 0.00351141
us-west3 e2 0.0261993 0.00351141
us-west4 e2 0.02456745 0.00329199
europe-west1 e2 0.02399337 0.00321609
europe-west2 e2 0.0281037 0.00376602
europe-west3 e2 0.0281037 0.00376602
europe-west4 e2 0.02401338 0.00321816
europe-north1 e2 0.02401614 0.00321816
asia-east1 e2 0.02525538 0.00338514
asia-northeast1 e2 0.02802642 0.00373911
asia-south1 e2 0.0261993 0.00351072
asia-southeast1 e2 0.02690931 0.00360594
australia-southeast1 e2 0.03095064 0.00414759
northamerica-northeast1 e2 0.02401338 0.00321816
southamerica-east1 e2 0.0346242 0.00464025
us-west2 n1 0.03797 0.005089
us-west3 n1 0.03797 0.005089
europe-west1 n1 0.034773 0.004661
europe-west2 n1 0.040692 0.005453
europe-west3 n1 0.040692 0.005453
europe-west4 n1 0.034806 0.004664
asia-east1 n1 0.036602 0.004906
asia-northeast1 n1 0.040618 0.005419
asia-south1 n1 0.03797 0.005088
asia-southeast1 n1 0.038999 0.005226
australia-southeast1 n1 0.044856 0.006011
northamerica-northeast1 n1 0.034802 0.004664
southamerica-east1 n1 0.05018 0.006725
us-west4 n2 0.0356 0.00477
europe-west1 n2 0.034773 0.004661
europe-west3 n2 0.040692 0.005453
europe-west4 n2 0.034806 0.004664
asia-northeast1 n2 0.040618 0.005419
asia-southeast1 n2 0.038999 0.005226
`

// gcpZones are the zones of a table's first word: of the three regions with one
// price, else of one region. Most have a, b and c.
func gcpZones(name string) []string {
	switch name {
	case "us":
		return inRegions(zones("us-central1-abcf", "us-east1-bcd", "us-west1-abc"))
	case "europe-west1":
		return inRegions(zones("europe-west1-bcd"))
	default:
		return inRegions(zones(name + "-abc"))
	}
}

// zones expands a region and letters into zones.
func zones(of ...string) []string {
	var out []string
	for _, o := range of {
		at := strings.LastIndexByte(o, '-') + 1
		for _, letter := range o[at:] {
			out = append(out, o[:at]+string(letter))
		}
	}
	return out
}

// gcpDevices attach to N1 hosts: GiB and the numbers sold, then the price of one
// and where.
const gcpDevices = `
T4 16 1,2,4
= 0.35 us-central1-abcf us-east1-bcd us-west1-ab europe-west1-bcd asia-east1-ac
= 0.37 us-east4-abc asia-northeast1-ac asia-southeast1-abc
= 0.42074 us-west2-bc us-west3-b
= 0.399 europe-west2-ab
= 0.41 europe-west3-b asia-south1-ab
= 0.3675 europe-west4-abc
= 0.44 australia-southeast1-ac
= 0.38538 northamerica-northeast1-c
= 0.48 southamerica-east1-abc
V100 16 1,2,4,8
= 2.48 us-central1-abcf us-east1-c us-west1-ab
P100 16 1,2,4
= 1.46 us-central1-cf us-east1-bc us-west1-ab
= 1.6 europe-west1-bd asia-east1-ac australia-southeast1-b
= 1.533 europe-west4-a
P4 8 1,2,4
= 0.6 us-central1-ac us-east4-abc
= 0.72 us-west2-bc
= 0.63 europe-west4-bc
= 0.65 asia-southeast1-abc australia-southeast1-ab northamerica-northeast1-abc
`

// gcpWhole are machines that come with their devices, at the price of both. After
// the machines of a family with their prices in the United States come the places:
// what the family's last machine costs there on demand and as a spot machine, a
// dash for what is not offered or not known. The others cost in proportion. What
// has "spot!" before it is sold as a spot machine, but not on demand.
const gcpWhole = `
a2-highgpu-1g 12 85 A100:1:40 3.673385
a2-highgpu-2g 24 170 A100:2:40 7.34677
a2-highgpu-4g 48 340 A100:4:40 14.69354
a2-highgpu-8g 96 680 A100:8:40 29.38708
= 29.38708 15.02248 us-central1-abcf us-east1-b us-west1-b
= 34.600549 16.55728 us-west3-b
= 31.474839 13.5328 us-west4-b
= 29.983776 12.87936 europe-west4-ab
= 32.396727 14.37176 asia-northeast1-ac
= 32.396727 14.47504 asia-northeast3-ab
= 32.110063 15.77648 asia-southeast1-abc
= 32.32579 12.36784 me-west1-ac

a2-megagpu-16g 96 1360 A100:16:40 55.739504
= 55.739504 - us-central1-abcf

a2-ultragpu-1g 12 170 A100-80GB:1:80 5.068798
a2-ultragpu-2g 24 340 A100-80GB:2:80 10.137596
a2-ultragpu-4g 48 680 A100-80GB:4:80 20.275192
a2-ultragpu-8g 96 1360 A100-80GB:8:80 40.550383
= 40.550383 20.11022 us-central1-ac
= 45.66186 18.12660 us-east4-c
= 44.519319 13.18024 us-east5-ab
= 44.647348 21.08704 europe-west4-a
= 49.981484 19.57432 asia-southeast1-c

g2-standard-4 4 16 L4:1:24 0.706832
g2-standard-8 8 32 L4:1:24 0.853632
g2-standard-12 12 48 L4:1:24 1.000432
g2-standard-16 16 64 L4:1:24 1.147232
g2-standard-24 24 96 L4:2:24 2.000865
g2-standard-32 32 128 L4:1:24 1.734433
g2-standard-48 48 192 L4:4:24 4.001729
g2-standard-96 96 384 L4:8:24 8.003458
= 8.003458 - us-central1-abc us-east1-bcd us-west1-abc
= 7.977124 - us-east4-ac
= 9.014151 - us-west4-ac
= 8.812467 - europe-west1-bc northamerica-northeast1-bc
= 9.11248 - europe-west2-ab
= 9.432216 - europe-west3-ab
= 8.411901 - europe-west4-abc
= 9.267057 - asia-east1-abc
= 10.277877 - asia-northeast1-abc
= 8.331093 - asia-south1-abc
= 9.873709 - asia-southeast1-abc

g4-standard-48 48 180 RTXPRO6000:1:96 4.49993
g4-standard-96 96 360 RTXPRO6000:2:96 8.99986
g4-standard-192 192 720 RTXPRO6000:4:96 17.99972
g4-standard-384 384 1440 RTXPRO6000:8:96 35.99944
= 35.99944 - us-central1-b

spot!a3-highgpu-1g 26 234 H100:1:80 11.06125
spot!a3-highgpu-2g 52 468 H100:2:80 22.1225
spot!a3-highgpu-4g 104 936 H100:4:80 44.245
a3-highgpu-8g 208 1872 H100:8:80 88.49
= 88.49 26.83013 us-central1-abc us-west1-ab
= 88.555756 20.04446 us-east4-abc
= 99.583201 21.59107 us-east5-a
= 99.648954 22.61894 us-west4-a
= 97.369847 22.11781 europe-west1-bc
= 104.431352 23.70592 europe-west3-c
= 112.540479 25.56429 europe-west4-bc
= 102.35878 25.47229 asia-east1-c
= 126.643391 31.50253 asia-northeast1-b
= 92.134785 20.89285 asia-south1-c
= 114.278293 27.14312 asia-southeast1-bc

a3-megagpu-8g 208 1872 H100-MEGA:8:80 92.94
= 92.94 28.17013 us-central1-abc us-west1-ab
= 92.937588 17.05486 us-east4-abc
= 94.066641 20.39027 us-east5-a
= 104.584234 19.21414 us-west4-a
= 102.194647 23.21701 europe-west1-bc
= 109.601912 20.13072 europe-west3-c
= 118.236831 26.87789 europe-west4-bc
= 119.276367 22.17133 asia-northeast1-b
= 119.974645 28.51192 asia-southeast1-bc
= 116.155467 24.05656 australia-southeast1-c

a3-ultragpu-8g 224 2952 H200:8:141 86.76
= 86.76 40.99433 us-central1-b us-west1-c
= 86.76 32.05394 us-east4-b
= - 47.10474 us-south1-b
= - 44.10105 europe-west1-b
= - 42.05909 europe-west4-a
= - 41.65809 asia-south1-b

spot!a4-highgpu-8g 224 3968 B200:8:180 1
= - 32.6064 us-central1-b us-east1-b us-east4-b us-south1-b us-west2-c us-west3-bc
= - 35.8672 europe-north1-b europe-west4-b
= - 39.128 asia-northeast1-b
= - 35.5712 asia-southeast1-b
`

// gcpQuoted are machines that Google sells by reservation or on request only, and
// those whose price was not seen. They are named without one.
const gcpQuoted = `
@quoted
a3-edgegpu-8g 208 1872 H100:8:80 0
arm64!a4x-highgpu-4g 140 884 GB200:4:186 0
arm64!a4x-maxgpu-4g-metal 144 960 GB300:4:279 0
`

func gcpBook() book {
	b := book{cloud: "gcp", facts: append(gcpGeneral(gcpFamilies), gcpAttached(gcpDevices)...)}
	b.facts = append(b.facts, gcpOptimized(gcpWhole)...)
	b.facts = append(b.facts, machines(gcpQuoted, map[string][]string{"quoted": inRegions(zones("us-central1-b"))})...)
	const images = "projects/ubuntu-os-cloud/global/images/family/"
	b.images = [][]string{
		{"skypilot:cpu-ubuntu-2204", "", "ubuntu", "22.04", images + "ubuntu-2204-lts", "20250701", "x86_64"},
		{"skypilot:cpu-ubuntu-2404", "", "ubuntu", "24.04", images + "ubuntu-2404-lts-amd64", "20250701", "x86_64"},
		{"skypilot:cpu-ubuntu-2404", "", "ubuntu", "24.04", images + "ubuntu-2404-lts-arm64", "20250701", "arm64"},
	}
	return b
}

// gcpGeneral reads a table of families without devices.
func gcpGeneral(table string) []fact {
	var out []fact
	shapes := make(map[string][]string)
	for l := range strings.Lines(table) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		of := w[4:]
		if shapes[w[1]] == nil {
			shapes[w[1]] = of
		}
		if len(of) == 0 {
			of = shapes[w[1]]
		}
		for _, shape := range of {
			p := strings.Split(shape, ":")
			for _, n := range strings.Split(p[2], ",") {
				cpus := num(n)
				f := fact{name: fmt.Sprintf("%s-%s-%s", w[1], p[0], n), vcpus: cpus, memory: cpus * num(p[1]), arch: "x86_64"}
				f.usd = f.vcpus*num(w[2]) + f.memory*num(w[3])
				out = append(out, everywhere(f, gcpZones(w[0]))...)
			}
		}
	}
	return out
}

// gcpAttached reads a table of devices without hosts.
func gcpAttached(table string) []fact {
	var out []fact
	var device []string
	for l := range strings.Lines(table) {
		w := strings.Fields(l)
		switch {
		case len(w) == 0:
		case w[0] != "=":
			device = w
		default:
			for _, n := range strings.Split(device[2], ",") {
				f := fact{device: device[0], count: num(n), deviceGiB: num(device[1]), usd: num(w[1]) * num(n)}
				out = append(out, everywhere(f, inRegions(zones(w[2:]...)))...)
			}
		}
	}
	return out
}

// gcpOptimized reads a table of families that come with their devices.
func gcpOptimized(table string) []fact {
	var out []fact
	for _, block := range strings.Split(strings.TrimSpace(table), "\n\n") {
		var family []fact
		spotOnly := make(map[string]bool)
		for l := range strings.Lines(block) {
			w := strings.Fields(l)
			if w[0] != "=" {
				text, only := strings.CutPrefix(strings.TrimSpace(l), "spot!")
				f := machine(text)
				family, spotOnly[f.name] = append(family, f), only
				continue
			}
			for _, f := range family {
				share := f.usd / priced(family[len(family)-1], f.name)
				f.usd, f.spot = share*amount(w[1]), share*amount(w[2])
				if spotOnly[f.name] {
					f.usd = 0
				}
				out = append(out, everywhere(f, inRegions(zones(w[3:]...)))...)
			}
		}
	}
	return out
}

// amount reads a price, or a dash for none.
func amount(s string) float64 {
	if s == "-" {
		return 0
	}
	return num(s)
}

// inRegions writes zones as "region/zone". A zone's region is its name up to the
// last dash; one without a dash is the only one of a region of that name.
func inRegions(zones []string) []string {
	out := make([]string, len(zones))
	for i, z := range zones {
		region := z
		if at := strings.LastIndexByte(z, '-'); at > 0 {
			region = z[:at]
		}
		out[i] = region + "/" + z
	}
	return out
}
