// SPDX-License-Identifier: MPL-2.0

//go:build faults && linux

package provider_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// The signal columns of the fault matrix: a provider of its own process under
// the real CLI, struck while a given call of a given step is held up by the
// fault laboratory. What comes after is what a user would do: apply again, and
// destroy.

// strike is how a run ends before its time.
type strike struct {
	name string
	do   func(t *testing.T, apply *exec.Cmd)
	// dead says that nothing of the run could be saved.
	dead bool
}

func strikes() []strike {
	group := func(t *testing.T, apply *exec.Cmd, sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(-apply.Process.Pid, sig); err != nil {
			t.Error(err)
		}
	}
	return []strike{
		{name: "SIGINT", do: func(t *testing.T, apply *exec.Cmd) { group(t, apply, syscall.SIGINT) }},
		{name: "SIGINT twice", dead: true, do: func(t *testing.T, apply *exec.Cmd) {
			group(t, apply, syscall.SIGINT)
			<-time.After(300 * time.Millisecond) // as a hand does
			group(t, apply, syscall.SIGINT)
		}},
		{name: "SIGTERM", do: func(t *testing.T, apply *exec.Cmd) { group(t, apply, syscall.SIGTERM) }},
		{name: "kill -9 provider", dead: true, do: func(t *testing.T, apply *exec.Cmd) {
			for _, pid := range childrenOf(t, apply.Process.Pid) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		}},
		{name: "kill -9 Terraform", dead: true, do: func(t *testing.T, apply *exec.Cmd) {
			if err := apply.Process.Kill(); err != nil {
				t.Error(err)
			}
		}},
	}
}

// struckStep is a row: the call at which the run is struck.
type struckStep struct {
	name string
	// fault holds up the call at which the strike comes; its times is 1.
	fault string
	// ready is when to strike; nil is when the fault has struck.
	ready func(w *workspace) bool
	// args is the command; before it the cluster is applied, if applied.
	args    []string
	applied bool
	// edit changes the configuration of an applied cluster before the run.
	edit  string
	job   bool
	setup string
}

func struckSteps() []struckStep {
	held := func(op string, after int) string {
		return fmt.Sprintf(`{"op":%q,"after":%d,"times":1,"effect":{"delay_ms":3000}}`, op, after)
	}
	running := func(w *workspace) bool {
		n := 0
		for _, m := range w.alive() {
			if m.State == "running" {
				n++
			}
		}
		return n == 2
	}
	return []struckStep{
		{name: "bootstrap", fault: held("firewall", 0), args: applyArgs()},
		{name: "run", fault: held("launch", 0), args: applyArgs()},
		{name: "run, rank 1", fault: held("launch", 1), args: applyArgs()},
		{name: "run, answer lost", fault: `{"op":"launch","times":2,"effect":{"timeout_after_apply":true,"delay_ms":2000}}`, args: applyArgs()},
		{name: "wait", fault: `{"op":"boot","effect":{"boot":"slow","boot_delay_ms":60000}}`, ready: func(w *workspace) bool { return len(w.alive()) == 2 }, args: applyArgs()},
		{name: "ssh", fault: `{"op":"boot","effect":{"boot":"silent"}}`, ready: running, args: applyArgs()},
		{name: "setup", setup: "sleep 300", ready: running, args: applyArgs()},
		{name: "commit", fault: held("tag", 1), args: applyArgs()},
		{name: "job submit", job: true, ready: func(w *workspace) bool { return w.starts() > 0 }, args: applyArgs()},
		{name: "read", applied: true, fault: held("list", 0), args: []string{"plan", "-no-color"}},
		{name: "stop", applied: true, edit: "num_nodes = 2\n  desired_status = \"STOPPED\"", fault: held("stop", 0), args: applyArgs()},
		{name: "terminate", applied: true, fault: held("terminate", 0), args: []string{"destroy", "-auto-approve", "-no-color"}},
		{name: "terminate, rules", applied: true, fault: held("firewall", 0), args: []string{"destroy", "-auto-approve", "-no-color"}},
	}
}

const struckCluster = `
resource "sky_cluster" "c" {
  name      = "struck"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
  setup     = "SETUP"
}
`

const struckJob = `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "count"
  run        = "echo started >> ~/starts; sleep 6"
}
`

// struck reports whether a rule of the laboratory has struck.
func (w *workspace) struck() bool {
	var list struct {
		Faults []struct {
			Fired int `json:"fired"`
		} `json:"faults"`
	}
	w.call("GET", "/v1/faults", nil, &list)
	return slices.ContainsFunc(list.Faults, func(f struct {
		Fired int `json:"fired"`
	}) bool {
		return f.Fired > 0
	})
}

// tally is what the whole lane did.
type tally struct {
	mu              sync.Mutex
	cells, failed   int
	launched, twice int
	// leaked are machines left after the destroy, duplicates those that lived
	// besides the state's after the recovery apply.
	leaked, duplicates int
	rows               map[string]map[string]string
}

func (y *tally) add(step, strike, outcome string, failed bool, launched, twice, leaked, duplicates int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.cells, y.launched, y.twice = y.cells+1, y.launched+launched, y.twice+twice
	y.leaked, y.duplicates = y.leaked+leaked, y.duplicates+duplicates
	if failed {
		y.failed++
		outcome += " FAILED"
	}
	if y.rows == nil {
		y.rows = map[string]map[string]string{}
	}
	if y.rows[step] == nil {
		y.rows[step] = map[string]string{}
	}
	y.rows[step][strike] = outcome
}

func TestFaultSignals(t *testing.T) {
	needAcc(t)
	var y tally
	t.Run("cells", func(t *testing.T) {
		for _, step := range struckSteps() {
			for _, s := range strikes() {
				t.Run(step.name+"/"+s.name, func(t *testing.T) {
					t.Parallel()
					runStruck(t, step, s, &y)
				})
			}
		}
	})
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	header := "STEP"
	for _, s := range strikes() {
		header += "\t" + s.name
	}
	_, _ = fmt.Fprintln(w, header)
	for _, step := range struckSteps() {
		row := step.name
		for _, s := range strikes() {
			row += "\t" + y.rows[step.name][s.name]
		}
		_, _ = fmt.Fprintln(w, row)
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(&b, "COUNTS cells run %d, failed %d, machines launched %d, machines leaked %d, duplicate launches %d, jobs started twice %d\n",
		y.cells, y.failed, y.launched, y.leaked, y.duplicates, y.twice)
	reportFaults(t, "SIGNALS (a real provider process under the real CLI)", b.String())
}

func runStruck(t *testing.T, step struckStep, s strike, y *tally) {
	setup := step.setup
	if setup == "" {
		setup = "true"
	}
	body := strings.Replace(struckCluster, "SETUP", setup, 1)
	if step.job {
		body += struckJob
	}
	w := newWorkspace(t, body)
	if step.applied {
		w.mustRun(applyArgs()...)
	}
	if step.edit != "" {
		w.rewrite("num_nodes = 2", step.edit)
	}
	before, _ := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if step.fault != "" {
		w.fault(step.fault)()
	}
	trace := filepath.Join(w.dir, "trace.log")
	var out bytes.Buffer
	run := w.startWith(&out, []string{"TF_LOG=TRACE", "TF_LOG_PATH=" + trace}, step.args...)
	ready := step.ready
	if ready == nil {
		ready = (*workspace).struck
	}
	w.until("the step is reached", func() bool { return ready(w) })
	s.do(t, run)
	err := run.Wait()
	outcome := w.outcome(step, before, err)
	w.accountedFor("after the strike")
	w.noSecrets(trace)

	w.noFaults()
	w.rewrite(`"sleep 300"`, `"true"`)
	w.recoverApply()
	w.mustRun("plan", "-destroy", "-out", "saved.tfplan", "-no-color")
	w.noSecrets(trace)
	kept, alive := w.held(), w.alive()
	whole := len(alive) == 2 || strings.HasPrefix(step.name, "terminate") // a removal that was cut off leaves fewer
	extra := 0
	for _, m := range alive {
		if !slices.Contains(kept, m.ID) {
			extra++
		}
	}
	if !whole || len(kept) != 2 || extra > 0 {
		t.Errorf("after the recovery apply: alive %+v, in state %v", alive, kept)
	}
	twice := 0
	if step.job {
		if twice = w.starts() - 1; twice != 0 {
			t.Errorf("the job was started %d times", twice+1)
		}
		if state := w.rawState(); !strings.Contains(state, `"status":"SUCCEEDED"`) {
			t.Error("the recovery apply did not wait for the end of the job")
		}
	}
	w.mustRun("destroy", "-auto-approve", "-no-color")
	w.wantEmpty()
	y.add(step.name, s.name, outcome, t.Failed(), w.launched(), max(twice, 0), len(w.alive()), extra)
}

func (w *workspace) outcome(step struckStep, before []byte, err error) string {
	after, _ := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	alive, kept := len(w.alive()), len(w.held())
	switch {
	case err == nil:
		return "done"
	case step.applied && bytes.Equal(before, after):
		return fmt.Sprintf("kept, %d alive", alive)
	case alive == 0 && kept == 0:
		return "clean"
	}
	return fmt.Sprintf("%d alive, %d in state", alive, kept)
}

// recoverApply applies until nobody is in the way: an orphan cleans up for a
// while, and says so by its lock.
func (w *workspace) recoverApply() {
	w.t.Helper()
	for try := 1; ; try++ {
		var out bytes.Buffer
		err := w.start(&out, applyArgs()...).Wait()
		if err == nil {
			return
		}
		busy := strings.Contains(out.String(), "being worked on by") || strings.Contains(out.String(), "Error acquiring the state lock")
		if !busy || try == 15 {
			w.t.Fatalf("the recovery apply: %v\n%s", err, out.String())
		}
		<-time.After(2 * time.Second)
	}
}

// accountedFor asserts that every living machine is in state or announced in
// the journal, and carries a dead-man timer unless it is committed.
func (w *workspace) accountedFor(when string) {
	w.t.Helper()
	journals, err := filepath.Glob(filepath.Join(w.lab.dir, "clusters", "*", "journal.jsonl"))
	if err != nil {
		w.t.Fatal(err)
	}
	record := ""
	for _, j := range journals {
		record += readFile(w.t, j)
	}
	kept := w.held()
	generations := map[string]bool{}
	for _, m := range w.alive() {
		generation := m.Tags["sky-generation"]
		generations[generation] = true
		if !slices.Contains(kept, m.ID) && !strings.Contains(record, `"event":"attempt","generation":"`+generation+`"`) {
			w.t.Errorf("%s: machine %s of generation %s is in no state and in no journal", when, m.ID, generation)
		}
	}
	if len(generations) > 1 {
		w.t.Errorf("%s: %d generations are alive", when, len(generations))
	}
}

// noSecrets looks for private keys and the cloud's API key in all that a run
// writes: state, plan, trace, journal and logs.
func (w *workspace) noSecrets(trace string) {
	w.t.Helper()
	paths := []string{trace, filepath.Join(w.dir, "saved.tfplan"), filepath.Join(w.dir, "terraform.tfstate"), filepath.Join(w.dir, "terraform.tfstate.backup")}
	err := filepath.WalkDir(w.lab.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "fluffycloud" {
			return fs.SkipDir // the cloud's own side
		}
		if name := filepath.Base(path); err == nil && !d.IsDir() && !strings.HasPrefix(name, "id_") && !strings.HasPrefix(name, "host_") {
			paths = append(paths, path)
		}
		if os.IsNotExist(err) {
			return nil // an orphan tidies up
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if filepath.Ext(path) == ".tfplan" {
			text = unzipped(w.t, text)
		}
		for _, secret := range []string{"PRIVATE KEY", w.key} {
			if bytes.Contains(text, []byte(secret)) {
				w.t.Errorf("%s holds a secret (%.11s...)", path, secret)
			}
		}
	}
}

// unzipped is the content of all files of an archive, as a saved plan is one.
func unzipped(t *testing.T, archive []byte) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, f := range z.File {
		r, err := f.Open()
		if err == nil {
			_, err = io.Copy(&all, r)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	if !bytes.Contains(all.Bytes(), []byte("sky_cluster")) {
		t.Error("the saved plan does not speak of the cluster; look elsewhere for secrets")
	}
	return all.Bytes()
}

// A read that fails, however, leaves the state as it was, to the byte.
func TestFaultReads(t *testing.T) {
	needAcc(t)
	reads := []struct {
		name, fault string
		// fine says that the read works out all the same.
		fine bool
	}{
		{name: "500", fault: `{"op":"*","effect":{"error":{"status":500,"code":"internal","message":"oops"}}}`},
		{name: "503", fault: `{"op":"*","effect":{"error":{"status":503,"code":"unavailable","message":"later"}}}`},
		{name: "401", fault: `{"op":"*","effect":{"error":{"status":401,"code":"unauthorized","message":"the key has expired"}}}`},
		{name: "403", fault: `{"op":"list","effect":{"error":{"status":403,"code":"forbidden","message":"no"}}}`},
		{name: "404 for the list", fault: `{"op":"list","effect":{"error":{"status":404,"code":"not_found","message":"no such thing"}}}`},
		{name: "connection dropped", fault: `{"op":"list","effect":{"drop":true}}`},
		{name: "HTML with status 200", fault: `{"op":"list","effect":{"body":"<html>maintenance</html>"}}`},
		{name: "an error body with status 200", fault: `{"op":"list","effect":{"body":"{\"error\":{\"code\":\"internal\",\"message\":\"x\"}}"}}`},
		{name: "a list without its field", fault: `{"op":"list","effect":{"body":"{}"}}`},
		{name: "empty lists", fault: `{"op":"list","effect":{"empty":true}}`, fine: true},
		{name: "one 500", fault: `{"op":"list","times":1,"effect":{"error":{"status":500,"code":"internal","message":"oops"}}}`, fine: true},
		{name: "one 404 for a machine", fault: `{"op":"get","times":1,"effect":{"error":{"status":404,"code":"not_found","message":"no"}}}`, fine: true},
	}
	w := newWorkspace(t, strings.Replace(struckCluster, "SETUP", "true", 1))
	w.mustRun(applyArgs()...)
	w.mustRun("apply", "-refresh-only", "-auto-approve", "-no-color")
	state := filepath.Join(w.dir, "terraform.tfstate")
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "THE CLOUD ANSWERS\tREAD\tSTATE")
	for _, r := range reads {
		before := readFile(t, state)
		w.fault(r.fault)()
		var out bytes.Buffer
		err := w.start(&out, "apply", "-refresh-only", "-auto-approve", "-no-color").Wait()
		w.noFaults()
		verdict, same := "an error", "the same, to the byte"
		if err == nil {
			verdict = "works"
		}
		if (err == nil) != r.fine {
			t.Errorf("%s: the refresh ended with %v\n%s", r.name, err, out.String())
		}
		after := readFile(t, state)
		if r.fine && len(w.inState()) == 2 {
			same = "the cluster is in it"
		} else if before != after {
			same = "CHANGED"
			t.Errorf("%s: the state changed:\n%s\nbecame\n%s", r.name, before, after)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", r.name, verdict, same)
		if len(w.alive()) != 2 {
			t.Fatalf("%s: %d machines are alive", r.name, len(w.alive()))
		}
	}
	_ = table.Flush()
	reportFaults(t, "READS OVER THE WIRE (nothing is dropped from state without proof)", b.String())
}

// gc finds what a killed launch left, over the wire, and removes it; a cluster
// in state it leaves alone.
func TestFaultGC(t *testing.T) {
	needAcc(t)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // gc asks every cloud; this one over the network
	w := newWorkspace(t, strings.Replace(struckCluster, "SETUP", "true", 1))
	w.mustRun(applyArgs()...)
	held := w.held()
	w.rewrite(`"sky_cluster" "c"`, `"sky_cluster" "gone"`) // a second cluster, and the first out of the configuration
	w.rewrite(`"struck"`, `"killed"`)
	w.fault(`{"op":"boot","effect":{"boot":"slow","boot_delay_ms":60000}}`)()
	var out bytes.Buffer
	run := w.start(&out, "apply", "-auto-approve", "-no-color", "-target", "sky_cluster.gone")
	w.until("machines are up", func() bool { return len(w.alive()) == 4 })
	if err := syscall.Kill(-run.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	w.noFaults()
	state := filepath.Join(w.dir, "terraform.tfstate")
	look := func(args ...string) string {
		t.Helper()
		text, err := runTool(t, append([]string{"gc", "--state-dir", w.lab.dir, "--state", state}, args...)...)
		if err != nil {
			t.Errorf("gc %v: %v\n%s", args, err, text)
		}
		return text
	}
	// The killed provider holds the cluster until the kernel has ended it.
	w.until("the killed launch lets go of its cluster", func() bool { return !strings.Contains(look(), "in progress") })
	if text := look(); strings.Count(text, "held") < 2 || strings.Count(text, "unfinished") != 2 || len(w.alive()) != 4 {
		t.Errorf("gc said, with %d machines alive:\n%s", len(w.alive()), text)
	}
	text := look("--delete")
	for _, m := range w.alive() {
		if !slices.Contains(held, m.ID) {
			t.Errorf("gc --delete left %s:\n%s", m.ID, text)
		}
	}
	if len(w.alive()) != 2 {
		t.Errorf("%d machines are alive after gc --delete:\n%s", len(w.alive()), text)
	}
	reportFaults(t, "GC OVER THE WIRE (after a launch killed with kill -9)", text)
}
