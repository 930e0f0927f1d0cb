// SPDX-License-Identifier: MPL-2.0

package ignore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds an ignore file, in bytes.
const maxFile = 16 << 20

// GitFile is the name of git's own ignore files.
const GitFile = ".gitignore"

// Read gives the text of an ignore file; nothing where there is none. What is no
// regular file is never read; a symbolic link is followed where links says so.
func Read(path string, links bool) ([]byte, error) {
	stat := os.Lstat
	if links {
		stat = os.Stat
	}
	info, err := stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.Mode().IsRegular():
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading ignore rules: %w", err)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("the ignore file %s has %d bytes, more than %d", path, info.Size(), maxFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading ignore rules: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading ignore rules: %w", err)
	}
	return text, nil
}

// GitDir is where the git repository at root keeps what all its working trees
// share; false where root is the root of none.
func GitDir(root string) (string, bool) {
	dir := filepath.Join(root, ".git")
	info, err := os.Stat(dir)
	if err != nil {
		return "", false
	}
	if info.Mode().IsRegular() { // of a working tree or a submodule
		if dir = pointer(dir, "gitdir: "); dir == "" {
			return "", false
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return "", false
	}
	if common := pointer(filepath.Join(dir, "commondir"), ""); common != "" {
		dir = common
	}
	for _, part := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(dir, part)); err != nil || !info.IsDir() {
			return "", false
		}
	}
	return dir, true
}

// pointer reads a file of git's that names a folder, relative to its own.
func pointer(path, prefix string) string {
	text, err := Read(path, true)
	if err != nil {
		return ""
	}
	name, ok := strings.CutPrefix(strings.TrimRight(string(text), "\r\n"), prefix)
	if !ok || name == "" {
		return ""
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	return name
}

// Of gives the rules of a repository that are not in its tree, those of
// .git/info/exclude, for names relative to root as it is called there: base.
func Of(gitDir, base string) (Rules, error) {
	text, err := Read(filepath.Join(gitDir, "info", "exclude"), true)
	if err != nil {
		return Rules{}, err
	}
	return Rules{}.With(base, text), nil
}

// Around gives the rules for what is in a folder that come from around it: those
// of the repository that it is in, and of the folders between. Where there is no
// repository, as in an archive of one, top is in its place, and the files of the
// folders below have to do. Names are relative to the root of the repository from
// then on; at is the folder's own, "." for the root. A line that leaves out the
// folder itself, or one around it, does not count, since its user names the
// folder all the same; all others do.
func Around(folder string) (r Rules, at string, err error) {
	root := folder
	for {
		if gitDir, ok := GitDir(root); ok {
			r, err = Of(gitDir, ".")
			break
		}
		up := filepath.Dir(root)
		if up == root {
			root = top(folder)
			break
		}
		root = up
	}
	rel, rerr := filepath.Rel(root, folder)
	if err = errors.Join(err, rerr); err != nil || rel == "." {
		return r, ".", err
	}
	base := "."
	for _, name := range strings.Split(filepath.ToSlash(rel), "/") {
		text, err := Read(filepath.Join(root, filepath.FromSlash(base), GitFile), false)
		if err != nil {
			return Rules{}, ".", err
		}
		r = r.With(base, text)
		base = strings.TrimPrefix(base+"/"+name, "./")
		r = r.Naming(base)
	}
	return r, base, nil
}

// top is the folder around a folder in no repository that stands in for the root
// of one: the last below the user's home folder, below a folder that all users
// share, such as /tmp, or below the root of the file system. What lies in those is
// of no project, unless Terraform runs there, as it may in CI.
func top(folder string) string {
	home, here := stat(os.UserHomeDir()), stat(os.Getwd())
	for dir := folder; ; {
		up := filepath.Dir(dir)
		info := stat(up, nil)
		if up == dir || info == nil {
			return dir
		}
		if os.SameFile(info, home) || info.Mode()&fs.ModeSticky != 0 || up == filepath.Dir(up) {
			if os.SameFile(info, here) {
				return up
			}
			return dir
		}
		dir = up
	}
}

// stat is nil where there is nothing to tell.
func stat(name string, err error) fs.FileInfo {
	if err != nil {
		return nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	return info
}
