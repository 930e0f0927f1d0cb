// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// What no column says of a type is known by its name, as the clouds document it.
func TestTraitsByName(t *testing.T) {
	const old, burst, metal, promo = cloud.PreviousGeneration, cloud.Burstable, cloud.BareMetal, cloud.Promotional
	for _, tt := range []struct {
		cloud, name, arch string
		traits            cloud.Traits
	}{
		{"aws", "m6i.2xlarge", "x86_64", 0}, {"aws", "m7i-flex.large", "x86_64", 0}, {"aws", "t3.large", "x86_64", burst},
		{"aws", "t3a.large", "x86_64", burst}, {"aws", "t4g.2xlarge", "arm64", burst}, {"aws", "t2.micro", "x86_64", burst | old},
		{"aws", "trn1.2xlarge", "x86_64", 0}, {"aws", "m4.large", "x86_64", old}, {"aws", "m1.small", "x86_64", old}, {"aws", "a1.large", "arm64", old},
		{"aws", "c6gn.large", "arm64", 0}, {"aws", "im4gn.large", "arm64", 0}, {"aws", "is4gen.large", "arm64", 0}, {"aws", "x2gd.large", "arm64", 0},
		{"aws", "g5g.xlarge", "arm64", 0}, {"aws", "g4dn.xlarge", "x86_64", 0}, {"aws", "g5.xlarge", "x86_64", 0}, {"aws", "c5.metal", "x86_64", metal},
		{"aws", "c7i.metal-24xl", "x86_64", metal}, {"aws", "m6gd.metal", "arm64", metal}, {"aws", "p2.xlarge", "x86_64", old},
		{"aws", "p6e-gb200.36xlarge", "arm64", 0}, {"aws", "u-6tb1.56xlarge", "x86_64", 0}, {"aws", "hpc7g.4xlarge", "arm64", 0},
		{"gcp", "n2-standard-8", "x86_64", 0}, {"gcp", "e2-standard-8", "x86_64", 0}, {"gcp", "e2-micro", "x86_64", burst}, {"gcp", "e2-medium", "x86_64", burst},
		{"gcp", "t2a-standard-4", "arm64", 0}, {"gcp", "t2d-standard-4", "x86_64", 0}, {"gcp", "c4a-standard-8", "arm64", 0}, {"gcp", "c3-standard-192-metal", "x86_64", metal},
		{"gcp", "g1-small", "x86_64", burst | old}, {"gcp", "g2-standard-4", "x86_64", 0},
		{"azure", "Standard_B4ms", "x86_64", burst}, {"azure", "Standard_D8s_v5", "x86_64", 0}, {"azure", "Standard_D8ps_v5", "arm64", 0},
		{"azure", "Standard_E4pds_v5", "arm64", 0}, {"azure", "Standard_B2pts_v2", "arm64", burst}, {"azure", "Standard_D2_v2_Promo", "x86_64", promo},
		{"azure", "Standard_NC6_Promo", "x86_64", promo}, {"azure", "Standard_D4", "x86_64", old}, {"azure", "Standard_DS13", "x86_64", old},
		{"azure", "Standard_D4_v3", "x86_64", 0}, {"azure", "Standard_NC6s_v3", "x86_64", 0}, {"azure", "Standard_DC8s", "x86_64", 0},
		{"oci", "VM.Standard.A1.Flex$_4_16", "arm64", 0}, {"oci", "BM.GPU.H100.8", "x86_64", metal}, {"oci", "VM.Standard.E4.Flex$_4_16", "x86_64", 0},
		{"lambda", "gpu_1x_gh200", "arm64", 0}, {"lambda", "gpu_8x_h100_sxm5", "x86_64", 0},
	} {
		m := cloud.InstanceType{Name: tt.name}
		about.Of(tt.cloud).Describe(&m)
		if m.Arch != tt.arch || m.Traits != tt.traits {
			t.Errorf("%s of %s is %s with the traits %b, want %s with %b", tt.name, tt.cloud, m.Arch, m.Traits, tt.arch, tt.traits)
		}
	}
	known := cloud.InstanceType{Name: "m6i.large", Arch: "arm64"}
	if about.Of("aws").Describe(&known); known.Arch != "arm64" {
		t.Error("what the catalog says gives way to the name")
	}
}

// Devices that are bought apart go on hosts as large as Compute Engine allows there.
func TestHostsByZone(t *testing.T) {
	var b strings.Builder
	b.WriteString("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n")
	for _, zone := range []string{"us-east1-b", "us-east1-c", "us-east1-d"} {
		for _, host := range []string{"n1-standard-32,,,32,120", "n1-highmem-32,,,32,208", "n1-highmem-64,,,64,416", "n1-standard-96,,,96,360"} {
			fmt.Fprintf(&b, "%s,,1,,us-east1,%s\n", host, zone)
		}
		fmt.Fprintf(&b, ",P100,4,,,,1,,us-east1,%s\n,K80,8,,,,1,,us-east1,%s\n", zone, zone)
	}
	rows, _, err := Parse("vms.csv", "gcp", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string][]string{}
	for _, w := range rows.Lines {
		if m := rows.Types[w.Type]; m.Accelerator.Name != "" {
			key := rows.Places[w.Place].Zone + " " + m.Accelerator.Name
			if hosts[key] = append(hosts[key], m.Name); m.Traits != cloud.DevicesApart {
				t.Errorf("%s has the traits %b", m.Name, m.Traits)
			}
		}
	}
	small := []string{"n1-highmem-32", "n1-standard-32"}
	for key, want := range map[string][]string{
		"us-east1-b P100": {"n1-highmem-32", "n1-highmem-64", "n1-standard-32", "n1-standard-96"}, "us-east1-c P100": small,
		"us-east1-d P100": {"n1-highmem-32", "n1-highmem-64", "n1-standard-32", "n1-standard-96"},
		"us-east1-b K80":  small, "us-east1-c K80": small, "us-east1-d K80": {"n1-highmem-32", "n1-highmem-64", "n1-standard-32"},
	} {
		slices.Sort(hosts[key])
		if !slices.Equal(hosts[key], want) {
			t.Errorf("%s goes on %v, want %v", key, hosts[key], want)
		}
	}
}
