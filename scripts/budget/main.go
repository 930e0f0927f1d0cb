// SPDX-License-Identifier: MPL-2.0

// Command budget fails where a Go package of this repository grows too large for
// one reader: more than 20 files or 3,000 lines. Tests, generated files and
// fixtures (testdata) do not count.
//
//	budget     from the checkout's folder
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// size is what a package has, or may have.
type size struct{ files, lines int }

// general is what a package may have.
func general() size { return size{files: 20, lines: 3000} }

// exceptions are the packages that were larger when the budget came, with the size
// that they have now as their limit. A number here may only fall: split the package,
// lower the number, and remove the entry when the package fits the general budget.
// No package may be added. A zero means the general budget.
func exceptions() map[string]size {
	return map[string]size{
		"internal/cloud/cloudtest": {lines: 3295},
		"internal/fluffycloud":     {files: 29, lines: 4308},
		"internal/remote":          {files: 26, lines: 3573},
	}
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.go").Output()
	if err != nil {
		return fmt.Errorf("budget: git ls-files: %w", err)
	}
	sizes, err := measure(os.DirFS("."), strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }))
	if err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	if found := check(sizes, exceptions()); len(found) > 0 {
		return errors.New("budget: " + strings.Join(found, "\nbudget: "))
	}
	return nil
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// measure sums up the files by package. A file that git still lists and that is
// removed does not count.
func measure(tree fs.FS, files []string) (map[string]size, error) {
	sizes := map[string]size{}
	for _, name := range files {
		dir := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") || slices.Contains(strings.Split(dir, "/"), "testdata") {
			continue
		}
		text, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if generated.Match(text) {
			continue
		}
		s := sizes[dir]
		sizes[dir] = size{files: s.files + 1, lines: s.lines + bytes.Count(text, []byte("\n"))}
	}
	return sizes, nil
}

// check returns what is wrong, one sentence each, in the order of the packages.
func check(sizes, exceptions map[string]size) []string {
	var found []string
	for dir, has := range sizes {
		limit := exceptions[dir]
		found = append(found, checkOne(dir, "files", has.files, limit.files, general().files)...)
		found = append(found, checkOne(dir, "lines", has.lines, limit.lines, general().lines)...)
	}
	for dir := range exceptions {
		if _, ok := sizes[dir]; !ok {
			found = append(found, dir+" does not exist any more: remove it from the exceptions in scripts/budget/main.go")
		}
	}
	slices.Sort(found)
	return found
}

// checkOne compares one number of a package with the exception's limit, where
// that is not 0, else with the general one.
func checkOne(dir, unit string, has, exception, general int) []string {
	switch {
	case exception == 0 && has > general:
		return []string{fmt.Sprintf("%s has %d %s without tests; a package may have %d: move a part of it into a package of its own", dir, has, unit, general)}
	case exception == 0:
		return nil
	case has > exception:
		return []string{fmt.Sprintf("%s has %d %s without tests; it was too large already and may have %d: move a part of it into a package of its own, and do not raise the number", dir, has, unit, exception)}
	case has <= general:
		return []string{fmt.Sprintf("%s has only %d %s and fits the general budget of %d: remove its limit of %d in scripts/budget/main.go", dir, has, unit, general, exception)}
	case has*10 < exception*9:
		return []string{fmt.Sprintf("%s has only %d %s: lower its limit of %d in scripts/budget/main.go to that, so that it does not grow again", dir, has, unit, exception)}
	}
	return nil
}
