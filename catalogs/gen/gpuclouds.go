// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// lambdaTypes are Lambda's on-demand machines; a type has one price everywhere,
// and the price says nothing about where it is free.
const lambdaTypes = `
@all
gpu_1x_rtx6000 14 46 RTX6000:1:24 0.69
gpu_1x_a10 30 226 A10:1:24 1.29
gpu_1x_a6000 14 100 A6000:1:48 1.09
gpu_2x_a6000 28 200 A6000:2:48 2.18
gpu_4x_a6000 56 400 A6000:4:48 4.36
gpu_1x_a100_sxm4 30 220 A100:1:40 1.99
gpu_8x_a100 124 1800 A100:8:40 15.92
gpu_8x_a100_80gb_sxm4 240 1800 A100-80GB:8:80 22.32
gpu_8x_v100 88 448 V100:8:16 6.32
gpu_1x_h100_pcie 26 225 H100:1:80 3.29
gpu_1x_h100_sxm5 26 225 H100:1:80 4.29
gpu_2x_h100_sxm5 52 450 H100:2:80 8.38
gpu_4x_h100_sxm5 104 900 H100:4:80 16.36
gpu_8x_h100_sxm5 208 1800 H100:8:80 31.92
gpu_1x_b200_sxm6 26 360 B200:1:180 6.99
gpu_2x_b200_sxm6 52 720 B200:2:180 13.78
gpu_4x_b200_sxm6 104 1440 B200:4:180 27.16
gpu_8x_b200_sxm6 208 2900 B200:8:180 53.52
arm64!gpu_1x_gh200 64 432 GH200:1:96 2.29
`

func lambdaBook() book {
	regions := strings.Fields(`us-east-1 us-east-3 us-west-1 us-west-2 us-west-3 us-south-1 us-south-2 us-south-3
		us-midwest-1 europe-central-1 asia-northeast-1 asia-northeast-2 asia-south-1 me-west-1 australia-east-1`)
	return book{cloud: "lambda", facts: machines(lambdaTypes, map[string][]string{"all": regions})}
}

// runpodTypes are the devices of RunPod's secure cloud: name in catalogs, GiB,
// vCPUs and memory that come with one, 0 where not known, price of one, the most in
// a pod.
const runpodTypes = `
B300            288 32 251 7.89 8
B200            180 28 283 6.79 8
H200-SXM        141 24 276 4.59 8
NVIDIA-H200-NVL 143  0   0 3.79 8
H100-SXM         80 20 125 3.99 8
H100-NVL         94 16  94 3.19 8
H100             80 16 188 2.89 8
A100-80GB        80  8 117 1.79 8
A100-80GB-SXM    80 16 125 1.79 8
RTXPRO6000       96  0   0 2.09 8
RTXPRO6000-WK    96  0   0 1.89 8
RTXPRO4500       32  0   0 0.72 8
A40              48  9  50 0.44 8
L40S             48 16  94 1.07 8
L40              48  8  94 0.82 8
RTX6000-Ada      48 10 167 0.84 8
RTXA6000         48  9  50 0.53 8
MI300X          192 24 283 2.39 8
RTX5090          32  9  35 0.99 8
RTX4090          24  6  41 0.74 8
RTX3090          24 16 125 0.46 8
RTXA5000         24  9  25 0.27 8
L4               24 12  50 0.49 8
RTX4000-Ada      20  9  50 0.28 8
RTXA4500         20 12  54 0.25 4
RTX2000-Ada      16  6  31 0.23 8
RTXA4000         16  5  20 0.25 8
`

func runpodBook() book {
	b := book{cloud: "runpod"}
	for l := range strings.Lines(runpodTypes) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for n := 1.0; n <= num(w[5]); n *= 2 {
			f := fact{name: fmt.Sprintf("%vx_%s_SECURE", n, w[0]), vcpus: num(w[2]) * n, memory: num(w[3]) * n,
				device: w[0], count: n, deviceGiB: num(w[1]), usd: num(w[4]) * n, arch: "x86_64"}
			b.facts = append(b.facts, everywhere(f, []string{"US", "CA", "CZ", "FR", "IN", "IS", "JP", "NL", "NO", "RO", "SE"})...)
		}
	}
	return b
}

// ociTypes are Oracle's shapes with devices; Oracle's prices are the same in
// every commercial region. vCPUs are two for each OCPU, but on Grace. Those that may
// be preemptible cost half then.
const ociTypes = `
@preemptible
VM.GPU2.1 24 72 P100:1:16 1.275
VM.GPU3.1 12 90 V100:1:16 2.95
VM.GPU3.2 24 180 V100:2:16 5.90
VM.GPU3.4 48 360 V100:4:16 11.80
@all
BM.GPU2.2 56 192 P100:2:16 2.55
BM.GPU3.8 104 768 V100:8:16 23.60
VM.GPU.A10.1 30 240 A10:1:24 2.00
VM.GPU.A10.2 60 480 A10:2:24 4.00
BM.GPU.A10.4 128 1024 A10:4:24 8.00
BM.GPU.L40S.4 224 1024 L40S:4:48 14.00
BM.GPU4.8 128 2048 A100:8:40 24.40
BM.GPU.A100-v2.8 256 2048 A100-80GB:8:80 32.00
BM.GPU.H100.8 224 2048 H100:8:80 80.00
BM.GPU.H200.8 224 3072 H200:8:141 80.00
BM.GPU.MI300X.8 224 2048 MI300X:8:192 48.00
BM.GPU.MI355X.8 256 3072 MI355X:8:288 68.80
BM.GPU.B200.8 256 4096 B200:8:180 112.00
BM.GPU.B300.8 256 4096 B300:8:268 120.00
BM.GPU.RTXPRO.8 288 3072 RTXPRO6000:8:96 36.00
arm64!BM.GPU.GB200.4 144 960 GB200:4:186 64.00
arm64!BM.GPU.GB300.4 144 960 GB300:4:278 72.00
`

// ociFlexible are the flexible shapes: vCPUs for each OCPU, prices of an OCPU
// and of a GiB, GiB for each vCPU, OCPUs. Preemptible machines of these shapes
// cost half, by the price list.
const ociFlexible = `
VM.Standard.E4.Flex x86_64 2 0.025 0.0015 2,4,8 1,2,4,8,16,32,64
VM.Standard.E5.Flex x86_64 2 0.03  0.002  2,4,8 1,2,4,8,16,32
VM.Standard3.Flex   x86_64 2 0.04  0.0015 2,4,8 1,2,4,8,16
VM.Standard.A1.Flex arm64  1 0.01  0.0015 2,4,6 1,2,4,8,16,32,64
`

func ociBook() book {
	regions := strings.Fields(`us-ashburn-1 us-phoenix-1 us-sanjose-1 us-chicago-1 ca-toronto-1 sa-saopaulo-1 eu-frankfurt-1
		eu-amsterdam-1 uk-london-1 ap-tokyo-1 ap-singapore-1 ap-mumbai-1 ap-sydney-1`)
	b := book{cloud: "oci", facts: machines(ociTypes, map[string][]string{"preemptible": regions})}
	for i := range b.facts {
		b.facts[i].spot = b.facts[i].usd / 2
	}
	b.facts = append(b.facts, machines(ociTypes, map[string][]string{"all": regions})...)
	for l := range strings.Lines(ociFlexible) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for _, ratio := range strings.Split(w[5], ",") {
			for _, n := range strings.Split(w[6], ",") {
				ocpus := num(n)
				f := fact{vcpus: ocpus * num(w[2]), arch: w[1]}
				f.memory = f.vcpus * num(ratio)
				f.name = fmt.Sprintf("%s$_%s_%v", w[0], n, f.memory)
				f.usd = ocpus*num(w[3]) + f.memory*num(w[4])
				f.spot = f.usd / 2
				b.facts = append(b.facts, everywhere(f, regions)...)
			}
		}
	}
	return b
}

// ibmTypes are IBM's VPC profiles with devices. Only the one-V100 profile has a
// figure that was seen, and that with two of everything costs twice that; the others
// are named without one, so none is offered.
const ibmTypes = `
@us
gx2-8x64x1v100 8 64 V100:1:16 2.497
gx2-16x128x2v100 16 128 V100:2:16 4.994
@ca-tor
gx2-8x64x1v100 8 64 V100:1:16 2.572
@eu-gb
gx2-8x64x1v100 8 64 V100:1:16 2.672
@eu-de
gx2-8x64x1v100 8 64 V100:1:16 2.746
@jp
gx2-8x64x1v100 8 64 V100:1:16 2.821
@au-br
gx2-8x64x1v100 8 64 V100:1:16 2.996
@unpriced
gx2-16x128x1v100 16 128 V100:1:16 0
gx2-32x256x2v100 32 256 V100:2:16 0
gx3-16x80x1l4 16 80 L4:1:24 0
gx3-32x160x2l4 32 160 L4:2:24 0
gx3-64x320x4l4 64 320 L4:4:24 0
gx3-24x120x1l40s 24 120 L40S:1:48 0
gx3-48x240x2l40s 48 240 L40S:2:48 0
gx3d-24x120x1a100p 24 120 A100-80GB:1:80 0
gx3d-48x240x2a100p 48 240 A100-80GB:2:80 0
gx3d-160x1792x8h100 160 1792 H100:8:80 0
gx3d-160x1792x8h200 160 1792 H200:8:141 0
gx3d-160x1792x8gaudi3 160 1792 Gaudi3:8:128 0
gx3d-208x1792x8mi300x 208 1792 MI300X:8:192 0
gx4d-232x3840x8b300 232 3840 B300:8:268 0
`

// ibmFamilies are the general-purpose profiles: GiB for each vCPU, and how many
// vCPUs. Of bx2 the price of 8 vCPUs was seen, in ibmBalanced; its other sizes are
// multiples of that. Of the others none was.
const ibmFamilies = `
bx2 4 2,4,8,16,32,48,64,96,128
cx2 2 2,4,8,16,32,48,64,96,128
mx2 8 2,4,8,16,32,48,64,96,128
`

// ibmBalanced are prices of bx2-8x32 by region.
const ibmBalanced = `us-south=0.384 us-east=0.384 ca-tor=0.396 eu-gb=0.411 eu-de=0.423 jp-tok=0.434 jp-osa=0.434 au-syd=0.461 br-sao=0.461`

// ibmGeneral are the general-purpose profiles, to a tenth of a cent.
func ibmGeneral() []fact {
	var out []fact
	for l := range strings.Lines(ibmFamilies) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for _, n := range strings.Split(w[2], ",") {
			f := fact{vcpus: num(n), memory: num(n) * num(w[1]), arch: "x86_64"}
			f.name = fmt.Sprintf("%s-%sx%v", w[0], n, f.memory)
			if w[0] != "bx2" {
				out = append(out, everywhere(f, ibmZones("us-south"))...)
				continue
			}
			for _, place := range strings.Fields(ibmBalanced) {
				region, price, _ := strings.Cut(place, "=")
				f.usd = math.Round(1000*num(price)*f.vcpus/8) / 1000
				out = append(out, everywhere(f, ibmZones(region))...)
			}
		}
	}
	return out
}

// ibmZones are the zones of regions; each has three.
func ibmZones(regions ...string) []string {
	var out []string
	for _, r := range regions {
		for _, n := range []string{"1", "2", "3"} {
			out = append(out, r+"/"+r+"-"+n)
		}
	}
	return out
}

func ibmBook() book {
	devices := machines(ibmTypes, map[string][]string{
		"us": ibmZones("us-south", "us-east"), "ca-tor": ibmZones("ca-tor"), "eu-gb": ibmZones("eu-gb"), "eu-de": ibmZones("eu-de"),
		"jp": ibmZones("jp-tok", "jp-osa"), "au-br": ibmZones("au-syd", "br-sao"), "unpriced": ibmZones("us-south"),
	})
	return book{cloud: "ibm", facts: append(devices, ibmGeneral()...)}
}
