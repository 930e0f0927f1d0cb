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
	texts, err := m.texts()
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range texts {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, name)
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
