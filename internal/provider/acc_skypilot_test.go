// SPDX-License-Identifier: MPL-2.0

//go:build linux

package provider_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// taskModule copies examples/skypilot-task into a workspace, and has its calls
// there found. A CLI that is older than ephemeral values gets it without secrets.
func (w *workspace) taskModule() {
	w.t.Helper()
	module := filepath.Join(w.dir, "module")
	if err := os.CopyFS(module, os.DirFS(filepath.Join("..", "..", "examples", "skypilot-task"))); err != nil {
		w.t.Fatal(err)
	}
	if !writeOnly(w.t, w.cli) {
		for name, lines := range map[string][]string{
			"main.tf":      {`required_version = ">= 1.11"`, "secrets               = length(local.secret_names) > 0 ? var.secrets : null"},
			"variables.tf": {"ephemeral   = true"},
		} {
			path := filepath.Join(module, name)
			text := readFile(w.t, path)
			for _, line := range lines {
				if !strings.Contains(text, line) {
					w.t.Fatalf("%s has no line %q", name, line)
				}
				text = strings.ReplaceAll(text, line, "")
			}
			writeFile(w.t, path, text)
		}
	}
	w.mustRun("get")
}

// TestAccSkyPilotTask runs examples/skypilot-task as it is, but for the provider
// block and the place of the module.
func TestAccSkyPilotTask(t *testing.T) {
	t.Parallel()
	example := filepath.Join("..", "..", "examples", "skypilot-task", "word-count")
	_, body, ok := strings.Cut(readFile(t, filepath.Join(example, "main.tf")), "enabled_clouds = [\"fluffycloud\"]\n}\n")
	if !ok || !strings.Contains(body, `source = "../"`) {
		t.Fatal("the example has no provider block before its call of the module")
	}
	w := newWorkspace(t, strings.ReplaceAll(body, `source = "../"`, `source = "./module"`))
	if err := os.CopyFS(w.dir, os.DirFS(example)); err == nil || !os.IsExist(err) { // it has a main.tf already
		t.Fatal(err)
	}
	for _, name := range []string{"src", "texts"} {
		if err := os.CopyFS(filepath.Join(w.dir, name), os.DirFS(filepath.Join(example, name))); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(w.dir, "task.yaml"), readFile(t, filepath.Join(example, "task.yaml")))
	w.taskModule()
	var out bytes.Buffer
	if err := w.start(&out, applyArgs()...).Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"node 0 of 2 counted 5 words in 2 texts", "node 1 of 2 counted 14 words in 2 texts", "results/rank-1/counted-1.txt"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the apply does not say %q:\n%s", want, out.String())
		}
	}
	if text := readFile(t, filepath.Join(w.dir, "results", "rank-0", "counted-0.txt")); !strings.Contains(text, "1 computer\n") {
		t.Errorf("the results of the head: %q", text)
	}
}

// taskCalls calls the module for every task of the folder tasks at once. Each has
// the secrets that it needs and no other.
const taskCalls = `
locals {
  secret = { "secrets.yaml#0" = ["WORD", "OTHER"], "private.yaml#0" = ["GIT_TOKEN"] }
}
variable "token" {
  default   = "" # for the end of the test
  ephemeral = true
}
module "task" {
  for_each = setunion([for f in fileset("${path.module}/tasks", "*.yaml") : "${f}#0"], ["pipeline.yaml#1"])
  source   = "./module"
  file     = "${path.module}/tasks/${split("#", each.key)[0]}"
  document = split("#", each.key)[1]
  name     = replace(each.key, "/[^a-z0-9]/", "-")
  infra    = "fluffycloud"
  commit   = "%COMMIT%"
  ignore   = ["network_tier"]
  envs     = { REPOSITORY = "%REPOSITORY%", EXTRA = "given" }
  secrets  = { for name in lookup(local.secret, each.key, []) : name => var.token }

  secret_envs = [for name in lookup(local.secret, each.key, []) : name if name != "WORD"] # which the file names
}
output "logs" {
  value = { for name, task in module.task : name => task.log }
}
output "types" {
  value = { for name, task in module.task : name => task.cluster.instance_type }
}
`

// TestAccTasksRun applies tasks of ours as SkyPilot's users write them, all in one
// apply. Each file ends with what the log of its job is, in comments.
func TestAccTasksRun(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	writeFile(t, filepath.Join(home, "model-7b.txt"), "from my home\n")
	repository, commit := repositoryOf(t, "hello.sh", "echo from git\n")
	places := strings.NewReplacer("%REPOSITORY%", "file://"+repository, "%COMMIT%", commit)
	w := newWorkspace(t, places.Replace(taskCalls))
	if err := os.CopyFS(filepath.Join(w.dir, "tasks"), os.DirFS(filepath.Join("testdata", "tasks"))); err != nil {
		t.Fatal(err)
	}
	if !writeOnly(t, w.cli) {
		w.rewrite("  ephemeral = true\n", "")
		for _, name := range []string{"secrets.yaml", "private.yaml"} {
			if err := os.Remove(filepath.Join(w.dir, "tasks", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.taskModule()
	var out bytes.Buffer
	env := []string{"TF_VAR_token=hush-hush-canary", "HOME=" + home}
	if err := w.startWith(&out, env, append(applyArgs(), "-parallelism=30")...).Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !rewrapped(`Setup of cluster "setup-only-yaml-0" uses uv`, "The template of fluffycloud does not promise uv", "https://astral.sh/uv/install.sh").MatchString(out.String()) {
		t.Errorf("the plan does not say that uv may be missing:\n%s", out.String())
	}
	var logs, types map[string]*string
	for name, into := range map[string]any{"logs": &logs, "types": &types} {
		out.Reset()
		if err := w.start(&out, "output", "-json", name).Wait(); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if err := json.Unmarshal(out.Bytes(), into); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	for name, machine := range types {
		if strings.HasPrefix(*machine, "mist-") { // the cheapest, and arm64
			t.Errorf("%s runs on %s", name, *machine)
		}
	}
	if len(logs) < 10 {
		t.Errorf("only %d tasks were applied", len(logs))
	}
	for name, log := range logs {
		want := places.Replace(wantedLog(t, filepath.Join(w.dir, "tasks"), name))
		if got := logText(log); got != want {
			t.Errorf("%s: the log is\n%s\nwant\n%s", name, got, want)
		}
	}
	w.holdNothing("after the tasks", "hush-hush-canary")
}

// A secret that the task does not name and nobody else names would be lost: the
// plan says so, and nothing is launched.
func TestAccTaskSecretsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, `
module "task" {
  source  = "./module"
  file    = "${path.module}/git.yaml"
  commit  = "`+strings.Repeat("0", 40)+`"
  envs    = { REPOSITORY = "https://127.0.0.1/private" }
  secrets = { GIT_TOKEN = "hush-hush-canary" }
}
`)
	writeFile(t, filepath.Join(w.dir, "git.yaml"), readFile(t, filepath.Join("testdata", "tasks", "git.yaml")))
	w.taskModule()
	var out bytes.Buffer
	err := w.start(&out, "plan", "-input=false", "-no-color").Wait()
	if err == nil || !rewrapped("A name in secrets is not among the task's secrets", `secret_envs = ["GIT_TOKEN"]`).MatchString(out.String()) {
		t.Errorf("the plan with a secret that nobody names: %v\n%s", err, out.String())
	}
	w.rewrite(`  secrets = {`, "  secret_envs = [\"GIT_TOKEN\"]\n  secrets = {")
	out.Reset()
	if err := w.start(&out, "plan", "-input=false", "-no-color").Wait(); err != nil {
		t.Errorf("the plan with the secret named: %v\n%s", err, out.String())
	}
}

// wantedLog is what stands after "# log:" in the document of a task.
func wantedLog(t *testing.T, dir, name string) string {
	t.Helper()
	file, document, _ := strings.Cut(name, "#")
	texts := strings.Split(readFile(t, filepath.Join(dir, file)), "# log:\n")[1:]
	i := 0
	if document == "1" {
		i = 1
	}
	if i >= len(texts) {
		return "no job"
	}
	var b strings.Builder
	for line := range strings.Lines(texts[i]) {
		text, ok := strings.CutPrefix(line, "# ")
		if !ok {
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

func logText(log *string) string {
	if log == nil {
		return "no job"
	}
	return *log
}

// repositoryOf makes a git repository of one file.
func repositoryOf(t *testing.T, name, text string) (dir, commit string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, name), text)
	for _, args := range [][]string{{"init", "-q"}, {"add", name}, {"commit", "-q", "-m", "one"}, {"rev-parse", "HEAD"}} {
		cmd := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e", "-C", dir}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		commit = strings.TrimSpace(string(out))
	}
	return dir, commit
}
