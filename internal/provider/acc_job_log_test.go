// SPDX-License-Identifier: MPL-2.0

//go:build linux

package provider_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAccJobSecretsInEveryLog prints a secret, and follows it through every way
// in which a log is read: at a refresh, which does not know it, by the data
// source, of all ranks and of one, in the error of a job that failed, in the
// local file, and in the provider's own log. On the way the state is edited, so
// that log_path is a place to write.
func TestAccJobSecretsInEveryLog(t *testing.T) {
	t.Parallel()
	const canary = "canary-0816\nsecond line of it, 'quoted'"
	w := newWorkspace(t, strings.Replace(waitedJob, "echo loaded;", `echo \"at $TOKEN\"; touch ~/printed;`, 1)+`
data "sky_job_logs" "all" {
  cluster_id = sky_cluster.c.id
  job_id     = sky_job.j.id
}
data "sky_job_logs" "one" {
  cluster_id = sky_cluster.c.id
  job_id     = sky_job.j.id
  rank       = 1
}
`)
	if !writeOnly(t, w.cli) {
		writeFile(t, filepath.Join(w.dir, "main.tf"), "") // TestAccJobSecrets sees that it is refused
		return
	}
	w.rewrite("echo through", `echo \"end $TOKEN\"; exit 3`)
	w.rewrite("num_nodes  = 2\n", "num_nodes  = 2\n  wait = false\n  setup = \"echo \\\"in setup $TOKEN\\\"\"\n  secrets = { TOKEN = var.token }\n  secrets_version = \"1\"\n")
	w.rewrite("terraform {", "variable \"token\" {\n  type = string\n  ephemeral = true\n}\nterraform {")
	trace := filepath.Join(w.dir, "trace.log")
	env := []string{"TF_LOG=TRACE", "TF_LOG_PATH=" + trace, "TF_VAR_token=" + canary}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := w.startWith(&out, env, args...).Wait()
		if strings.Contains(out.String(), canary[:11]) {
			t.Errorf("%v prints the secret:\n%s", args, out.String())
		}
		return out.String(), err
	}
	if out, err := run(applyArgs()...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.until("both ranks have printed", func() bool {
		for _, home := range w.homes() {
			if _, err := os.Stat(filepath.Join(home, "printed")); err != nil {
				return false
			}
		}
		return true
	})
	env[2] = "TF_VAR_token=not known any more"
	victim, state := filepath.Join(w.dir, "victim"), filepath.Join(w.dir, "terraform.tfstate")
	writeFile(t, state, regexp.MustCompile(`("log_path": ?)"[^"]*"`).ReplaceAllString(readFile(t, state), `$1"`+victim+`"`))
	w.until("a refresh brings the log", func() bool {
		if out, err := run("apply", "-refresh-only", "-auto-approve", "-no-color"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.Contains(w.rawState(), "(rank 1) at (secret)")
	})
	if text := w.rawState(); strings.Count(text, "at (secret)") < 5 || strings.Contains(text, victim) {
		t.Errorf("state: %s", text)
	}
	w.holdNothing("after a refresh", canary)
	w.rewrite("wait = false", "wait = true")
	var out bytes.Buffer
	apply := w.startWith(&out, env, applyArgs()...)
	w.until("the apply waits for the job", func() bool { return strings.Contains(readFile(t, trace), "the job is RUNNING") })
	w.release()
	if err := apply.Wait(); err == nil || !strings.Contains(out.String(), "end (secret)") || strings.Contains(out.String(), canary[:11]) {
		t.Errorf("the failed job: %v\n%s", err, out.String())
	}
	w.holdNothing("after the end", canary)
	if !strings.Contains(w.jobLog(), "in setup (secret)\n") {
		t.Errorf("the local log: %q", w.jobLog())
	}
	if _, err := os.Stat(victim); err == nil {
		t.Error("log_path of the state was written to")
	}
	w.rewrite("  secrets = { TOKEN = var.token }\n", "")
	w.rewrite("  ephemeral = true\n", "  default = \"\"\n")
}
