// SPDX-License-Identifier: MPL-2.0

package skypilot_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// Images by region become alternatives, and follow a place that is named.
func TestImagesByRegion(t *testing.T) {
	const images = "image_id: {us-east-1: ami-1, us-west-2: ami-2}"
	for text, want := range map[string]string{
		images:                         "map[] [map[image_id:ami-1 region:us-east-1] map[image_id:ami-2 region:us-west-2]]",
		images + "\ncloud: aws":        "map[cloud:aws] [map[image_id:ami-1 region:us-east-1] map[image_id:ami-2 region:us-west-2]]",
		images + "\nregion: US-West-2": "map[image_id:ami-2 region:US-West-2] []",
		images + "\ninfra: aws/us-east-1/us-east-1a":                                 "map[image_id:ami-1 infra:aws/us-east-1/us-east-1a] []",
		images + "\nany_of: [{region: us-west-2}]":                                   "map[] [map[image_id:ami-2 region:us-west-2]]",
		images + "\nregion: us-east-1\nany_of: [{cpus: 2}, {infra: 'aws/*'}]":        "map[region:us-east-1] [map[cpus:2 image_id:ami-1] map[image_id:ami-1 infra:aws/us-east-1] map[image_id:ami-2 infra:aws/us-west-2]]",
		images + "\nordered: [{infra: aws/us-west-2}, {region: us-east-1, cpus: 4}]": "map[] [map[image_id:ami-2 infra:aws/us-west-2] map[cpus:4 image_id:ami-1 region:us-east-1]]",
		images + "\nany_of: [{image_id: own, cloud: gcp}, {region: us-east-1}]":      "map[] [map[cloud:gcp image_id:own] map[image_id:ami-1 region:us-east-1]]",
		"image_id: {us-east-1: ami-1}\nordered: [{cpus: 2}]":                         "map[] [map[cpus:2 image_id:ami-1 region:us-east-1]]",
	} {
		r, err := skypilot.ParseResources(text)
		if got := fmt.Sprint(r.Machine, append(r.AnyOf, r.Ordered...)); err != nil || got != want {
			t.Errorf("%s\n= %s, %v,\nwant %s", text, got, err, want)
		}
	}
	task, err := skypilot.ParseGiven("resources: {"+images+"}", skypilot.Given{Infra: "aws/us-west-2"})
	if err != nil || fmt.Sprint(task.Resources.Machine) != "map[image_id:ami-2 infra:aws/us-west-2]" {
		t.Errorf("with a given place: %v, %v", task.Resources, err)
	}
}

func TestJobRecovery(t *testing.T) {
	for text, want := range map[string]string{
		"EAGER_NEXT_REGION":                                       "none",
		"none":                                                    "none",
		"{strategy: eager_next_region}":                           "none",
		"{max_restarts_on_errors: 0}":                             "none",
		"{recover_on_exit_codes: 33}":                             "1 codes from 33, default",
		"{recover_on_exit_codes: [33, 34, 33]}":                   "2 codes from 33, default",
		"{max_restarts_on_errors: 2, strategy: }":                 "255 codes from 1, 2",
		"{max_restarts_on_errors: 0, recover_on_exit_codes: [7]}": "1 codes from 7, default",
	} {
		task, err := skypilot.Parse("resources: {job_recovery: " + text + "}")
		got := "none"
		if r := task.Recovery; r != nil {
			got = fmt.Sprintf("%d codes from %d, default", len(r.ExitCodes), r.ExitCodes[0])
			if r.MaxRestarts != nil {
				got = strings.Replace(got, "default", fmt.Sprint(*r.MaxRestarts), 1)
			}
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
}

// A git workdir is in the working folder before setup begins, at its commit, also
// when setup runs again for another one; the user's shell is as it was.
func TestGitWorkdir(t *testing.T) {
	home, from := t.TempDir(), filepath.Join(t.TempDir(), "it's-here")
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e", "-C", from}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	var commits []string
	if err := os.MkdirAll(filepath.Join(home, "sky_workdir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(from, 0o700); err != nil {
		t.Fatal(err)
	}
	git("init", "-q")
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(from, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git("add", "file")
		git("commit", "-q", "-m", text)
		commits = append(commits, git("rev-parse", "HEAD"))
	}
	run := func(commit string) (string, error) {
		task, err := skypilot.ParseGiven("workdir: {url: $FROM, ref: main}\nenvs: {FROM: \"file://"+from+"\"}\nsetup: |\n  cat ~/sky_workdir/file; false; echo \" ${url-} done\"",
			skypilot.Given{Commit: commit, Base: "mod"})
		if err != nil || task.Workdir != nil {
			t.Fatalf("workdir %v, %v", task.Workdir, err)
		}
		cmd := exec.Command("sh", "-c", *task.Setup)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		return string(out) + said.String(), err
	}
	for _, i := range []int{0, 1, 0} {
		want := []string{"one", "two"}[i] + "  done\nsky: the workdir: file://" + from + " at " + commits[i] + "\n"
		if out, err := run(commits[i]); err != nil || out != want {
			t.Errorf("commit %d: %v, %q, want %q", i, err, out, want)
		}
	}
	absent := strings.Repeat("0", 40)
	if out, err := run(absent); err == nil || !strings.Contains(out, "has no commit "+absent) || strings.Contains(out, "done") {
		t.Errorf("no such commit: %v, %q", err, out)
	}
}

// Several documents are tasks, with or without a first one that is about them all.
func TestTasks(t *testing.T) {
	const two = "---\nrun: a\n---\n# nothing\n---\nname: own\nrun: |\n  b\n...\n"
	for text, want := range map[string]string{
		"run: a":                             "false: ",
		"name: p\n---\nname: x\nrun: a":      "false: p",
		two:                                  "false: task-0 own",
		"name: p\n" + two:                    "false: p-0 own",
		"name: p\nexecution: serial\n" + two: "false: p-0 own",
		"{name: p, execution: parallel}\n---\nname: x\n--- {name: y, run: c}\n": "true: x y",
	} {
		tasks, err := skypilot.ParseTasks(text, skypilot.Given{Envs: map[string]string{"E": "1"}})
		var names []string
		for _, one := range tasks.List {
			name := ""
			if one.Name != nil {
				name = *one.Name
			}
			if names = append(names, name); one.Envs["E"] != "1" {
				t.Errorf("%q: envs %v", text, one.Envs)
			}
		}
		if got := fmt.Sprintf("%t: %s", tasks.Parallel, strings.Join(names, " ")); err != nil || got != want {
			t.Errorf("%q = %q, %v, want %q", text, got, err, want)
		}
	}
	named, err := skypilot.ParseTasks("name: p\n"+two, skypilot.Given{Name: "given"})
	if err != nil || named.Name != "given" || *named.List[0].Name != "given-0" || *named.List[1].Name != "own" || *named.List[1].Run != "b\n" {
		t.Errorf("a given name: %+v, %v", named, err)
	}
	const group = "name: g\nexecution: parallel\nprimary_tasks: [x]\n---\nnme: x\n---\nname: y\n---\nname: y\nresources:\n  cups: 2\n"
	_, err = skypilot.ParseTasks(group, skypilot.Given{})
	for _, want := range []string{
		"it has 5 problems", "a task of a group has no name; write a name in each", "line 3: primary_tasks: how the tasks of a group end",
		"line 5: nme: this field does not exist in SkyPilot; write name", `line 9: name: "y" is the name of an earlier task, too`, "line 11: resources: cups: this field does not exist in SkyPilot; write cpus",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for text, want := range map[string]string{
		"name: p\nexecution: maybe\n---\nrun: a":       "line 2: execution: must be serial or parallel",
		"run: a\n---\nrun: [\n":                        "line 3, column 6: sequence end token",
		"run: a\n---\nservices: {}\n":                  "this is a Docker Compose file",
		strings.Repeat("run: a\n---\n", 101):           "too many documents",
		"run: a\n---\n#" + strings.Repeat("x", 17<<20): "at most 16777216 are read",
		"run: a\n" + strings.Repeat("\n", 12<<20) + "---\nrun: a\n---\nrun: a\n---\nrun: a\n": "too many long documents; at most 33554432 bytes are read",
		"run: a\nrnu: b\n---\nrun: [\n---\nsetpu: c\n":                                        "it has 3 problems:\n- the task is not a YAML object: line 4, column 6: sequence end token ']' not found\n- line 2: rnu: ",
		"run: [\n---\nsetpu: c\n":                            "it has 2 problems:\n- the task is not a YAML object: line 1, column 6: sequence end token ']' not found\n- line 3: setpu: ",
		"run: a\nrnu: b\n---\nservices: {}\n---\nsetpu: c\n": "it has 3 problems:\n- this is a Docker Compose file, not a SkyPilot task; give the YAML of a task, with fields such as resources, setup and run\n- line 2: rnu: ",
	} {
		if _, err := skypilot.ParseTasks(text, skypilot.Given{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// A long document counts once, however many there are beside it.
func TestLongDocuments(t *testing.T) {
	tasks, err := skypilot.ParseTasks("run: |\n  "+strings.Repeat("x", 600<<10)+strings.Repeat("\n---\nrun: a\n", 60), skypilot.Given{})
	if err != nil || len(tasks.List) != 61 {
		t.Errorf("%d tasks, %v", len(tasks.List), err)
	}
}

// What is to be ignored is not read, wherever it stands.
func TestIgnored(t *testing.T) {
	const text = "name: g\nexecution: parallel\nprimary_tasks: [a]\n---\nname: a\nvolumes: {/a: b}\nrun: c\nresources: {network_tier: best, cpus: 2, any_of: [{network_tier: best, cpus: 4}]}\n"
	all := []string{"primary_tasks", "network_tier", "volumes"}
	tasks, err := skypilot.ParseTasks(text, skypilot.Given{Ignore: all})
	if got := fmt.Sprint(tasks.Parallel, " ", *tasks.List[0].Run, " ", tasks.List[0].Resources.Machine, tasks.List[0].Resources.AnyOf); err != nil || got != "true c map[cpus:2] [map[cpus:4]]" {
		t.Errorf("%s, %v", got, err)
	}
	for i, name := range all {
		var rest []string
		rest = append(append(rest, all[:i]...), all[i+1:]...)
		if _, err := skypilot.ParseTasks(text, skypilot.Given{Ignore: rest}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if skypilot.Ignorable("nme") || !skypilot.Ignorable("image_id") || !skypilot.Ignorable("primary_tasks") {
		t.Error("what can be ignored are fields")
	}
}

// The names of both sections of secrets are sorted, each once.
func TestSecretsAreSorted(t *testing.T) {
	task, err := skypilot.Parse("{secrets: {Z: , B: }, managed_secrets: [secrets:B, 'secrets:team.A']}")
	if got := strings.Join(task.Secrets, " "); err != nil || got != "A B Z" {
		t.Errorf("secrets = %s, %v", got, err)
	}
}

// Variables within service have their values; what has none stays.
func TestServiceIsFilledIn(t *testing.T) {
	task, err := skypilot.Parse("{envs: {M: llama, N: }, service: {readiness_probe: {post_data: {model: $M, list: ['${M}-$N']}}}}")
	if got := fmt.Sprint(task.Service); err != nil || got != "map[readiness_probe:map[post_data:map[list:[llama-$N] model:llama]]]" {
		t.Errorf("service = %s, %v", got, err)
	}
}
