// SPDX-License-Identifier: MPL-2.0

package main

import (
	"math"
	"slices"
	"strings"
)

// awsFamilies are general-purpose families: GiB for each vCPU, the price of
// "large" (2 vCPUs) in the United States' three main regions, which have one
// price, and the sizes. Sizes of a family cost in proportion.
const awsFamilies = `
m5 x86_64 4 0.096 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
m6i x86_64 4 0.096 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge
c6i x86_64 2 0.085 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge
r6i x86_64 8 0.126 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge
m6g arm64 4 0.077 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
c6g arm64 2 0.068 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
r6g arm64 8 0.1008 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m7i x86_64 4 0.1008 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
c7i x86_64 2 0.08925 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
r7i x86_64 8 0.1323 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
m7i-flex x86_64 4 0.09576 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
c7i-flex x86_64 2 0.08479 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m7g arm64 4 0.0816 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m5a x86_64 4 0.086 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
c5 x86_64 2 0.085 large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge
r5 x86_64 8 0.126 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge
m6a x86_64 4 0.0864 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c6a x86_64 2 0.0765 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
r6a x86_64 8 0.1134 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
m7a x86_64 4 0.11592 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c7a x86_64 2 0.10264 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
r7a x86_64 8 0.15215 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c7g arm64 2 0.0725 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
r7g arm64 8 0.1071 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge
m8g arm64 4 0.08976 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
c8g arm64 2 0.07976 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
r8g arm64 8 0.11782 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
t3 x86_64 4 0.0832 large xlarge 2xlarge
t4g arm64 4 0.0672 large xlarge 2xlarge
`

// awsNewest are families whose price was seen in us-east-1 only.
const awsNewest = `
m8i x86_64 4 0.10584 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
c8i x86_64 2 0.09371 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
r8i x86_64 8 0.13892 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge
m8a x86_64 4 0.12172 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
c8a x86_64 2 0.10777 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
r8a x86_64 8 0.15976 large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge
`

// awsElsewhere are prices outside of the main regions of the United States. A
// line is for one type; with a star it is for its whole family, whose types cost
// as much more there as this one does, but for those with a line of their own.
const awsElsewhere = `
m5.large* us-west-1=0.112 ca-central-1=0.107 eu-west-1=0.107 eu-west-2=0.111 eu-west-3=0.112 eu-central-1=0.115 eu-north-1=0.102 ap-northeast-1=0.124 ap-northeast-2=0.118 ap-south-1=0.101 ap-southeast-1=0.12 ap-southeast-2=0.12 sa-east-1=0.153
m6i.large* us-west-1=0.112 ca-central-1=0.107 eu-west-1=0.107 eu-west-2=0.111 eu-west-3=0.112 eu-central-1=0.115 eu-north-1=0.102 ap-northeast-1=0.124 ap-northeast-2=0.118 ap-south-1=0.101 ap-southeast-1=0.12 ap-southeast-2=0.12 sa-east-1=0.153
c5.large* us-west-1=0.106 ca-central-1=0.093 eu-west-1=0.096 eu-west-2=0.101 eu-west-3=0.101 eu-central-1=0.097 eu-north-1=0.091 ap-northeast-1=0.107 ap-northeast-2=0.096 ap-south-1=0.085 ap-southeast-1=0.098 ap-southeast-2=0.111 sa-east-1=0.131
c6i.large* us-west-1=0.106 ca-central-1=0.093 eu-west-1=0.0912 eu-west-2=0.101 eu-west-3=0.101 eu-central-1=0.097 eu-north-1=0.091 ap-northeast-1=0.107 ap-northeast-2=0.096 ap-south-1=0.085 ap-southeast-1=0.098 ap-southeast-2=0.111 sa-east-1=0.131
r5.large* us-west-1=0.14 ca-central-1=0.138 eu-west-1=0.141 eu-west-2=0.148 eu-west-3=0.148 eu-central-1=0.152 eu-north-1=0.134 ap-northeast-1=0.152 ap-northeast-2=0.152 ap-south-1=0.13 ap-southeast-1=0.152 ap-southeast-2=0.151 sa-east-1=0.201
r6i.large* us-west-1=0.14 ca-central-1=0.138 eu-west-1=0.141 eu-west-2=0.148 eu-west-3=0.148 eu-central-1=0.152 eu-north-1=0.134 ap-northeast-1=0.152 ap-northeast-2=0.152 ap-south-1=0.13 ap-southeast-1=0.152 ap-southeast-2=0.151 sa-east-1=0.201
m7i.large* us-west-1=0.1176 ca-central-1=0.11235 eu-west-1=0.11235 eu-west-2=0.11655 eu-central-1=0.12075 eu-north-1=0.1071 ap-northeast-1=0.1302 ap-northeast-2=0.1239 ap-south-1=0.10605 ap-southeast-1=0.126 ap-southeast-2=0.126
t3.large* us-west-1=0.0992 ca-central-1=0.0928 eu-west-1=0.0912 eu-west-2=0.0944 eu-west-3=0.0944 eu-central-1=0.096 eu-north-1=0.0864 ap-northeast-1=0.1088 ap-northeast-2=0.104 ap-south-1=0.0896 ap-southeast-1=0.1056 ap-southeast-2=0.1056 sa-east-1=0.1344
t4g.large* us-west-1=0.08 ca-central-1=0.0736 eu-west-1=0.0736 eu-west-2=0.0752 eu-west-3=0.0752 eu-central-1=0.0768 eu-north-1=0.0688 ap-northeast-1=0.0864 ap-northeast-2=0.0832 ap-south-1=0.0448 ap-southeast-1=0.0848 ap-southeast-2=0.0848
m6g.large* eu-west-1=0.086 eu-central-1=0.092 ap-northeast-1=0.099
c6g.large* eu-west-1=0.073 eu-central-1=0.0776 ap-northeast-1=0.0856
r6g.large* eu-west-1=0.1128 eu-central-1=0.1216 ap-northeast-1=0.1216
m5a.large* eu-west-1=0.096 eu-central-1=0.104 ap-northeast-1=0.112
m6a.large* eu-west-1=0.0963 eu-central-1=0.1035
c6a.large* eu-west-1=0.08208 eu-central-1=0.0873
g4dn.8xlarge* us-west-1=2.611 ca-central-1=2.416 eu-west-1=2.426 eu-west-2=2.546 eu-west-3=2.544 eu-central-1=2.72 eu-north-1=2.308 ap-northeast-1=2.938 ap-northeast-2=2.677 ap-south-1=2.395 ap-southeast-1=3.045 ap-southeast-2=2.83
g4dn.xlarge us-west-1=0.631 ca-central-1=0.584 eu-west-1=0.587 eu-west-2=0.615 eu-west-3=0.615 eu-central-1=0.658 eu-north-1=0.558 ap-northeast-1=0.71 ap-northeast-2=0.647 ap-south-1=0.579 ap-southeast-1=0.736 ap-southeast-2=0.684
g5.8xlarge* ca-central-1=2.71811 eu-west-1=2.73271 eu-west-2=3.10745 eu-central-1=3.06122 eu-north-1=2.59644 ap-northeast-1=3.55033 ap-northeast-2=3.01012 ap-south-1=2.93955 ap-southeast-2=3.18289
g5.xlarge ca-central-1=1.117 eu-west-1=1.123 eu-west-2=1.277 eu-central-1=1.258 eu-north-1=1.067 ap-northeast-1=1.459 ap-northeast-2=1.237 ap-south-1=1.208 ap-southeast-2=1.308
g5g.metal* eu-central-1=3.4326 ap-northeast-1=3.7039 ap-northeast-2=3.3752 ap-southeast-1=3.8395
g6.12xlarge* ca-central-1=5.10933 eu-west-2=5.8412 eu-west-3=5.8412 eu-central-1=5.75429 eu-north-1=4.88062 ap-northeast-1=6.67369 ap-northeast-2=5.65823 ap-south-1=5.52558 ap-southeast-2=5.98299
g6e.48xlarge* eu-central-1=37.67612 eu-north-1=31.96075 ap-northeast-1=43.69912 ap-northeast-2=37.04468
p3.2xlarge* ca-central-1=3.366 eu-west-1=3.305 eu-west-2=3.589 eu-central-1=3.823 ap-northeast-1=4.194 ap-northeast-2=4.234 ap-southeast-1=4.234 ap-southeast-2=4.234
p3dn.24xlarge eu-west-1=33.711 ap-northeast-1=42.783
p4d.24xlarge ca-central-1=25.25174 eu-west-1=23.71569 eu-central-1=27.43298 ap-northeast-1=30.09784 ap-northeast-2=30.41028 ap-south-1=26.3444 ap-southeast-2=28.54493
p4de.24xlarge eu-central-1=34.29122 ap-northeast-1=37.6223 ap-southeast-1=32.93646
p5.48xlarge us-west-1=68.8 ca-central-1=63.296 eu-west-2=71.552 eu-north-1=58.8928 ap-northeast-1=68.8 ap-south-1=66.048 ap-southeast-2=71.552
p5.4xlarge eu-west-2=8.944 ap-northeast-1=8.6 ap-south-1=8.256 ap-southeast-2=8.944
p5en.48xlarge us-west-1=79.12 eu-north-1=67.72672 ap-northeast-1=79.12 ap-northeast-2=87.34848 ap-south-1=75.9552
inf1.6xlarge* ca-central-1=1.315 eu-west-1=1.315 eu-west-2=1.382 eu-central-1=1.475 eu-north-1=1.254 ap-northeast-1=1.594 ap-northeast-2=1.453 ap-south-1=1.241 ap-southeast-1=1.594 ap-southeast-2=1.475
inf2.48xlarge* eu-west-1=16.22658 eu-west-2=19.4719 eu-central-1=19.4719 eu-north-1=14.27939 ap-northeast-1=19.4719 ap-south-1=16.87565 ap-southeast-1=18.17377 ap-southeast-2=16.87565
vt1.24xlarge* eu-west-1=5.87294 ap-northeast-1=6.54588
`

// awsDevices are the machines with accelerators, in the United States. P4 and P5
// have the prices since June 2025. What AWS sells in capacity blocks only or sells
// no more is named without one, and so is what no price was seen of.
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
g4ad.xlarge 4 16 Radeon_Pro_V520:1:8 0.37853
g4ad.2xlarge 8 32 Radeon_Pro_V520:1:8 0.54117
g4ad.4xlarge 16 64 Radeon_Pro_V520:1:8 0.867
g4ad.8xlarge 32 128 Radeon_Pro_V520:2:8 1.734
g4ad.16xlarge 64 256 Radeon_Pro_V520:4:8 3.468
p3.2xlarge 8 61 V100:1:16 3.06
p3.8xlarge 32 244 V100:4:16 12.24
p3.16xlarge 64 488 V100:8:16 24.48
p4d.24xlarge 96 1152 A100:8:40 21.957642
p5.4xlarge 16 256 H100:1:80 6.88
p5.48xlarge 192 2048 H100:8:80 55.04
p5en.48xlarge 192 2048 H200:8:141 63.296
p6-b200.48xlarge 192 2048 B200:8:179 113.9328
g7e.2xlarge 8 64 RTXPRO6000:1:96 3.36312
g7e.4xlarge 16 128 RTXPRO6000:1:96 3.99816
g7e.8xlarge 32 256 RTXPRO6000:1:96 5.26824
g7e.12xlarge 48 512 RTXPRO6000:2:96 8.28608
g7e.24xlarge 96 1024 RTXPRO6000:4:96 16.57216
g7e.48xlarge 192 2048 RTXPRO6000:8:96 33.14432
inf1.xlarge 4 8 Inferentia:1:8 0.228
inf1.2xlarge 8 16 Inferentia:1:8 0.362
inf1.6xlarge 24 48 Inferentia:4:8 1.18
inf1.24xlarge 96 192 Inferentia:16:8 4.721
inf2.xlarge 4 16 Inferentia2:1:32 0.7582
inf2.8xlarge 32 128 Inferentia2:1:32 1.96786
inf2.24xlarge 96 384 Inferentia2:6:32 6.49063
inf2.48xlarge 192 768 Inferentia2:12:32 12.98127
trn1.2xlarge 8 32 Trainium:1:32 1.34375
trn1.32xlarge 128 512 Trainium:16:32 21.5
trn1n.32xlarge 128 512 Trainium:16:32 24.78
@us-east-west
g5g.xlarge 4 8 T4g:1:16 0.42
g5g.2xlarge 8 16 T4g:1:16 0.556
g5g.4xlarge 16 32 T4g:1:16 0.828
g5g.8xlarge 32 64 T4g:1:16 1.372
g5g.16xlarge 64 128 T4g:2:16 2.744
g5g.metal 64 128 T4g:2:16 2.744
p3dn.24xlarge 96 768 V100-32GB:8:32 31.212
p4de.24xlarge 96 1152 A100-80GB:8:80 27.447053
dl1.24xlarge 96 768 Gaudi_HL-205:8:32 13.10904
vt1.3xlarge 12 24 U30:1:8 0.65
vt1.6xlarge 24 48 U30:2:8 1.3
vt1.24xlarge 96 192 U30:8:8 5.2
@us-east-1
g6f.large 2 8 L4:0.125:3 0.202
g6f.xlarge 4 16 L4:0.125:3 0.2375
g6f.2xlarge 8 32 L4:0.25:6 0.475
g6f.4xlarge 16 64 L4:0.5:12 0.95
gr6f.4xlarge 16 128 L4:0.5:12 1.066
g7.2xlarge 8 32 RTXPRO4500:1:32 2.52
g7.4xlarge 16 64 RTXPRO4500:1:32 0
g7.8xlarge 32 128 RTXPRO4500:1:32 0
g7.12xlarge 48 192 RTXPRO4500:2:32 0
g7.24xlarge 96 384 RTXPRO4500:4:32 0
g7.48xlarge 192 768 RTXPRO4500:8:32 0
p6-b300.48xlarge 192 4096 B300:8:268 142.416
f2.6xlarge 24 256 VU47P:1:16 1.98
f2.12xlarge 48 512 VU47P:2:16 3.96
f2.48xlarge 192 2048 VU47P:8:16 15.84
@us-west-2
dl2q.24xlarge 96 768 AI100:8:16 8.9194
@withdrawn
g3s.xlarge 4 30.5 M60:1:8 0
g3.4xlarge 16 122 M60:1:8 0
g3.8xlarge 32 244 M60:2:8 0
g3.16xlarge 64 488 M60:4:8 0
@blocks
p5e.48xlarge 192 2048 H200:8:141 0
p6e-gb200.36xlarge 144 960 GB200:4:185 0
trn2.3xlarge 12 128 Trainium2:1:96 0
trn2.48xlarge 192 2048 Trainium2:16:96 0
trn2u.48xlarge 192 2048 Trainium2:16:96 0
`

func awsBook() book {
	us := []string{"us-east-1", "us-east-2", "us-west-2"}
	b := book{cloud: "aws"}
	b.facts = append(awsGeneral(awsFamilies, us), awsGeneral(awsNewest, us[:1])...)
	devices := machines(awsDevices, map[string][]string{
		"us": us, "us-east-west": {"us-east-1", "us-west-2"}, "us-west-2": {"us-west-2"}, "us-east-1": {"us-east-1"},
		"withdrawn": {"us-east-1"}, "blocks": {"us-east-2"},
	})
	for i, f := range devices {
		if strings.HasPrefix(f.name, "g5g.") {
			devices[i].arch = "arm64"
		}
	}
	b.facts = append(b.facts, devices...)
	b.facts = append(b.facts, awsAbroad(b.facts, awsElsewhere)...)
	return b
}

// awsGeneral reads a table of families.
func awsGeneral(table string, regions []string) []fact {
	var out []fact
	for l := range strings.Lines(table) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		for _, size := range w[4:] {
			n := largesIn(size)
			f := fact{name: w[0] + "." + size, vcpus: 2 * n, memory: 2 * n * num(w[2]), arch: w[1], usd: num(w[3]) * n}
			out = append(out, everywhere(f, regions)...)
		}
	}
	return out
}

// awsAbroad prices the machines of the United States elsewhere, as the table says.
func awsAbroad(home []fact, table string) []fact {
	types, own := make(map[string]fact), make(map[string]bool)
	var names []string
	for _, f := range home {
		if _, ok := types[f.name]; !ok {
			types[f.name] = f
			names = append(names, f.name)
		}
	}
	lines := slices.DeleteFunc(strings.Split(table, "\n"), func(l string) bool { return l == "" })
	for _, l := range lines {
		own[strings.Fields(l)[0]] = true
	}
	var out []fact
	for _, l := range lines {
		w := strings.Fields(l)
		anchor, family := strings.CutSuffix(w[0], "*")
		of := []string{anchor}
		if family {
			prefix := anchor[:strings.IndexByte(anchor, '.')+1]
			of = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, prefix) || own[n] })
		}
		for _, place := range w[1:] {
			region, price, _ := strings.Cut(place, "=")
			dearer := num(price) / priced(types[anchor], anchor)
			for _, n := range of {
				f := types[n]
				f.region, f.usd = region, math.Round(f.usd*dearer*1e5)/1e5
				out = append(out, f)
			}
		}
	}
	return out
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
