// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func resolveWorld(t *testing.T) *Set {
	t.Helper()
	dir := t.TempDir()
	row := func(name, acc, memory, price, spot string) string {
		info := ""
		if memory != "" {
			info = `"{'Gpus': [{'MemoryInfo': {'SizeInMiB': ` + memory + `}}]}"`
		}
		return fmt.Sprintf("%s,%s,8,32,%s,%s,%s,r0,\n", name, acc, info, price, spot)
	}
	write(t, filepath.Join(dir, "aws", "vms.csv"), v5Header+row("g1.x", "Radeon Pro V520,1", "8192", "1", "")+row("g2.x", "A100,1", "40960", "2", "1")+
		row("g3.x", "A100-80GB,1", "81559", "3", "")+row("g5g.x", "T4G,1", "16384", "1", "")+row("p.x", "A100-80GB,8", "81920", "9", "")+
		row("g4.x", "RTX A4000,1", "16384", "1", "")+row("g6.x", "RTX A5000,1", "24576", "1", "")+row("m5.x", ",", "", "1", ""))
	write(t, filepath.Join(dir, "aws", "images.csv"), "Tag,Region,OS,OSVersion,ImageId,CreationDate,Arch\n"+
		"skypilot:arm,r0,ubuntu,24.04,ami-arm,2026,arm64\nskypilot:both,r0,ubuntu,24.04,ami-1,2026,arm64\nskypilot:both,r0,ubuntu,24.04,ami-2,2026,x86_64\n")
	write(t, filepath.Join(dir, "gcp", "vms.csv"), v5Header+"a3-megagpu-8g,,,208,1872,,10,,us,us-a\n,H100-MEGA,8,,,\"{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]}\",10,,us,us-a\n")
	set, err := Open(Options{Path: dir, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestResolve(t *testing.T) {
	set := resolveWorld(t)
	for _, tt := range []struct{ accelerator, image, want, arch string }{
		{accelerator: "a100:1", want: "a100:1"},
		{accelerator: "V520", want: "Radeon Pro V520:1"},
		{accelerator: "A10", want: "A10:1"},               // no word of A100
		{accelerator: "RTX", want: "RTX:1"},               // not unique
		{accelerator: "A4000", want: "RTX A4000:1"},       // unique
		{accelerator: "A100-40GB", want: "A100:1"},        // the memory says which
		{accelerator: "A100-80GB:8", want: "A100-80GB:8"}, // a name of its own
		{accelerator: "H100-MEGA-80GB:8", want: "H100-MEGA:8"},
		{accelerator: "H100-MEGA-40GB:8", want: "H100-MEGA-40GB:8"},
		{accelerator: "80GB+", want: "A100-80GB:1"}, // a driver leaves 79.6 GiB of it
		{accelerator: "80GB+:8", want: "A100-80GB:8 H100-MEGA:8"},
		{accelerator: "24GB", want: "RTX A5000:1"},
		{accelerator: "16gb+", want: "A100-80GB:1 A100:1 RTX A4000:1 RTX A5000:1 T4G:1", arch: "any"},
		{accelerator: "500GB+", want: "500GB+:1"},
		{accelerator: "T4G", want: "T4G:1", arch: "any"},
		{image: "skypilot:arm", arch: "arm64"},
		{image: "ami-arm", arch: "arm64"},
		{image: "ami-2", arch: "x86_64"},
		{image: "skypilot:both"},
		{image: "ami-unknown"},
	} {
		r := cloud.Requirement{Image: tt.image}
		if tt.accelerator != "" {
			r.Accelerators, _ = cloud.ParseAccelerators(tt.accelerator)
		}
		got, err := set.Resolve(t.Context(), []cloud.Requirement{r}, []string{"aws", "gcp"})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, a := range got[0].Accelerators {
			names = append(names, a.String())
		}
		if strings.Join(names, " ") != tt.want || got[0].Arch != tt.arch {
			t.Errorf("%q%q is %v of %q, want %q of %q", tt.accelerator, tt.image, names, got[0].Arch, tt.want, tt.arch)
		}
	}
}

// A cloud that sells what fits, and whose catalog has no spot price of it, is named.
func TestUnpriced(t *testing.T) {
	set := resolveWorld(t)
	spot := []cloud.Market{cloud.Spot}
	for name, tt := range map[string]struct {
		r    cloud.Requirement
		want int
	}{
		"on demand":            {cloud.Requirement{}, 0},
		"spot without devices": {cloud.Requirement{Markets: spot, MaxHourlyUSD: 0.1}, 1},
		"spot with a device":   {cloud.Requirement{Markets: spot, Accelerators: []cloud.Accelerator{{Name: "A100", Count: 1}}}, 0},
		"device without spot":  {cloud.Requirement{Markets: spot, Accelerators: []cloud.Accelerator{{Name: "T4G", Count: 1}}}, 1},
		"sold by nobody":       {cloud.Requirement{Markets: spot, CPUs: cloud.Quantity{Value: 999}}, 0},
		"another cloud":        {cloud.Requirement{Markets: spot, Cloud: "gcp"}, 0},
	} {
		got, err := set.Unpriced(t.Context(), []cloud.Requirement{tt.r}, []string{"aws"})
		if err != nil || len(got) != tt.want || tt.want > 0 && !strings.Contains(got[0], "aws: its catalog has no spot price") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// A part of a name is looked for on the clouds that a requirement is for.
func TestResolveOnTheCloudThatIsNamed(t *testing.T) {
	set := resolveWorld(t)
	for cloudName, want := range map[string]string{"aws": "Radeon Pro V520:1", "gcp": "V520:1"} {
		r := cloud.Requirement{Cloud: cloudName, Accelerators: []cloud.Accelerator{{Name: "V520", Count: 1}}}
		got, err := set.Resolve(t.Context(), []cloud.Requirement{r, {Cloud: "aws"}}, []string{"aws", "gcp"})
		if err != nil || got[0].Accelerators[0].String() != want {
			t.Errorf("V520 of %s is %v, %v; want %s", cloudName, got, err, want)
		}
	}
}

func TestRegions(t *testing.T) {
	got, err := resolveWorld(t).Regions(t.Context(), []string{"aws", "gcp", "nimbus"})
	if want := []string{"r0", "us"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("regions %v, %v; want %v", got, err, want)
	}
}
