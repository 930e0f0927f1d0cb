// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkPlan times "terraform plan" with 1, 100 and 1000 sky_catalog_offer,
// by the real CLI and the real provider, and the same with a provider whose data
// source returns a constant of the same size. The two take turns; what counts
// are the ratios. TF_ACC_TERRAFORM_PATH names another CLI.
func BenchmarkPlan(b *testing.B) {
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if cli == "" {
		cli = "terraform"
	}
	cli, err := exec.LookPath(cli)
	if err != nil {
		b.Fatalf("there is no Terraform or OpenTofu to run: %v; put terraform on PATH", err)
	}
	dir := b.TempDir()
	providers := map[string]string{
		"sky":      buildProvider(b, filepath.Join(dir, "sky"), "../.."),
		"constant": buildProvider(b, filepath.Join(dir, "constant"), "./testdata/constant"),
	}
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rounds := map[int]int{1: 15, 100: 9, 1000: 5}[n]
			spent := map[string][]time.Duration{}
			for round := range rounds + 1 {
				for _, name := range []string{"constant", "sky"} {
					took := planOffers(b, cli, providers[name], filepath.Join(dir, fmt.Sprintf("%s-%d", name, n)), n)
					if round > 0 { // the first writes snapshots
						spent[name] = append(spent[name], took)
					}
				}
			}
			for b.Loop() {
			}
			b.ReportMetric(0, "ns/op")
			for name, all := range spent {
				slices.Sort(all)
				b.Logf("%-8s median %v, least %v", name, all[len(all)/2].Round(time.Millisecond), all[0].Round(time.Millisecond))
			}
			middle := func(name string) float64 { return float64(spent[name][len(spent[name])/2]) }
			b.ReportMetric(middle("sky")/middle("constant"), "sky/constant")
			b.ReportMetric(float64(spent["sky"][0])/float64(spent["constant"][0]), "sky/constant-least")
		})
	}
}

// buildProvider builds a provider and returns a CLI configuration that uses it.
func buildProvider(b *testing.B, dir, pkg string) string {
	b.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "terraform-provider-sky"), pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	config := filepath.Join(dir, "cli.tfrc")
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"skybroker/sky\" = %q\n  }\n  direct {}\n}\n", dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return config
}

// planOffers plans n data sources and returns how long that took.
func planOffers(b *testing.B, cli, config, dir string, n int) time.Duration {
	b.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	text := fmt.Sprintf(`terraform {
  required_providers { sky = { source = "skybroker/sky" } }
}
provider "sky" {
  state_dir = %q
  catalog   = { offline = true }
}
data "sky_catalog_offer" "o" {
  count = %d
  cpus  = "${1 + count.index %% 16}+"
  limit = 5
}
`, filepath.Join(dir, "sky"), n)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(cli, "plan", "-no-color", "-input=false")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil || !bytes.Contains(out.Bytes(), []byte("No changes")) {
		b.Fatalf("plan: %v\n%s", err, out.String())
	}
	return took
}
