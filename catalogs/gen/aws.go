// SPDX-License-Identifier: MPL-2.0

package main

import "strings"

// awsFamilies are general-purpose families: GiB for each vCPU, the price of
// "large" (2 vCPUs) in the regions of awsMain, and the sizes. Sizes of a family
// cost in proportion.
const awsFamilies = `
m5   x86_64 4 0.096  0.107  0.115  0.124  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
m6i  x86_64 4 0.096  0.107  0.115  0.124  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge
c6i  x86_64 2 0.085  0.0912 0.097  0.107  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge
r6i  x86_64 8 0.126  0.141  0.152  0.152  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge
m6g  arm64  4 0.077  0.086  0.092  0.099  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
c6g  arm64  2 0.068  0.073  0.0776 0.0856 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
r6g  arm64  8 0.1008 0.1128 0.1216 0.1216 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m7i  x86_64 4 0.1008 -      -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
c7i  x86_64 2 0.08925 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
r7i  x86_64 8 0.1323 -      -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
m7g  arm64  4 0.0816 -      -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m5a  x86_64 4 0.086  0.096  0.104  0.112  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
c5   x86_64 2 0.085  0.096  0.097  0.107  large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge
r5   x86_64 8 0.126  0.141  0.152  0.152  large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
m6a  x86_64 4 0.0864 0.0963 0.1035 -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c6a  x86_64 2 0.0765 0.08208 0.0873 -     large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
r6a  x86_64 8 0.1134 -      -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
m7a  x86_64 4 0.11592 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c7a  x86_64 2 0.10264 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
r7a  x86_64 8 0.15215 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c7g  arm64  2 0.0725 -      -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
r7g  arm64  8 0.1071 -      -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m8g  arm64  4 0.08976 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
c8g  arm64  2 0.07976 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
r8g  arm64  8 0.11782 -     -      -      large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
t3   x86_64 4 0.0832 0.0912 0.096  0.1088 large xlarge 2xlarge
`

// awsMain are the regions of the price columns; the United States' three main
// ones have one price.
func awsMain() [][]string {
	return [][]string{{"us-east-1", "us-east-2", "us-west-2"}, {"eu-west-1"}, {"eu-central-1"}, {"ap-northeast-1"}}
}

// awsDevices are the machines with accelerators. P4 and P5 have the prices
// since June 2025. What AWS sells in capacity blocks only is named without one.
const awsDevices = `
@us
g4dn.xlarge 4 16 T4:1:16 0.526
g4dn.2xlarge 8 32 T4:1:16 0.752
g4dn.4xlarge 16 64 T4:1:16 1.204
g4dn.8xlarge 32 128 T4:1:16 2.176
g4dn.12xlarge 48 192 T4:4:16 3.912
g4dn.16xlarge 64 256 T4:1:16 4.352
g4dn.metal 96 384 T4:8:16 7.824
g5.xlarge 4 16 A10G:1:24 1.006
g5.2xlarge 8 32 A10G:1:24 1.212
g5.4xlarge 16 64 A10G:1:24 1.624
g5.8xlarge 32 128 A10G:1:24 2.448
g5.12xlarge 48 192 A10G:4:24 5.672
g5.16xlarge 64 256 A10G:1:24 4.096
g5.24xlarge 96 384 A10G:4:24 8.144
g5.48xlarge 192 768 A10G:8:24 16.288
g6.xlarge 4 16 L4:1:24 0.8048
g6.2xlarge 8 32 L4:1:24 0.9776
g6.4xlarge 16 64 L4:1:24 1.3232
g6.8xlarge 32 128 L4:1:24 2.0144
g6.12xlarge 48 192 L4:4:24 4.6016
g6.16xlarge 64 256 L4:1:24 3.3968
g6.24xlarge 96 384 L4:4:24 6.6752
g6.48xlarge 192 768 L4:8:24 13.3504
g6e.xlarge 4 32 L40S:1:48 1.861
g6e.2xlarge 8 64 L40S:1:48 2.24208
g6e.4xlarge 16 128 L40S:1:48 3.00424
g6e.8xlarge 32 256 L40S:1:48 4.52856
g6e.12xlarge 48 384 L40S:4:48 10.49264
g6e.16xlarge 64 512 L40S:1:48 7.57719
g6e.24xlarge 96 768 L40S:4:48 15.06559
g6e.48xlarge 192 1536 L40S:8:48 30.13118
gr6.4xlarge 16 128 L4:1:24 1.5392
gr6.8xlarge 32 256 L4:1:24 2.4464
g3s.xlarge 4 30.5 M60:1:8 0.75
g3.4xlarge 16 122 M60:1:8 1.14
g3.8xlarge 32 244 M60:2:8 2.28
g3.16xlarge 64 488 M60:4:8 4.56
g4ad.xlarge 4 16 Radeon_Pro_V520:1:8 0.37853
g4ad.2xlarge 8 32 Radeon_Pro_V520:1:8 0.54117
g4ad.4xlarge 16 64 Radeon_Pro_V520:1:8 0.867
g4ad.8xlarge 32 128 Radeon_Pro_V520:2:8 1.734
g4ad.16xlarge 64 256 Radeon_Pro_V520:4:8 3.468
p3.2xlarge 8 61 V100:1:16 3.06
p3.8xlarge 32 244 V100:4:16 12.24
p3.16xlarge 64 488 V100:8:16 24.48
p4d.24xlarge 96 1152 A100:8:40 21.957642
p5.48xlarge 192 2048 H100:8:80 55.04
p5en.48xlarge 192 2048 H200:8:141 63.296
inf1.xlarge 4 8 Inferentia:1:8 0.228
inf1.2xlarge 8 16 Inferentia:1:8 0.362
inf1.6xlarge 24 48 Inferentia:4:8 1.18
inf1.24xlarge 96 192 Inferentia:16:8 4.721
inf2.xlarge 4 16 Inferentia2:1:32 0.7582
inf2.8xlarge 32 128 Inferentia2:1:32 1.96786
inf2.24xlarge 96 384 Inferentia2:6:32 6.49063
inf2.48xlarge 192 768 Inferentia2:12:32 12.98127
@us-east-west
g5g.xlarge 4 8 T4g:1:16 0.42
g5g.2xlarge 8 16 T4g:1:16 0.556
g5g.4xlarge 16 32 T4g:1:16 0.828
g5g.8xlarge 32 64 T4g:1:16 1.372
g5g.16xlarge 64 128 T4g:2:16 2.744
g5g.metal 64 128 T4g:2:16 2.744
p3dn.24xlarge 96 768 V100-32GB:8:32 31.212
p4de.24xlarge 96 1152 A100-80GB:8:80 27.447053
trn1.2xlarge 8 32 Trainium:1:32 1.34375
trn1.32xlarge 128 512 Trainium:16:32 21.5
trn1n.32xlarge 128 512 Trainium:16:32 24.78
dl1.24xlarge 96 768 Gaudi_HL-205:8:32 13.10904
vt1.3xlarge 12 24 U30:1:8 0.65
vt1.6xlarge 24 48 U30:2:8 1.3
vt1.24xlarge 96 192 U30:8:8 5.2
@us-east-1
f2.6xlarge 24 256 VU47P:1:16 1.98
f2.12xlarge 48 512 VU47P:2:16 3.96
f2.48xlarge 192 2048 VU47P:8:16 15.84
@us-west-2
dl2q.24xlarge 96 768 AI100:8:16 8.9194
p6-b200.48xlarge 192 2048 B200:8:179 113.9328
@blocks
p5e.48xlarge 192 2048 H200:8:141 0
p6e-gb200.36xlarge 144 960 GB200:4:185 0
trn2.48xlarge 192 2048 Trainium2:16:96 0
@eu-west-1
g4dn.xlarge 4 16 T4:1:16 0.587
g5.xlarge 4 16 A10G:1:24 1.123
p3.2xlarge 8 61 V100:1:16 3.305
p3.8xlarge 32 244 V100:4:16 13.22
p3.16xlarge 64 488 V100:8:16 26.44
@eu-central-1
g4dn.xlarge 4 16 T4:1:16 0.658
g5.xlarge 4 16 A10G:1:24 1.258
p3.2xlarge 8 61 V100:1:16 3.823
@ap-northeast-1
g4dn.xlarge 4 16 T4:1:16 0.71
g5.xlarge 4 16 A10G:1:24 1.459
p3.2xlarge 8 61 V100:1:16 4.194
`

func awsBook() book {
	b := book{cloud: "aws", date: "2025-07-01"}
	for l := range strings.Lines(awsFamilies) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for i, regions := range awsMain() {
			price := w[3+i]
			if price == "-" {
				continue
			}
			for _, size := range w[7:] {
				n := largesIn(size)
				f := fact{name: w[0] + "." + size, vcpus: 2 * n, memory: 2 * n * num(w[2]), arch: w[1], usd: num(price) * n}
				b.facts = append(b.facts, everywhere(f, regions)...)
			}
		}
	}
	devices := machines(awsDevices, map[string][]string{
		"us": awsMain()[0], "us-east-west": {"us-east-1", "us-west-2"}, "us-west-2": {"us-west-2"}, "us-east-1": {"us-east-1"},
		"blocks": {"us-east-2"}, "eu-west-1": {"eu-west-1"}, "eu-central-1": {"eu-central-1"}, "ap-northeast-1": {"ap-northeast-1"},
	})
	for i, f := range devices {
		if strings.HasPrefix(f.name, "g5g.") {
			devices[i].arch = "arm64"
		}
	}
	b.facts = append(b.facts, devices...)
	return b
}

// largesIn is how many times "large" a size is.
func largesIn(size string) float64 {
	switch n := strings.TrimSuffix(size, "xlarge"); {
	case size == "large":
		return 1
	case n == "":
		return 2
	default:
		return 2 * num(n)
	}
}
