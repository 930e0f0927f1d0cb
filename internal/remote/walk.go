// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/remote/ignore"
)

const (
	maxEntries = 1 << 20 // files and folders of a tree
	maxBytes   = 1 << 40 // of all its files
)

// ownIgnore is the ignore file that stands in for git's.
const ownIgnore = ".skyignore"

// walkTree lists what of src is uploaded, the one list for digest and upload.
// Left out is
//
//   - what never travels, see neverTravels and the folders to leave;
//   - what the ignore files say: git's, or from the first folder with a
//     .skyignore on downwards those alone;
//   - .git, unless a .skyignore says "!.git";
//   - what is no file, folder or link: pipes, sockets and devices are noted and
//     never opened.
//
// Links stay links. A folder in which there is nothing else stays as well, as git
// has no such folders: a job's __pycache__ must be no change. One in which there
// is nothing at all was made on purpose, and travels. What cannot be read is an
// error.
func walkTree(src string, leave ...string) (*Tree, error) {
	root, err := filepath.EvalSymlinks(src)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", src, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", src, err)
	}
	t := &Tree{root: root}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is neither a file nor a folder", src)
		}
		t.single = true
		t.entries = []entry{{kind: 'f', path: ".", mode: info.Mode().Perm(), info: info}}
		return t, nil
	}
	w := &walker{tree: t, stay: newStaying(root, leave)}
	if _, err := w.folder(".", info, scope{}); err != nil {
		return nil, fmt.Errorf("reading %s: %w", src, err)
	}
	slices.SortFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	return t, nil
}

type walker struct {
	tree  *Tree
	stay  staying
	bytes int64
}

// scope is what holds for a folder and all below it.
type scope struct {
	rules ignore.Rules
	own   bool   // .skyignore counts, and git's files do not
	at    string // the root of the tree, as the rules call it
	local ignore.Rules
}

// named is how the rules call a path of the tree.
func (s scope) named(rel string) string {
	switch {
	case s.at == "" || s.at == ".":
		return rel
	case rel == ".":
		return s.at
	}
	return s.at + "/" + rel
}

// folder adds a folder and what is in it. It reports whether there is nothing in
// it but what does not travel, in which case the folder does not travel either.
func (w *walker) folder(rel string, info fs.FileInfo, s scope) (hollow bool, err error) {
	dir := w.tree.local(entry{path: rel})
	children, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	w.tree.notes.folder(dir, rel, children)
	if s, err = w.enter(s, dir, rel, children); err != nil {
		return false, err
	}
	plans := rel == "." || holdsConfiguration(children)
	stayed, kept := 0, 0
	for _, d := range children {
		name := d.Name()
		if rel != "." {
			name = rel + "/" + name
		}
		if neverTravels(d) || w.stay.folder(name) || s.stays(name, d.IsDir()) || plans && isPlan(dir, d) {
			stayed++
			continue
		}
		empty, err := w.child(name, d, s)
		if err != nil {
			return false, err
		}
		if empty {
			stayed++
		} else {
			kept++
		}
	}
	// A folder that was there before a job's outputs came goes on travelling.
	if stayed > 0 && kept == 0 && rel != "." && (!has(children, localFile) || s.stays(rel+"/"+localFile, false)) {
		return true, nil
	}
	return false, w.add(entry{kind: 'd', path: rel, mode: info.Mode().Perm(), info: info})
}

// child adds what is in a folder, unless the rules leave it out. It reports
// whether they do, or whether it is a folder in which they leave nothing.
func (w *walker) child(rel string, d fs.DirEntry, s scope) (hollow bool, err error) {
	if d.Name() == ".git" && !s.own {
		return true, nil
	}
	if out, _ := s.rules.Match(s.named(rel), d.IsDir()); out {
		return true, nil
	}
	if !d.IsDir() && !d.Type().IsRegular() && d.Type()&fs.ModeSymlink == 0 {
		w.tree.notes.special(rel)
		return false, nil
	}
	info, err := d.Info()
	if err != nil {
		return false, err
	}
	switch {
	case d.IsDir():
		return w.folder(rel, info, s)
	case d.Type().IsRegular():
		return false, w.add(entry{kind: 'f', path: rel, mode: info.Mode().Perm(), info: info})
	}
	target, err := os.Readlink(w.tree.local(entry{path: rel}))
	if err != nil {
		return false, err
	}
	return false, w.add(entry{kind: 'l', path: rel, mode: 0o777, info: info, link: target, hash: hashOf(target)})
}

func (w *walker) add(e entry) error {
	w.tree.entries = append(w.tree.entries, e)
	if e.kind == 'f' {
		w.bytes += e.info.Size()
	}
	const hint = "; name a smaller folder, or leave some out with lines in a .skyignore"
	switch {
	case len(w.tree.entries) > maxEntries:
		return fmt.Errorf("more than %d files and folders%s", maxEntries, hint)
	case w.bytes > maxBytes:
		return fmt.Errorf("more than %d GiB, the last of it in %s%s", maxBytes>>30, e.path, hint)
	}
	return nil
}

// enter reads what a folder says of its content.
func (w *walker) enter(s scope, dir, rel string, children []fs.DirEntry) (scope, error) {
	git, gitIgnore, own := has(children, ".git"), has(children, ignore.GitFile), has(children, ownIgnore)
	var err error
	switch {
	case own && !s.own: // from here on it alone counts
		s.own, s.rules = true, ignore.Rules{}.With(s.named(rel), []byte(".git\n"))
	case s.own:
	case rel == ".":
		s.rules, s.at, err = ignore.Around(dir)
	case git: // a repository within: nothing of the one around holds for it
		if gitDir, ok := ignore.GitDir(dir); ok {
			s.rules, err = ignore.Of(gitDir, s.named(rel))
		}
	}
	if err == nil && (s.own && own || !s.own && gitIgnore) {
		name := ignore.GitFile
		if s.own {
			name = ownIgnore
		}
		var text []byte
		if text, err = ignore.Read(filepath.Join(dir, name), s.own); err == nil {
			s.rules = s.rules.With(s.named(rel), text)
		}
	}
	if err == nil && has(children, localFile) && (rel != "." || w.stay.root || holdsConfiguration(children)) {
		var text []byte
		text, err = ignore.Read(filepath.Join(dir, localFile), false)
		s.local = s.local.With(rel, text)
	}
	return s, err
}

// stays reports whether a list of what stays, there or in a folder around, has
// a name.
func (s scope) stays(rel string, isFolder bool) bool {
	out, _ := s.local.Match(rel, isFolder)
	return out
}

// sameFile reports whether two names are of one file or folder.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return errors.Join(err, err2) == nil && os.SameFile(x, y)
}

// has looks a name up in a folder, which is sorted.
func has(children []fs.DirEntry, name string) bool {
	_, ok := slices.BinarySearchFunc(children, name, func(d fs.DirEntry, name string) int { return cmp.Compare(d.Name(), name) })
	return ok
}

// within is what name is called inside root; false where it is not in there.
func within(root, name string) (string, bool) {
	rel, err := filepath.Rel(root, name)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

func hasAnySuffix(name string, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}
