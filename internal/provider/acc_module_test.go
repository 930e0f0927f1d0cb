// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccTestedModule tests examples/tested-module as its guide says, but for
// the state folder, on a cloud whose first zone has nothing left.
func TestAccTestedModule(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "")
	module := filepath.Join(w.dir, "module")
	if err := os.CopyFS(module, os.DirFS(filepath.Join("..", "..", "examples", "tested-module"))); err != nil {
		t.Fatal(err)
	}
	tests := filepath.Join(module, "tests", "count.tftest.hcl")
	text := readFile(t, tests)
	if !strings.Contains(text, `"./.sky-test"`) {
		t.Fatal("the tests name another state folder")
	}
	writeFile(t, tests, strings.ReplaceAll(text, "./.sky-test", w.lab.dir))
	w.call("POST", "/v1/faults", map[string]any{
		"op": "launch", "match": map[string]any{"zone": "meadow-1a"},
		"effect": map[string]any{"error": map[string]any{"code": "insufficient_capacity"}},
	}, nil)
	var out bytes.Buffer
	if err := w.start(&out, "-chdir=module", "test", "-no-color").Wait(); err != nil || !strings.Contains(out.String(), "3 passed, 0 failed") {
		t.Errorf("%v\n%s", err, out.String())
	}
	var list struct{ Faults []struct{ Fired int } }
	if w.call("GET", "/v1/faults", nil, &list); len(list.Faults) != 1 || list.Faults[0].Fired == 0 {
		t.Errorf("the fault did not strike: %+v", list)
	}
	w.wantEmpty()
}
