// SPDX-License-Identifier: MPL-2.0

//go:build latest && !windows

package provider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// anAction is an action block of that type and name.
func anAction(kind, name, config string) string {
	return fmt.Sprintf("action %q %q {\n  config {\n    cluster_id = sky_cluster.c.id\n    %s\n  }\n}\n", kind, name, config)
}

const actedOn = `
resource "sky_cluster" "c" {
  name      = "acted"
  num_nodes = 2
  resources = { accelerators = "T4:1" }
  autostop  = { idle_minutes = 60 }
  %s
}
`

// invoke runs an action and wants texts in what it shows.
func (w *workspace) invoke(address string, want ...string) {
	w.t.Helper()
	w.wantRun(0, want, "apply", "-auto-approve", "-no-color", "-invoke=action."+address)
}

// wantRun runs the CLI, and wants its exit code and texts in what it prints.
func (w *workspace) wantRun(code int, want []string, args ...string) string {
	w.t.Helper()
	got, out := w.output(args...)
	if got != code {
		w.t.Errorf("terraform %v: exit code %d, want %d\n%s", args, got, code, out)
	}
	plain := strings.Join(strings.Fields(strings.ReplaceAll(out, "│", "")), " ")
	for _, text := range want {
		if !strings.Contains(plain, text) {
			w.t.Errorf("terraform %v says no %q:\n%s", args, text, out)
		}
	}
	return out
}

// states counts the living machines by what they do.
func (w *workspace) states() map[string]int {
	count := map[string]int{}
	for _, m := range w.alive() {
		count[m.State]++
	}
	return count
}

// TestAccActionsStopAndStart stops a cluster by an action: no plan undoes that, on this
// computer or on another one, until an action or a change starts it.
func TestAccActionsStopAndStart(t *testing.T) {
	t.Parallel()
	config := func(extra string) string {
		return fmt.Sprintf(actedOn, extra) + anAction("sky_cluster_stop", "a", "") + anAction("sky_cluster_start", "a", "")
	}
	w := newWorkspace(t, config(""))
	w.mustRun(applyArgs()...)
	w.invoke("sky_cluster_stop.a", "all machines are stopped")
	if s := w.states(); s["stopped"] != 2 {
		t.Fatalf("the machines are %v", s)
	}
	w.invoke("sky_cluster_stop.a", "it is stopped already")
	w.wantRun(0, []string{"No changes.", `Cluster "acted" is stopped`, "Stopped by the action sky_cluster_stop."}, "apply", "-auto-approve", "-no-color")
	w.wantRun(0, []string{"No changes."}, "plan", "-detailed-exitcode", "-no-color")
	if s := w.states(); s["stopped"] != 2 {
		t.Fatalf("a plan started machines: %v", s)
	}
	w.wantRun(0, []string{`"STOPPED"`, `"stopped by the action sky_cluster_stop"`}, "state", "show", "-no-color", cluster)

	w.invoke("sky_cluster_start.a", "all machines run; the head is at 127.")
	if s := w.states(); s["running"] != 2 {
		t.Fatalf("the machines are %v", s)
	}
	w.armed("idle=3600")
	w.wantRun(0, []string{"No changes."}, "plan", "-detailed-exitcode", "-no-color")

	// A stop by nobody of ours is drift, as ever: the mark of the action is gone.
	for _, m := range w.alive() {
		if m.Tags["sky-at-rest"] != "" {
			t.Errorf("machine %s still says %q", m.ID, m.Tags["sky-at-rest"])
		}
	}
	// What needs the machines starts them.
	w.invoke("sky_cluster_stop.a", "all machines are stopped")
	w.write(config(`setup = "echo anew"`))
	w.mustRun(applyArgs()...)
	if s := w.states(); s["running"] != 2 {
		t.Fatalf("the machines are %v", s)
	}
	w.unchanged()
}

// armed wants a line in the watchdog's configuration on the head.
func (w *workspace) armed(line string) {
	w.t.Helper()
	found := 0
	for _, home := range w.homes() {
		text, err := os.ReadFile(filepath.Join(home, ".sky", "autostop", "conf"))
		if err == nil && strings.Contains(string(text), "role=head") {
			found++
			if !strings.Contains(string(text), line+"\n") {
				w.t.Errorf("the watchdog has no %q:\n%s", line, text)
			}
		}
	}
	if found != 1 {
		w.t.Errorf("%d heads have a watchdog", found)
	}
}

// TestAccActionsElsewhere is the same from a computer that has the state alone: it is
// seen there, nothing of it is drift, and the start arms autostop as it was.
func TestAccActionsElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, fmt.Sprintf(actedOn, "")+anAction("sky_cluster_stop", "a", "")+anAction("sky_cluster_start", "a", ""))
	w.mustRun(applyArgs()...)
	w.forgetRecords()
	w.invoke("sky_cluster_stop.a", "all machines are stopped")
	w.wantRun(0, []string{"No changes.", `Cluster "acted" is stopped`}, "plan", "-detailed-exitcode", "-no-color")
	if made := w.records(); len(made) > 0 {
		t.Errorf("an action made a record of what it does not know whole: %q", made)
	}
	w.invoke("sky_cluster_start.a", "all machines run")
	w.armed("idle=3600")
	w.wantRun(0, []string{"No changes."}, "plan", "-detailed-exitcode", "-no-color")
}

// forgetRecords leaves of the state folder what another computer has, too: owner and keys.
func (w *workspace) forgetRecords() {
	w.t.Helper()
	records := w.records()
	if len(records) == 0 {
		w.t.Fatal("there are no journals to forget")
	}
	for _, name := range records {
		if err := os.Remove(name); err != nil {
			w.t.Fatal(err)
		}
		settings, _ := filepath.Glob(filepath.Join(filepath.Dir(name), "*", "settings.json")) // the pattern is good
		for _, name := range settings {
			if err := os.Remove(name); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// records are the journals of this computer.
func (w *workspace) records() []string {
	records, err := filepath.Glob(filepath.Join(w.lab.dir, "clusters", "*", "journal.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}

// TestAccActionsExec runs commands on all and on some nodes, by hand and by a trigger.
func TestAccActionsExec(t *testing.T) {
	t.Parallel()
	trigger := `lifecycle {
    action_trigger {
      events  = [after_create]
      actions = [action.sky_cluster_exec.hello]
    }
  }`
	w := newWorkspace(t, fmt.Sprintf(actedOn, trigger)+
		anAction("sky_cluster_exec", "hello", "command = \"echo hello $WORD from $PWD; echo twice >&2\"\n    envs = { WORD = \"world\" }")+
		anAction("sky_cluster_exec", "worker", "command = \"echo only && exit 3\"\n    ranks = [1]")+
		anAction("sky_cluster_exec", "none", "command = \"true\"\n    ranks = [7]")+
		anAction("sky_cluster_exec", "slow", "command = \"sleep 600\"\n    ranks = [0]\n    timeout = \"3s\""))
	w.wantRun(0, []string{"rank 0: hello world from /", "rank 1: hello world from /", "rank 1: twice"}, applyArgs()...)
	w.wantRun(1, []string{"only", "Rank 1: the command ended with exit code 3"}, "apply", "-auto-approve", "-no-color", "-invoke=action.sky_cluster_exec.worker")
	w.wantRun(1, []string{"has 2 nodes, and none of rank 7"}, "apply", "-auto-approve", "-no-color", "-invoke=action.sky_cluster_exec.none")
	w.wantRun(1, []string{"ran out of time"}, "apply", "-auto-approve", "-no-color", "-invoke=action.sky_cluster_exec.slow")
	for _, home := range w.homes() {
		if left, _ := filepath.Glob(filepath.Join(home, ".sky", "scripts", "exec-*")); len(left) > 0 {
			t.Errorf("left on a node: %q", left)
		}
	}
	w.wantRun(0, []string{"No changes."}, "plan", "-detailed-exitcode", "-no-color")
}

// TestAccActionsExtend gives a cluster that stops within seconds more time.
func TestAccActionsExtend(t *testing.T) {
	t.Parallel()
	config := func(autostop string) string {
		return "resource \"sky_cluster\" \"c\" {\n  name = \"acted\"\n  resources = { accelerators = \"T4:1\" }\n  " + autostop + "\n}\n" +
			anAction("sky_autostop_extend", "day", "minutes = 1440") + anAction("sky_autostop_extend", "bad", "minutes = 0")
	}
	w := newWorkspace(t, config("autostop = { idle_minutes = 60 }"))
	if code, out := w.output("plan", "-no-color"); code == 0 || !strings.Contains(out, "a number of minutes") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	w.rewrite(anAction("sky_autostop_extend", "bad", "minutes = 0"), "")
	w.mustRun(applyArgs()...)
	w.invoke("sky_autostop_extend.day", "autostop does not end it before "+time.Now().UTC().Add(23*time.Hour).Format("2006-01-"))
	extended, err := filepath.Glob(filepath.Join(w.homes()[0], ".sky", "autostop", "extended"))
	if err != nil || len(extended) != 1 {
		t.Errorf("no extension is on the head: %v", err)
	}
	w.wantRun(0, []string{"No changes."}, "plan", "-detailed-exitcode", "-no-color")
	w.rewrite("autostop = { idle_minutes = 60 }", "")
	w.mustRun(applyArgs()...)
	w.wantRun(1, []string{"it has no autostop"}, "apply", "-auto-approve", "-no-color", "-invoke=action.sky_autostop_extend.day")
}

// TestAccActionsJobs follows the log of a job that runs, and cancels it; no plan runs it
// again.
func TestAccActionsJobs(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, fmt.Sprintf(actedOn, "")+`
resource "sky_job" "j" {
  name       = "long"
  cluster_id = sky_cluster.c.id
  run        = "echo begun on $SKYPILOT_NODE_RANK; while [ ! -e ~/go ]; do sleep 0.1; done; echo going; while [ ! -e ~/end ]; do sleep 0.1; done"
  num_nodes  = 2
  wait       = false
}
resource "sky_job" "k" {
  name       = "longer"
  cluster_id = sky_cluster.c.id
  run        = "sleep 600"
  wait       = false
}
`+anAction("sky_job_logs", "watch", "job_id = sky_job.j.id")+anAction("sky_job_logs", "short", "job_id = sky_job.j.id\n    timeout = \"20s\"\n    tail_lines = 1")+
		anAction("sky_job_cancel", "c", "job_id = sky_job.k.id")+anAction("sky_job_cancel", "wrong", "job_id = \"0123456789abcdef01234567\""))
	w.mustRun(applyArgs()...)
	w.invoke("sky_job_logs.short", "goes on and is")
	shown := filepath.Join(t.TempDir(), "shown")
	out, err := os.Create(shown)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := w.start(out, "apply", "-auto-approve", "-no-color", "-invoke=action.sky_job_logs.watch")
	w.untilFile(shown, "begun on 0", "begun on 1")
	w.touch("go")
	w.untilFile(shown, "(rank 0) going", "(rank 1) going") // while it watches
	w.touch("end")
	if err := cmd.Wait(); err != nil || !strings.Contains(readFile(t, shown), "ended: SUCCEEDED with exit code 0") {
		t.Errorf("%v\n%s", err, readFile(t, shown))
	}
	w.wantRun(1, []string{"no such job"}, "apply", "-auto-approve", "-no-color", "-invoke=action.sky_job_cancel.wrong")
	w.invoke("sky_job_cancel.c", "is CANCELLED")
	w.invoke("sky_job_cancel.c", "is CANCELLED")
	w.wantRun(0, []string{"No changes."}, applyArgs()...)
	w.wantRun(0, []string{`"CANCELLED"`}, "state", "show", "-no-color", "sky_job.k")
}

// untilFile waits until a file has all the texts.
func (w *workspace) untilFile(name string, texts ...string) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		now := readFile(w.t, name)
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(now, text) }) {
			return
		}
		select {
		case <-deadline:
			w.t.Fatalf("%s never has all of %q:\n%s", name, texts, now)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// touch makes a file in the home folder of every machine.
func (w *workspace) touch(name string) {
	w.t.Helper()
	for _, home := range w.homes() {
		writeFile(w.t, filepath.Join(home, name), "")
	}
}
