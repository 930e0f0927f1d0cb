// SPDX-License-Identifier: MPL-2.0

//go:build faults

package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
)

// edit replaces text that is once in a file.
type edit struct{ file, before, after string }

// mutant is a broker with one of its defences taken out. Where two defences
// stand in for each other, both are.
type mutant struct {
	name  string
	edits []edit
}

func mutants() []mutant {
	one := func(name, file, before, after string) mutant { return mutant{name, []edit{{file, before, after}}} }
	return []mutant{
		one("no journal entry before the create call", "launch.go", "if err := a.journalIntent(ctx); err != nil {", "if err := error(nil); err != nil {"),
		one("no journal entry before the commit", "attempt.go", "if err := a.journal.append(entry{Event: eventCommitting", "if err := a.journal.append(entry{Event: eventCreated"),
		one("no census before a launch", "launch.go", "adopted, err := l.reconcile(ctx)", "adopted, err := (*Cluster)(nil), error(nil)"),
		one("clean-up on the cancelled context", "remove.go", "context.WithTimeoutCause(context.WithoutCancel(ctx), d,", "context.WithTimeoutCause(ctx, d,"),
		one("failover after a removal that failed", "launch.go", "if cleanupErr != nil {", "if false {"),
		one("no dead-man timer", "attempt.go", "Deadline: a.deadline,", ""),
		one("one empty answer is death", "refresh.go", "for look := range 2 {", "for look := range 1 {"),
		one("adopts what lacks a machine", "census.go", "return running == g.Cluster.Size && len(alive) == running", "return true"),
		one("destroy looks for the cluster's own generation and region only", "destroy.go", "return b.removeStrays(ctx, j, c)", "return nil"),
		one("a torn line makes the journal unreadable", "journal.go", "parseJournal(text[:whole]); err != nil", "parseJournal(text); err != nil"),
		one("the keys of removed generations stay", "keys.go", "errs = append(errs, removeKeys(b.ClusterDir(name), g.ID))", "_ = name"),
		one("the commit of a growth that was cut off is not finished", "refresh.go", "if g.halfway && g.committed {", "if false {"),
		one("a full disk does not end a launch", "launch.go", "errors.As(failure, new(*journalError)),", "false,"),
		one("the user's variables in the log", "launch.go", "l := &launch{Broker: b,", "log.Info(\"launching\", \"envs\", spec.Envs)\n\tl := &launch{Broker: b,"),
		{"no wait for, and no look for, what was asked for and not named", []edit{
			{"attempt.go", "a.lostAnswer = a.cfg.Now()", "_ = a.cfg"},
			{"launch.go", "late, cleanupErr = l.sweep(ctx, nil)", "late, cleanupErr = nil, nil"},
			{"attempt.go", "a.sweep(ctx, a)", "[]found(nil), error(nil)"},
		}},
	}
}

// TestMutantsAreCaught breaks the broker, one defence at a time, and sees the
// matrix and the kills fail.
func TestMutantsAreCaught(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "BROKEN ON PURPOSE\tCAUGHT BY\tFIRST")
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			cells, first := m.run(t)
			if cells == 0 {
				t.Errorf("nothing caught it")
			}
			_, _ = fmt.Fprintf(w, "%s\t%d cells\t%s\n", m.name, cells, first)
		})
	}
	_ = w.Flush()
	report(t, "MUTANTS (a deliberately broken broker is caught)", b.String())
}

// run tests the mutant and returns how many cells fail, and the first ones.
func (m mutant) run(t *testing.T) (cells int, first string) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for _, e := range m.edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		from := path
		if replace[path] != "" {
			from = replace[path]
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.before); n != 1 {
			t.Errorf("%s: %q is %d times in %s, want once", m.name, e.before, n, e.file)
			return 0, ""
		}
		replace[path] = filepath.Join(dir, e.file)
		if err := os.WriteFile(replace[path], []byte(strings.Replace(string(text), e.before, e.after, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-overlay", file, "-run", "^(TestFaultMatrix|TestKillAtEveryBoundary|TestAdoption)$", ".")
	cmd.Env = append(os.Environ(), "FAULT_REPORT=")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return 0, ""
	}
	failures := regexp.MustCompile(`(?m)^ +--- FAIL: (\S+)`).FindAllStringSubmatch(string(out), -1)
	if len(failures) == 0 {
		t.Errorf("%s: no cell failed, but: %v\n%s", m.name, err, out)
		return 0, ""
	}
	return len(failures), strings.TrimPrefix(failures[0][1], "Test")
}
