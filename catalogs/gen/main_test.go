// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCatalogsAreWhatTheTablesSay(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("catalogs/%s is not what the tables say; run go run ./catalogs/gen", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every accelerator that the clouds sell at a list price is offered.
func TestAcceleratorsOffered(t *testing.T) {
	want := map[string]string{
		"aws": `T4 A10G L4 L40S V100 V100-32GB A100 A100-80GB H100 H200 B200 B300 RTXPRO6000 RTXPRO4500 T4g
			Inferentia Inferentia2 Trainium AI100 U30 VU47P`,
		"gcp":    "T4 V100 P100 P4 L4 A100 A100-80GB H100 H100-MEGA H200 B200 RTXPRO6000",
		"lambda": "A10 A6000 A100 A100-80GB V100 H100 B200 GH200 RTX6000",
		"runpod": `B300 B200 H200-SXM NVIDIA-H200-NVL H100 H100-SXM H100-NVL A100-80GB A100-80GB-SXM MI300X L40S L40 A40 L4
			RTXPRO6000 RTXPRO6000-WK RTXPRO4500 RTX5090 RTX4090 RTX3090`,
		"oci": "P100 V100 A10 L40S A100 A100-80GB H100 H200 B200 B300 GB200 GB300 MI300X MI355X RTXPRO6000",
		"ibm": "V100",
	}
	for _, b := range books() {
		offered := map[string]bool{}
		for _, f := range b.facts {
			offered[f.device] = offered[f.device] || f.usd > 0 || f.spot > 0
		}
		for _, name := range strings.Fields(want[b.cloud]) {
			if !offered[name] {
				t.Errorf("%s offers no %s", b.cloud, name)
			}
		}
		if b.cloud != "lambda" && b.cloud != "runpod" && !offered[""] {
			t.Errorf("%s offers no machine without accelerators", b.cloud)
		}
	}
}

// What is named without a price is explained: no reader has to guess whether a
// figure was forgotten.
func TestUnpricedAreExplained(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range books() {
		priced := map[string]bool{}
		for _, f := range b.facts {
			if !(f.usd >= 0 && f.spot >= 0 && f.usd < 1e4 && (f.usd == 0 || f.spot <= f.usd)) {
				t.Errorf("%s: %s in %s costs %v, as a spot machine %v", b.cloud, f.name, f.region, f.usd, f.spot)
			}
			priced[f.name] = priced[f.name] || f.usd > 0 || f.spot > 0
		}
		for name, ok := range priced {
			family, _, _ := strings.Cut(name, "-")
			if !ok && !bytes.Contains(readme, []byte("`"+name+"`")) && !bytes.Contains(readme, []byte("`"+family+"-*`")) {
				t.Errorf("%s: README.md does not say why %s has no price", b.cloud, name)
			}
		}
	}
}

// Nobody asks for one machine in one place at two prices.
func TestOneRowAPlace(t *testing.T) {
	for _, b := range books() {
		seen := map[string]bool{}
		for _, f := range b.facts {
			key := fmt.Sprint(f.name, "|", f.device, f.count, "|", f.region, "|", f.zone)
			if seen[key] {
				t.Errorf("%s: two rows for %s", b.cloud, key)
			}
			seen[key] = true
		}
	}
}

// Not every cloud's zones have a dash.
func TestInRegions(t *testing.T) {
	got := inRegions([]string{"us-east1-b", "nyc3", "-x"})
	if want := []string{"us-east1/us-east1-b", "nyc3/nyc3", "-x/-x"}; !slices.Equal(got, want) {
		t.Errorf("inRegions = %v, want %v", got, want)
	}
}
