// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skybroker/terraform-provider-sky/"

// room is a row of DESIGN.md's table of rooms.
type room struct {
	paths   []string
	imports []string // as the row names them
}

// holds reports whether a package is the room's own, or lies within it.
func (r room) holds(pkg string) bool {
	return slices.ContainsFunc(r.paths, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, strings.TrimSuffix(p, "/")+"/") })
}

// rooms reads the table, the most deeply nested rooms first.
func rooms(t *testing.T) []room {
	t.Helper()
	_, text, _ := strings.Cut(read(t, "DESIGN.md"), "\n## Rooms\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var out []room
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		var r room
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			p := strings.TrimSuffix(m[1], "<name>") // ends with "/" then: what lies below
			if p == m[1] {
				p = strings.TrimSuffix(p, "/")
			}
			r.paths = append(r.paths, strings.Replace(p, "main.go", ".", 1))
		}
		words := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(cells[3], "")
		for word := range strings.FieldsFuncSeq(words, func(r rune) bool { return r == ',' }) {
			if word = strings.TrimSpace(word); word != "" && word != "nothing" && word != "the standard library" {
				r.imports = append(r.imports, word)
			}
		}
		out = append(out, r)
	}
	if len(out) < 20 {
		t.Fatalf("%d rooms in the table", len(out))
	}
	slices.SortStableFunc(out, func(a, b room) int { return strings.Count(b.paths[0], "/") - strings.Count(a.paths[0], "/") })
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// packages are the folders with Go code that is no test, and what each imports of
// the module.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if n := e.Name(); name != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "tools" || n == "bin" || n == "dist") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		pkg := filepath.ToSlash(rel)
		out[pkg] = append(out[pkg], "")
		for _, i := range file.Imports {
			if p, err := strconv.Unquote(i.Path.Value); err == nil && strings.HasPrefix(p, module) {
				out[pkg] = append(out[pkg], strings.TrimPrefix(p, module))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRoomsAreAsDesignSays: every package lies in a room of DESIGN.md's table,
// every row stands for something, and nothing is imported that its row does not name.
func TestRoomsAreAsDesignSays(t *testing.T) {
	t.Parallel()
	table, tree := rooms(t), packages(t)
	of := func(pkg string) (room, bool) {
		i := slices.IndexFunc(table, func(r room) bool { return r.holds(pkg) })
		if i < 0 {
			return room{}, false
		}
		return table[i], true
	}
	for _, r := range table {
		for _, p := range r.paths {
			if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(p))); err != nil {
				t.Errorf("the table has a row for %s, which is not there", p)
			}
		}
	}
	for pkg, imports := range tree {
		own, ok := of(pkg)
		if !ok {
			t.Errorf("the table has no row for %s", pkg)
			continue
		}
		for _, i := range slices.Compact(slices.Sorted(slices.Values(imports))) {
			if i != "" && !own.holds(i) && !allowed(own, i) {
				t.Errorf("%s imports %s, which the row of %s does not name", pkg, i, strings.Join(own.paths, ", "))
			}
		}
	}
}

// allowed reports whether a row names a package: by its path's end, by a room that
// it lies in, or as one of "its rooms" or "drivers".
func allowed(r room, pkg string) bool {
	return slices.ContainsFunc(r.imports, func(word string) bool {
		switch word {
		case "its rooms", "its rooms but gc":
			return r.holds(path.Dir(pkg)) && (word == "its rooms" || path.Base(pkg) != "gc")
		case "drivers":
			return path.Dir(pkg) == "internal/cloud"
		}
		return pkg == word || strings.HasSuffix(pkg, "/"+word) || strings.HasPrefix(pkg, "internal/"+word+"/")
	})
}

// TestFilesThatDocsNameAreThere: a file named in a document about the project is in
// the tree, at the path given or, where only its name is given, anywhere.
func TestFilesThatDocsNameAreThere(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == ".tools") {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(root, name)
		rel = filepath.ToSlash(rel)
		for rest, more := rel, true; more; _, rest, more = strings.Cut(rest, "/") {
			names[rest] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile("`((?:[\\w.-]+/)*[\\w-]+\\.(?:go|sh|py|tmpl|csv|mod))`")
	looked := 0
	for _, doc := range []string{"DESIGN.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "internal/docs/templates/guides/adding-a-cloud.md"} {
		for _, m := range file.FindAllStringSubmatch(read(t, doc), -1) {
			looked++
			if !names[m[1]] {
				t.Errorf("%s names %s, which is not there", doc, m[1])
			}
		}
	}
	if looked < 10 {
		t.Errorf("only %d files were looked for", looked)
	}
}
