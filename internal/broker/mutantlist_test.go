// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"fmt"
	"os"
	"strings"
	"testing"
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
		one("no journal entry before the create call", "launch/launch.go", "err = u.Intend()", "err = error(nil)"),
		one("no journal entry before the commit", "bringup/bringup.go", "if err := u.Record(journal.Entry{Event: journal.EventCommitting", "if err := u.Record(journal.Entry{Event: journal.EventCreated"),
		one("no inventory before a launch", "launch/launch.go", "adopted, err := l.reconcile(ctx)", "adopted, err := (*cluster.Cluster)(nil), error(nil)"),
		one("clean-up on the cancelled context", "teardown/removal.go", "context.WithTimeoutCause(context.WithoutCancel(ctx), d,", "context.WithTimeoutCause(ctx, d,"),
		one("failover after a removal that failed", "launch/launch.go", "if cleanupErr != nil {", "if false {"),
		one("no dead-man timer", "bringup/spec.go", "spec.Attempt, spec.Deadline, spec.OnShutdown = u.Number, u.deadline, u.OnShutdown", "spec.Attempt, spec.OnShutdown = u.Number, u.OnShutdown"),
		one("one empty answer is death", "clouds/look.go", "for look := range looks {", "for look := range min(looks, 1) {"),
		one("adopts what lacks a machine", "launch/adopt.go", "return running == g.Cluster.Size && len(alive) == running", "return true"),
		one("destroy looks for the cluster's own generation and region only", "change/destroy.go", "return ch.Down.RemoveStrays(ctx, f, j, c)", "return nil"),
		one("a torn line makes the journal unreadable", "journal/journal.go", "parse(text[:whole]); err != nil", "parse(text); err != nil"),
		one("the keys of removed generations stay", "statedir/keys.go", "errs = append(errs, f.RemoveKeys(g.ID))", "_ = f"),
		one("the commit of a growth that was cut off is not finished", "observe/refresh.go", "if g.CommitPending && g.Committed {", "if false {"),
		one("a full disk does not end a launch", "launch/launch.go", "errors.As(failure, new(*journal.Error)),", "false,"),
		one("another place for what fails after SSH", "launch/launch.go", "u.Reached && !errors.As(failure, new(*cloud.Error)):", "false:"),
		one("attempts that fail for one reason without an end", "launch/bound.go", "l.strikes[why] < MostUnexplained {", "true {"),
		one("a lost connection is the place's fault", "nodes/reconnect.go", "for {\n\t\ttry, done", "for {\n\t\treturn nil, &silentError{s.node.Rank, s.node.InstanceID, errEnded}\n\t\ttry, done"),
		one("the user's variables in the log", "launch/launch.go", "l := &launch{", "log.Info(\"launching\", \"envs\", spec.Envs)\n\tl := &launch{"),
		{"no wait for, and no look for, what was asked for and not named", []edit{
			{"bringup/bringup.go", "u.lostAnswer = u.now()", "_ = u.now"},
			{"launch/launch.go", "late, cleanupErr = l.sweep(ctx, nil)", "late, cleanupErr = nil, nil"},
			{"launch/launch.go", "l.sweep(ctx, u)", "[]clouds.Machines(nil), error(nil)"},
		}},
	}
}

// texts are the files of the mutant, by name.
func (m mutant) texts() (map[string]string, error) {
	out := map[string]string{}
	for _, e := range m.edits {
		text, edited := out[e.file]
		if !edited {
			whole, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			text = string(whole)
		}
		if n := strings.Count(text, e.before); n != 1 {
			return nil, fmt.Errorf("%s: %q is %d times in %s, want once", m.name, e.before, n, e.file)
		}
		out[e.file] = strings.Replace(text, e.before, e.after, 1)
	}
	return out, nil
}

// TestMutantsFit sees that every text to be broken is still there, where
// "make test-faults" will break it.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants() {
		if _, err := m.texts(); err != nil {
			t.Error(err)
		}
	}
}
