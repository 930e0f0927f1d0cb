// SPDX-License-Identifier: MPL-2.0

package skypilot_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// All that is wrong is said at once, by line, with what to write.
func TestAllProblemsAtOnce(t *testing.T) {
	const text = `name: x
resorces: {cpus: 4}
envs: &e
  T: 1:30
  U: [a]
file_mounts:
  /ok: ./ok
  /data:
    name: bucket
workdir: ./$NONE
resources:
  acelerators: A100
  use_spot: maybe
  any_of:
    - cloud: aws
    - disk_size: much
      network_tier: best
job_recovery: none
`
	_, err := skypilot.Parse(text)
	var got skypilot.Problems
	if !errors.As(err, &got) {
		t.Fatalf("error = %v", err)
	}
	want := []string{
		`line 2: resorces: this field does not exist in SkyPilot; write resources`,
		`line 4: envs.T: 1:30 is read differently by every reader of YAML; put it in quotes`,
		`line 5: envs.U: must be a single value`,
		`line 8: file_mounts["/data"]: only local files and folders can be carried; fetch buckets in setup`,
		`line 10: workdir: "./$NONE" names the variable NONE, which has no value in envs; write its value there, or the path without it`,
		`line 12: resources: acelerators: this field does not exist in SkyPilot; write accelerators`,
		`line 13: resources: use_spot: must be true or false`,
		`line 16: resources: any_of[1]: disk_size: "much" is not a whole number of GiB; write one such as 256, 256GB or 1TB`,
		`line 17: resources: any_of[1]: network_tier: a faster network cannot be asked for; remove it, or write ignore = ["network_tier"] in the second argument; on AWS a template of your own with placement_group and efa has the same`,
		`line 18: job_recovery: this field does not belong here; move it to resources`,
	}
	var lines []string
	for _, p := range got {
		lines = append(lines, p.String())
	}
	if !slices.Equal(lines, want) {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if text := err.Error(); !strings.HasPrefix(text, "it has 10 problems:\n- line 2: ") {
		t.Errorf("error = %q", text)
	}
}

// The problems of one line come in the same order every time.
func TestProblemsAreInOrder(t *testing.T) {
	const text = "resources: {any_of: [{autostop: true, job_recovery: {max_restarts_on_errors: 3}}]}"
	for range 50 {
		_, err := skypilot.Parse(text)
		var got skypilot.Problems
		if !errors.As(err, &got) || len(got) != 2 || !strings.HasSuffix(got[0].Field, "autostop") || !strings.HasSuffix(got[1].Field, "job_recovery") {
			t.Fatalf("%v, want autostop, then job_recovery", err)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "field%d: 1\n", i)
	}
	_, err := skypilot.Parse(b.String())
	var got skypilot.Problems
	if !errors.As(err, &got) || len(got) != 50 || !strings.HasPrefix(err.Error(), "it has 50 problems or more:") {
		t.Errorf("%d problems: %.80s", len(got), err)
	}
}

// A name that is a few letters off is taken for a typo, another one is not.
func TestNearestField(t *testing.T) {
	for text, want := range map[string]string{
		"rnu: a":                        "write run",
		"set_up: a":                     "write setup",
		"Run: a":                        "write run",
		"env: {A: b}":                   "write envs",
		"filemounts: {}":                "write file_mounts",
		"resources: {accelerator: A}":   "write accelerators",
		"resources: {use-spot: true}":   "write use_spot",
		"resources: {instance_tpye: a}": "write instance_type",
		"replicas: 3":                   "remove it from the YAML",
		"x: 3":                          "remove it from the YAML",
	} {
		_, err := skypilot.Parse(text)
		var got skypilot.Problems
		if !errors.As(err, &got) || len(got) != 1 || got[0].Write != want || got[0].Line != 1 {
			t.Errorf("%s: %+v, want %q", text, got, want)
		}
	}
}

// A file that is no task is called what it is, and nothing else is said of it.
func TestOtherKinds(t *testing.T) {
	for text, want := range map[string]string{
		"services: {web: {image: nginx}}\nversion: '3'":                   "a Docker Compose file",
		"apiVersion: v1\nkind: Pod\nspec: {}\n---\napiVersion: v1\n":      "a Kubernetes manifest",
		"cluster_name: x\nprovider: {type: aws}\navailable_node_types:\n": "a cluster config of Ray",
		"on: push\njobs: {a: {steps: []}}":                                "a GitHub workflow",
		"allowed_clouds: [aws]":                                           "SkyPilot's own configuration",
	} {
		_, err := skypilot.Parse(text)
		var got skypilot.Problems
		if !errors.As(err, &got) || len(got) != 1 || !strings.Contains(got[0].Means, want) {
			t.Errorf("%q: %v, want %q alone", text, err, want)
		}
	}
}

// An error of the YAML itself has its place, and no character that hides.
func TestYAMLErrors(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\nrun: [":                    "the task is not a YAML object: line 2, column 6: sequence end token ']' not found",
		"\ufeffname: x\n\trun: a":            "the task is not a YAML object: line 2, column 1: found character",
		"a: {A: 4, A: 4}":                    `line 1, column 11: mapping key "A" already defined at line 1, column 5`,
		"a\u200b\u0007: 1\na\u200b\u0007: 2": `mapping key "a\u200b\a" already defined at line 1, column 1`,
		"re\u200bsources: {}":                `re\u200bsources: this field does not exist in SkyPilot; write resources`,
	} {
		_, err := skypilot.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What goes beside the arguments: names without values, the service, autostop.
func TestBesideTheArguments(t *testing.T) {
	task, err := skypilot.Parse(`
envs: {TOKEN: , B: , A: a}
secrets: {HF: , AWS: ""}
service: {readiness_probe: /, replicas: 2}
resources: {autostop: {idle_minutes: 10, down: yes, wait_for: JOBS, hook: sync, hook_timeout: 60}}
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(task.Envs) != 1 || !slices.Equal(task.RequiredEnvs, []string{"B", "TOKEN"}) || !slices.Equal(task.Secrets, []string{"AWS", "HF"}) {
		t.Errorf("envs %v, required %v, secrets %v", task.Envs, task.RequiredEnvs, task.Secrets)
	}
	if task.Service["readiness_probe"] != "/" {
		t.Errorf("service = %v", task.Service)
	}
	stop := task.Resources.Autostop
	if stop == nil || *stop.IdleMinutes != 10 || !*stop.Down || *stop.WaitFor != "jobs" || *stop.Hook != "sync" || *stop.HookTimeoutSecond != 60 {
		t.Errorf("autostop = %+v", stop)
	}
	for text, want := range map[string]float64{"10": 10, "2h": 120, "1d": 1440, "1.5h": 90} {
		r, err := skypilot.Parse("resources: {autostop: " + text + "}")
		if err != nil || r.Resources.Autostop == nil || *r.Resources.Autostop.IdleMinutes != want {
			t.Errorf("autostop: %s: %v, want %v", text, err, want)
		}
	}
	off, err := skypilot.Parse("{resources: {autostop: false}, secrets: ['secrets:team.HF', 'secrets:A']}")
	if err != nil || off.Resources.Autostop != nil || !slices.Equal(off.Secrets, []string{"A", "HF"}) {
		t.Errorf("autostop: false: %+v, %v", off.Resources.Autostop, err)
	}
}
