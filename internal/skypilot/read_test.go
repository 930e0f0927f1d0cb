// SPDX-License-Identifier: MPL-2.0

package skypilot_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// Resources are read as SkyPilot reads them.
func TestReadsResources(t *testing.T) {
	for text, want := range map[string]skypilot.Machine{
		"disk_tier: best":         {},
		"disk_tier: High":         {"disk_tier": "high"},
		"disk_size: 256":          {"disk_size": int64(256)},
		"disk_size: 256GB":        {"disk_size": int64(256)},
		"disk_size: 2tb":          {"disk_size": int64(2048)},
		"disk_size: 1048576Mi":    {"disk_size": int64(1024)},
		"disk_size: 1073741824b":  {"disk_size": int64(1)},
		"memory: 64GB+":           {"memory": "64+"},
		"memory: 512MB":           {"memory": "0.5"},
		"memory: 8x":              {"memory": "8x"},
		"use_spot: yes":           {"use_spot": true},
		"use_spot: Off":           {"use_spot": false},
		"\ufeffuse_spot: true":    {"use_spot": true},
		"accelerators: 16GB+":     {"accelerators": "16GB+"},
		"accelerators: 80GB:8":    {"accelerators": "80GB:8"},
		"accelerators: {A100:8}":  {"accelerators": "A100:8"},
		"accelerators: {A100: 8}": {"accelerators": "A100:8"},
	} {
		r, err := skypilot.ParseResources(text)
		if err != nil || !maps.Equal(r.Machine, want) {
			t.Errorf("%q = %v, %v, want %v", text, r.Machine, err, want)
		}
	}
}

// Without a space after the colon, a set of one device in several counts.
func TestReadsCompactAccelerators(t *testing.T) {
	for text, want := range map[string]string{
		"accelerators: {A100:4, A100:8}":                     "A100:4 A100:8",
		"accelerators: {H100:8, L4, 'T4:1', V100: 2}":        "H100:8 L4 T4:1 V100:2",
		"# ü\naccelerators:\r\n  {A100:4,\r\n   A100:8}\r\n": "A100:4 A100:8",
	} {
		r, err := skypilot.ParseResources(text)
		if err != nil || strings.Join(r.Several.Names, " ") != want || r.Several.Ordered {
			t.Errorf("%q = %+v, %v, want %q", text, r.Several, err, want)
		}
	}
	r, err := skypilot.ParseResources("any_of: [{accelerators: {A100:4, A100:8}, disk_tier: best}]")
	if err != nil || len(r.AnyOf) != 2 || r.AnyOf[1]["accelerators"] != "A100:8" || r.AnyOf[1]["disk_tier"] != nil {
		t.Errorf("within any_of: %v, %v", r.AnyOf, err)
	}
}

func TestReadsPorts(t *testing.T) {
	for text, want := range map[string][]string{
		`ports: "8080,9000"`:           {"8080", "9000"},
		`ports: 8080`:                  {"8080"},
		`ports: ["80, 81", 9000-9010]`: {"80", "81", "9000-9010"},
	} {
		r, err := skypilot.ParseResources(text)
		if err != nil || !slices.Equal(r.Ports, want) {
			t.Errorf("%s = %q, %v, want %q", text, r.Ports, err, want)
		}
	}
}

// Variables of envs stand in workdir and file_mounts, as Python writes them.
func TestFillsPathsIn(t *testing.T) {
	task, err := skypilot.Parse(`
workdir: ~/code/$MODEL
envs: {MODEL: llama, SIZE: 010}
file_mounts:
  /models/${MODEL}-${SIZE}b: ~/models/$MODEL
  ~/plain: ./plain
`)
	if err != nil {
		t.Fatal(err)
	}
	if want := (map[string]string{"/models/llama-8b": "~/models/llama", "~/plain": "./plain"}); !maps.Equal(task.FileMounts, want) {
		t.Errorf("file_mounts = %q, want %q", task.FileMounts, want)
	}
	if *task.Workdir != "~/code/llama" {
		t.Errorf("workdir = %q", *task.Workdir)
	}
	for text, want := range map[string]string{
		"file_mounts: {/a: './${N}.txt'}":                           `names the variable N, which has no value in envs`,
		"workdir: $N":                                               `workdir: "$N" names the variable N`,
		"{envs: {B: 's3://b'}, file_mounts: {/a: $B}}":              "fetch buckets in setup",
		"{envs: {B: a}, file_mounts: {/a: './x', /$B: './y'}}":      "two mounts have the path",
		"resources: {disk_size: 1500MB}":                            "not a whole number of GiB",
		"resources: {disk_tier: high, any_of: [{disk_tier: best}]}": "best in an alternative",
	} {
		if _, err := skypilot.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
