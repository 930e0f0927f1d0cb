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

// TestMutantsAreCaught breaks the broker, one defence at a time, and sees the
// matrix and the kills fail.
func TestMutantsAreCaught(t *testing.T) {
	all := mutants()
	catchers := make([]string, len(all))
	t.Run("each", func(t *testing.T) {
		for i, m := range all {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				if catchers[i] = m.run(t); catchers[i] == "" {
					t.Errorf("nothing caught it")
				}
			})
		}
	})
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "BROKEN ON PURPOSE\tCAUGHT FIRST BY")
	for i, m := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", m.name, catchers[i])
	}
	_ = w.Flush()
	report(t, "MUTANTS (a deliberately broken broker is caught)", b.String())
}

// run tests the mutant until a cell fails, and returns that cell; empty is none.
func (m mutant) run(t *testing.T) (catcher string) {
	t.Helper()
	texts, err := m.texts()
	if err != nil {
		t.Error(err)
		return ""
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range texts {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
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
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-failfast", "-vet=off", "-overlay", file, "-run", "^(TestFaultMatrix|TestKillAtEveryBoundary|TestAdoption)$", ".")
	cmd.Env = append(os.Environ(), "FAULT_REPORT=")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	failures := regexp.MustCompile(`(?m)^ +--- FAIL: (\S+)`).FindAllStringSubmatch(string(out), -1)
	if len(failures) == 0 {
		t.Errorf("%s: no cell failed, but: %v\n%s", m.name, err, out)
		return ""
	}
	return strings.TrimPrefix(failures[0][1], "Test")
}
