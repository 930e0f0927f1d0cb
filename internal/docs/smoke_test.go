// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that the guide names exists, and every row names one or says why
// it is out of scope.
func TestSmokeListIsCovered(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("templates", "guides", "skypilot-smoke-tests.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := declared(t)
	named := regexp.MustCompile("`([Tt]est[A-Z][A-Za-z0-9]*)`")
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 && !strings.Contains(cells[3], "Out of scope:") {
			t.Errorf("row %s names no test and does not say why", cells[1])
		}
		for _, m := range tests {
			if !there[m[1]] {
				t.Errorf("row %s: there is no %s", cells[1], m[1])
			}
		}
	}
	if rows < 25 {
		t.Errorf("%d rows were read", rows)
	}
}

// declared are the names of all functions in the tests of the project.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				names[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
