// SPDX-License-Identifier: MPL-2.0

//go:build linux

package provider_test

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const waitedJob = `
resource "sky_cluster" "c" {
  name      = "waited"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  num_nodes  = 2
  run        = "echo started >> ~/starts; echo loaded; until test -e ~/go; do sleep 0.1; done; echo through"
}
`

// TestAccJobInterrupted waits for a job and is told to stop: the job goes on
// untainted, and the next apply waits for the same one.
func TestAccJobInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, waitedJob)
	var out bytes.Buffer
	providerLog := filepath.Join(w.dir, "provider.log")
	apply := w.startWith(&out, []string{"TF_LOG_PROVIDER=INFO", "TF_LOG_PATH=" + providerLog}, applyArgs()...)
	w.until("the log grows while the apply waits", func() bool { return strings.Count(w.jobLog(), "loaded") == 2 })
	w.until("the provider's log says how the job goes", func() bool {
		log := readFile(t, providerLog)
		return strings.Contains(log, "the job is RUNNING") && strings.Contains(log, "log_bytes=")
	})
	if err := syscall.Kill(-apply.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	if text := out.String(); !strings.Contains(text, `Wait for job "job" was interrupted`) || strings.Contains(text, "tainted") {
		t.Errorf("the apply said:\n%s", text)
	}
	state := w.rawState()
	if strings.Contains(state, "tainted") || !strings.Contains(state, `"status":"RUNNING"`) {
		t.Errorf("the state after the interrupt:\n%s", state)
	}
	w.release()
	w.mustRun(applyArgs()...)
	if state := w.rawState(); !strings.Contains(state, `"status":"SUCCEEDED"`) {
		t.Errorf("the state after the second apply:\n%s", state)
	}
	if n := w.starts(); n != 2 {
		t.Errorf("%d starts on two nodes", n)
	}
	if log := w.jobLog(); strings.Count(log, "loaded") != 2 || strings.Count(log, "through") != 2 {
		t.Errorf("the log, over two waits: %q", log)
	}
}

// TestAccJobLeavesNoProcess destroys a job that hides from signals on two nodes.
func TestAccJobLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, strings.ReplaceAll(waitedJob, `echo loaded;`, `trap '' TERM; (setsid sleep 4711 &); sleep 4711 & echo loaded;`)+"\n")
	w.rewrite("num_nodes  = 2\n", "num_nodes  = 2\n  wait = false\n  grace_period = \"1s\"\n")
	w.mustRun(applyArgs()...)
	ours := func() []string { return processes(t, w.lab.dir, "4711", "SKY_JOB_MARK") }
	w.until("both ranks run", func() bool { return w.starts() == 2 && len(ours()) >= 4 })
	w.mustRun("destroy", "-auto-approve", "-no-color", "-target", "sky_job.j")
	if left := ours(); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	if n := len(w.alive()); n != 2 {
		t.Errorf("%d machines are alive", n)
	}
}

// processes lists the processes of a lab's machines whose command or
// environment holds one of the words.
func processes(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range all {
		env, err := os.ReadFile(path)
		cmd, err2 := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil || err2 != nil || !bytes.Contains(env, []byte(dir)) || len(cmd) == 0 {
			continue
		}
		text := strings.ReplaceAll(string(cmd), "\x00", " ")
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) || bytes.Contains(env, []byte(w+"=")) }) {
			out = append(out, text)
		}
	}
	return out
}

// TestAccJobSecrets follows a canary through everything that is written down.
func TestAccJobSecrets(t *testing.T) {
	t.Parallel()
	const canary = "canary-0815-it's $(secret)"
	w := newWorkspace(t, strings.Replace(waitedJob, "echo loaded;", `[ $${#TOKEN} = 26 ] || exit 9; [ \"$PLAIN\" = seen ]; echo loaded;`, 1))
	w.rewrite("num_nodes  = 2\n", "num_nodes  = 2\n  secrets = { TOKEN = var.token }\n  secrets_version = \"1\"\n  envs = { PLAIN = \"seen\" }\n")
	w.rewrite("terraform {", "variable \"token\" {\n  type = string\n  ephemeral = true\n}\nterraform {")
	trace := filepath.Join(w.dir, "trace.log")
	env := []string{"TF_LOG=TRACE", "TF_LOG_PATH=" + trace, "TF_VAR_token=" + canary}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := w.startWith(&out, env, args...).Wait()
		return out.String(), err
	}
	if !writeOnly(t, w.cli) {
		w.rewrite("  ephemeral = true\n", "")
		if out, err := run("plan", "-no-color"); err == nil || !strings.Contains(out, "WriteOnly Attribute Not Allowed") {
			t.Errorf("a CLI without write-only attributes said %v:\n%s", err, out)
		}
		writeFile(t, filepath.Join(w.dir, "main.tf"), "") // nothing was made, so there is nothing to destroy
		return
	}
	plan := filepath.Join(w.dir, "saved.tfplan")
	if out, err := run("plan", "-no-color", "-out", plan); err != nil {
		t.Fatalf("plan: %v\n%s", err, out)
	}
	var out bytes.Buffer
	apply := w.startWith(&out, env, "apply", "-no-color", plan)
	w.until("the job has its secret", func() bool { return strings.Count(w.jobLog(), "loaded") == 2 })
	w.holdNothing("while the job runs", canary)
	for _, line := range processes(t, w.lab.dir, "") {
		if strings.Contains(line, "canary-0815") {
			t.Errorf("the secret is in argv: %s", line)
		}
	}
	w.release()
	if err := apply.Wait(); err != nil {
		t.Fatalf("apply: %v\n%s", err, out.String())
	}
	if strings.Contains(out.String(), "canary-0815") {
		t.Errorf("the CLI prints the secret:\n%s", out.String())
	}
	w.holdNothing("after the job", canary)
	env[2] = "TF_VAR_token=another one"
	if out, err := run("plan", "-no-color", "-detailed-exitcode"); err != nil {
		t.Errorf("another value of the same version is a change: %v\n%s", err, out)
	}
	w.rewrite(`secrets_version = "1"`, `secrets_version = "2"`)
	if out, err := run("plan", "-no-color"); err != nil || !strings.Contains(out, "must be replaced") {
		t.Errorf("another version does not run the job anew: %v\n%s", err, out)
	}
	w.rewrite("  secrets = { TOKEN = var.token }\n", "")
	w.rewrite("  ephemeral = true\n", "  default = \"\"\n")
}

// holdNothing looks for a canary in every file of the workspace, of the
// provider and of the machines, saved plans opened.
func (w *workspace) holdNothing(when, canary string) {
	w.t.Helper()
	looked := 0
	look := func(path string, r io.Reader) {
		text, err := io.ReadAll(r)
		looked++
		if err == nil && bytes.Contains(text, []byte(canary[:11])) {
			w.t.Errorf("%s, %s holds the secret", when, path)
		}
	}
	for _, dir := range []string{w.dir, w.lab.dir} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // it went meanwhile
			}
			if archive, err := zip.OpenReader(path); err == nil {
				defer archive.Close()
				for _, member := range archive.File {
					if r, err := member.Open(); err == nil {
						look(path+"/"+member.Name, r)
						_ = r.Close()
					}
				}
			}
			if f, err := os.Open(path); err == nil {
				look(path, f)
				_ = f.Close()
			}
			return nil
		})
		if err != nil {
			w.t.Error(err)
		}
	}
	if looked < 50 {
		w.t.Errorf("%s, only %d files were looked at", when, looked)
	}
}

// jobLog is the local log of the one job there is.
func (w *workspace) jobLog() string {
	logs, err := filepath.Glob(filepath.Join(w.lab.dir, "logs", "*", "*.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	text := ""
	for _, path := range logs {
		if len(filepath.Base(path)) == len("0123456789abcdef01234567.log") {
			text += readFile(w.t, path)
		}
	}
	return text
}

// release lets the jobs go on that wait for a file.
func (w *workspace) release() {
	w.t.Helper()
	for _, home := range w.homes() {
		writeFile(w.t, filepath.Join(home, "go"), "")
	}
}

// starts counts how often jobs were started, on the machines' own disks.
func (w *workspace) starts() int {
	files, err := filepath.Glob(filepath.Join(w.lab.dir, "fluffycloud", "machines", "*", "disk", "home", "starts"))
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		n += strings.Count(readFile(w.t, f), "started")
	}
	return n
}
