// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// neverTravels reports whether something is Terraform's or our own, by its name:
// state with its backups and locks, .terraform and what is named like it,
// variables, plans, crash logs, caches, lists of what stays. It holds secrets, or
// changes with every apply.
func neverTravels(d fs.DirEntry) bool {
	name := d.Name()
	switch {
	case strings.HasPrefix(name, ".terraform"):
		return true
	case d.IsDir():
		return name == "terraform.tfstate.d" || name == ".terragrunt-cache"
	case name == "tfplan", name == "terraform.rc", name == localFile, strings.Contains(name, ".tfstate."):
		return true
	case name == "crash.log", strings.HasPrefix(name, "crash.") && strings.HasSuffix(name, ".log"):
		return true
	}
	return hasAnySuffix(name, ".tfstate", ".tfvars", ".tfvars.json", ".tfplan")
}

// holdsConfiguration reports whether a folder is a module of Terraform.
func holdsConfiguration(children []fs.DirEntry) bool {
	for _, d := range children {
		if !d.IsDir() && hasAnySuffix(d.Name(), ".tf", ".tf.json", ".tofu", ".tofu.json") {
			return true
		}
	}
	return false
}

// isPlan reports whether a file is a saved plan, which may have any name: an
// archive that begins with the file "tfplan".
func isPlan(dir string, d fs.DirEntry) bool {
	const first = "tfplan"
	if !d.Type().IsRegular() {
		return false
	}
	f, err := openRegular(filepath.Join(dir, d.Name()))
	if err != nil {
		return false // the upload says so
	}
	defer func() { _ = f.Close() }()
	var head [30 + len(first)]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false
	}
	return bytes.HasPrefix(head[:], []byte("PK\x03\x04")) && int(binary.LittleEndian.Uint16(head[26:])) == len(first) && string(head[30:]) == first
}

// staying are local folders that are not uploaded from the tree at root.
type staying struct {
	inside []string // below it
	root   bool     // one is the root itself, or around it: its list of what stays counts
}

func newStaying(root string, leave []string) staying {
	var s staying
	for _, name := range leave {
		if abs, err := filepath.Abs(name); err == nil {
			name = abs
		}
		if target, err := filepath.EvalSymlinks(name); err == nil {
			name = target
		}
		switch rel, ok := within(root, name); {
		case ok && rel != ".":
			s.inside = append(s.inside, rel)
		case ok:
			s.root = true
		default:
			_, around := within(name, root)
			s.root = s.root || around
		}
	}
	return s
}

func (s staying) folder(rel string) bool {
	for _, name := range s.inside {
		if rel == name {
			return true
		}
	}
	return false
}

// localFile is a list, in the form of an ignore file, of what in a folder the
// provider made and no upload takes: outputs of jobs, its own state. It does not
// count at the root of an upload, which somebody named on purpose, unless that
// is where Terraform itself runs.
const localFile = ".skylocal"

const localHead = "# What the Terraform provider sky put here. It is not uploaded again. Remove this file to upload it.\n"

// KeepFromUploads notes that names of a folder, slash-separated and relative to it,
// came from the provider, or with no names that all in it does.
func KeepFromUploads(folder string, names ...string) error {
	file := filepath.Join(folder, localFile)
	old, err := os.ReadFile(file) //nolint:gosec // a file of our own
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("noting what is not to be uploaded: %w", err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(old)) {
		lines[line] = true
	}
	var more strings.Builder
	if len(old) == 0 {
		more.WriteString(localHead)
	}
	if len(names) == 0 && !lines["*\n"] {
		more.WriteString("*\n")
	}
	for _, name := range names {
		line := "/" + escape(path.Clean(name)) + "\n"
		if !lines["*\n"] && !lines[line] && !strings.Contains(name, "\n") {
			lines[line] = true
			more.WriteString(line)
		}
	}
	if more.String() == "" || more.String() == localHead {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // no secret, in a folder of the user's
	if err == nil {
		_, err = f.WriteString(more.String()) // one write, so that two jobs do not mix
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("noting what is not to be uploaded: %w", err)
	}
	return nil
}

// escape takes from a name what has a meaning in ignore files.
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `).Replace(name)
}
