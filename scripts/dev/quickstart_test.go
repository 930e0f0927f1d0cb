// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for _, tc := range []struct {
		out     string
		want    cli
		problem string
	}{
		{"Terraform v1.11.4\non linux_amd64\n", cli{"/x", "Terraform", "1.11.4", "registry.terraform.io"}, ""},
		{"OpenTofu v1.10.10\non linux_amd64\n", cli{"/x", "OpenTofu", "1.10.10", "registry.opentofu.org"}, ""},
		{"\nWarning: odd\n\nTerraform v1.8.0-rc1\n", cli{"/x", "Terraform", "1.8.0-rc1", "registry.terraform.io"}, ""},
		{"Terraform v2.0.0\n", cli{"/x", "Terraform", "2.0.0", "registry.terraform.io"}, ""},
		{"Terraform v1.7.5\n", cli{}, "Terraform 1.7.5 at /x is too old: 1.8 or newer is needed"},
		{"Terraform v0.14.11\n", cli{}, "is too old"},
		{"GNU Make 4.3\n", cli{}, "/x is neither Terraform nor OpenTofu"},
		{"", cli{}, "/x is neither Terraform nor OpenTofu"},
	} {
		got, err := parseVersion("/x", tc.out)
		if tc.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("parseVersion(%q): error %v, want one that says %q", tc.out, err, tc.problem)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("parseVersion(%q) = %+v, %v, want %+v", tc.out, got, err, tc.want)
		}
	}
}

func TestMissingCLIIsOneSentence(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, wanted := range []string{"", "tofu"} {
		_, err := findCLI(t.Context(), wanted, nil)
		if err == nil || !strings.Contains(err.Error(), "install Terraform or OpenTofu, 1.8 or newer") || strings.Contains(err.Error(), "\n") {
			t.Errorf("findCLI(%q) = %v, want one sentence of advice", wanted, err)
		}
	}
}

func TestEnvironmentIsTheRunsOwn(t *testing.T) {
	s := scratch{dir: "/scratch"}
	env := s.environ([]string{
		"PATH=/bin", "HOME=/home/x", "GOFLAGS=-mod=mod",
		"TF_LOG=TRACE", "TF_CLI_CONFIG_FILE=/home/x/.terraformrc", "TF_PLUGIN_CACHE_DIR=/cache", "TF_WORKSPACE=prod",
		"TF_VAR_name=x", "TF_CLI_ARGS=-lock=false", "TOFU_CPU_PROFILE=x", "SKY_STATE_DIR=/home/x/.sky",
		"FLUFFYCLOUD_ENDPOINT=http://127.0.0.1:1", "FLUFFYCLOUD_API_KEY=k", "CHECKPOINT_DISABLE=",
	})
	want := []string{
		"PATH=/bin", "HOME=/home/x", "GOFLAGS=-mod=mod",
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_CLI_CONFIG_FILE=/scratch/cli.tfrc", "TF_DATA_DIR=/scratch/data",
		"SKY_STATE_DIR=/scratch/sky", "SKY_CATALOG_OFFLINE=1",
	}
	if !slices.Equal(env, want) {
		t.Errorf("environ:\n%q, want\n%q", env, want)
	}
}

func TestScratchHoldsACleanCopyOfTheExample(t *testing.T) {
	temp := filepath.Join(t.TempDir(), `a folder with "quotes" and spaces`)
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	example := t.TempDir()
	for _, name := range []string{"main.tf", "work/data.txt", "terraform.tfstate", ".terraform/providers/x", ".terraform.lock.hcl", "my.auto.tfvars"} {
		write(t, filepath.Join(example, filepath.FromSlash(name)))
	}
	s, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	if err := copyExample(example, s.config()); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = filepath.WalkDir(s.config(), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			rel, _ := filepath.Rel(s.config(), path)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if want := []string{"main.tf", "work/data.txt"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the copy holds %q (%v), want %q", got, err, want)
	}
	rc, err := os.ReadFile(s.cliConfig())
	if err != nil || !strings.Contains(string(rc), strconv.Quote(s.mirror())) {
		t.Errorf("the CLI configuration is %q (%v), want it to name %s", rc, err, s.mirror())
	}
}

func TestParseAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		out     string
		want    answer
		problem string
	}{
		"right":   {`{"total":{"value":{"primes":9592,"sum":454396537,"twins":1224}}}`, known, ""},
		"wrong":   {`{"total":{"value":{"primes":4796,"sum":1,"twins":2}}}`, answer{4796, 1, 2}, ""},
		"none":    {`{}`, answer{}, "no output total"},
		"no JSON": {`Warning: no outputs`, answer{}, "reading the outputs"},
	} {
		got, err := parseAnswer([]byte(tc.out))
		if tc.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("%s: error %v, want one that says %q", name, err, tc.problem)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, tc.want)
		}
	}
}

// TestExampleData proves that the shipped file is what it says it is, and the
// known answer with it.
func TestExampleData(t *testing.T) {
	const limit = 100_000
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "quickstart", "work", "primes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	composite := make([]bool, limit+3)
	for i := 2; i < len(composite); i++ {
		for j := i * i; j < len(composite); j += i {
			composite[j] = true
		}
	}
	var want []string
	var got answer
	for p := 2; p < limit; p++ {
		if composite[p] {
			continue
		}
		want = append(want, strconv.Itoa(p))
		got.Primes++
		got.Sum += p
		if !composite[p+2] {
			got.Twins++
		}
	}
	if !slices.Equal(strings.Fields(string(data)), want) {
		t.Error("primes.txt is not the list of all primes below 100,000")
	}
	if got != known {
		t.Errorf("the known answer is %+v, want %+v", known, got)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFindCLISaysWhatIsWrong(t *testing.T) {
	for wanted, want := range map[string]string{
		t.TempDir(): "is no command that can be run",
		"nonesuch":  "is no command that can be run",
		"false":     "is neither Terraform nor OpenTofu: its version command failed",
	} {
		if _, err := findCLI(t.Context(), wanted, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", wanted, err, want)
		}
	}
}
