// SPDX-License-Identifier: MPL-2.0

package skypilot_test

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// What cannot be carried is refused by name.
func TestTaskRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no YAML", "a: [", "not a YAML object"},
		{"a list", "- a", "not a YAML object"},
		{"deep brackets", "envs: " + strings.Repeat("[", 10_000), "nested more than 100 deep"},
		{"a bomb of aliases", "name: &a [x, x]\nenvs: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
			"workdir: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nrun: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n" +
			"setup: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n", "its aliases"},
		{"secrets with a value", "secrets: {A: hush}", "secrets.A: has a value in the YAML"},
		{"service", "service: 3", "service: must be an object"},
		{"pool", "pool: {workers: 1}", "pool: this field cannot be carried; remove it from the YAML; serving is not part"},
		{"volumes", "volumes: {/a: b}", "volumes: this field"},
		{"git branch", "workdir: {url: 'https://x', ref: main}", "workdir: ref: must be a commit, since a branch"},
		{"git without ref", "workdir: {url: 'https://x'}", "workdir: ref: must be a commit"},
		{"git with a token", "workdir: {url: 'https://me:hush@x/y'}", "workdir: url: must be the address of a git repository, without a login in it"},
		{"git of an option", "workdir: {url: '--upload-pack=x'}", "workdir: url: must be the address"},
		{"git before Python", "{workdir: {url: 'https://x'}, setup: '#!/usr/bin/env python3'}", "workdir: a git repository is cloned by a shell"},
		{"git of a typo", "workdir: {ulr: 'https://x'}", "workdir: ulr: this field does not exist in SkyPilot; write url"},
		{"bucket", "file_mounts: {/data: 's3://bucket'}", `file_mounts["/data"]`},
		{"storage object", "file_mounts: {/data: {name: b, mode: MOUNT}}", `file_mounts["/data"]`},
		{"nodes", "num_nodes: many", `num_nodes: "many" is not a whole number`},
		{"label without value", "resources: {labels: {team: }}", "resources: labels.team: has no value"},
		{"path of an env without value", "{envs: {DATA: }, file_mounts: {/data: $DATA}}", "names the variable DATA, which has no value in envs"},
		{"container", "resources: {image_id: 'docker:ubuntu'}", "image_id: a container in place of the machine's system cannot be carried; remove it, and start"},
		{"by manufacturer", "resources: {accelerators: 'nvidia:16GB+:2'}", `accelerators: "nvidia:16GB+:2" asks for the devices of a manufacturer`},
		{"autostop", "resources: {autostop: soon}", `resources: autostop: "soon" is no time`},
		{"field of resources", "accelerators: A100", "accelerators: this field does not belong here; move it to resources"},
		{"field of the task", "resources: {run: a}", "resources: run: this field does not belong here; move it to the task itself"},
		{"no field, no value", "resources: {autoscale: }", "resources: autoscale: this field"},
		{"unknown", "resources: {autoscale: best}", "resources: autoscale: this field"},
		{"image per region", "resources: {infra: aws/us-west-2, image_id: {us-east-1: ami-1}}", "image_id: has no image for the region us-west-2; add it"},
		{"images in order", "resources: {image_id: {a: i, b: j}, ordered: [{cpus: 2}]}", "image_id: images by region make alternatives"},
		{"images within any_of", "resources: {any_of: [{image_id: {a: i}}]}", "any_of[0]: image_id: images by region belong to resources itself"},
		{"containers by region", "resources: {image_id: {a: 'docker:x'}}", "image_id: a container in place of"},
		{"fast network", "resources: {network_tier: best}", "network_tier: a faster network cannot be asked for"},
		{"bad accelerators", "resources: {accelerators: 'A100:0'}", "resources: accelerators:"},
		{"spot", "resources: {use_spot: maybe}", "use_spot: must be true or false"},
		{"both", "resources: {any_of: [{cloud: aws}], ordered: [{cloud: gcp}]}", "exclude each other"},
		{"order within any_of", "resources: {any_of: [{accelerators: ['A:1', 'B:1']}]}", "any_of[0]: accelerators: a list in order within any_of"},
		{"recovery in place", "resources: {job_recovery: FAILOVER}", "job_recovery: to try the same region first, and then others, cannot be carried"},
		{"recovery of two kinds", "resources: {job_recovery: {max_restarts_on_errors: 3, recover_on_exit_codes: 4}}", "job_recovery: exit codes that count and others that do not"},
		{"recovery from success", "resources: {job_recovery: {recover_on_exit_codes: [0]}}", "job_recovery: recover_on_exit_codes[0]: 0 is no exit code of a failure"},
		{"fewer than no restarts", "resources:\n  job_recovery:\n    max_restarts_on_errors: -1", "line 3: resources: job_recovery: max_restarts_on_errors: -1 is no number of restarts that can be carried; write one from 0 to 1000"},
		{"many restarts", "resources: {job_recovery: {max_restarts_on_errors: 5000}}", "max_restarts_on_errors: 5000 is no number of restarts"},
		{"recovery in an alternative", "resources: {any_of: [{job_recovery: {max_restarts_on_errors: 3}}]}", "any_of[0]: job_recovery: job_recovery belongs to resources itself"},
		{"config", "config: {docker: {run_options: x}, kubernetes: {}}", "config: docker: this setting cannot be carried"},
		{"pipeline", "name: a\n---\nname: b\n", "several documents"},
		{"base 60", "envs: {T: 1:30}", "envs.T: 1:30 is read differently"},
		{"a time", "envs: {T: 2026-11-23T10:00:00Z}", "envs.T: 2026-11-23T10:00:00Z is read differently"},
		{"field twice", "run: a\nrun: b\n", "already defined"},
		{"env in a list", "envs: [A]", "envs: must be an object"},
		{"nested", "resources: {any_of: [{any_of: [{cloud: aws}]}]}", "any_of[0]: ports, labels and further alternatives"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := skypilot.Parse(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want %q", err, tt.want)
			}
		})
	}
}

// Variables have the text that SkyPilot gives them.
func TestTaskEnvs(t *testing.T) {
	const text = `
name: x
envs: &e
  A: true
  B: yes
  C: "yes"
  D: 'off'
  E: Off
  F: 010
  G: 0x1F
  H: 1_000
  I: 1.0
  J: 1.50
  K: 1e-3
  L: 1.0e+3
  M: -0.00001
  N: 2026-11-23
  O: plain text
  P: ""
  Q: |
    two
    lines
  R: 12345678901234567890123
  S: "1:30"
  T: .5
  U: 100000000000000000.0
`
	// As Python 3 writes what yaml.safe_load reads.
	want := map[string]string{
		"A": "True", "B": "True", "C": "yes", "D": "off", "E": "False", "F": "8", "G": "31", "H": "1000", "I": "1.0", "J": "1.5", "K": "1e-3",
		"L": "1000.0", "M": "-1e-05", "N": "2026-11-23", "O": "plain text", "P": "", "Q": "two\nlines\n", "R": "12345678901234567890123", "S": "1:30",
		"T": "0.5", "U": "1e+17",
	}
	for _, doc := range []string{text, text + "---\n", "---" + text} {
		parsed, err := skypilot.Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			if got := parsed.Envs[name]; got != w {
				t.Errorf("%s = %q, want %q", name, got, w)
			}
		}
	}
}

// SkyPilot bounds the price of a machine, and the provider that of the cluster.
func TestCostOfAllNodes(t *testing.T) {
	parsed, err := skypilot.Parse("num_nodes: 4\nresources: {max_hourly_cost: 2.5, any_of: [{cloud: aws}, {cloud: gcp, max_hourly_cost: 3}]}")
	if err != nil {
		t.Fatal(err)
	}
	r := parsed.Resources
	if r.Machine["max_hourly_cost"] != 10.0 || r.AnyOf[0]["max_hourly_cost"] != nil || r.AnyOf[1]["max_hourly_cost"] != 12.0 {
		t.Errorf("the bounds are %v, %v", r.Machine, r.AnyOf)
	}
	if one, err := skypilot.Parse("resources: {max_hourly_cost: 2.5}"); err != nil || one.Resources.Machine["max_hourly_cost"] != 2.5 {
		t.Errorf("of one node it is %v, %v", one.Resources, err)
	}
}
