// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"io/fs"
	"path/filepath"
	"slices"
)

// Notes are what a user may want to know of a tree.
type Notes struct {
	// Special names pipes, sockets and devices, which stay here, the first of them.
	Special []string
	// SpecialCount is how many there are.
	SpecialCount int
	// Configuration says that Terraform's configuration is in the tree.
	Configuration bool
	// Empty says that the folder has something in it, and nothing travels.
	Empty bool
}

// maxNamed bounds what one message names.
const maxNamed = 5

func (n *Notes) special(rel string) {
	if n.SpecialCount++; len(n.Special) < maxNamed {
		n.Special = append(n.Special, rel)
	}
}

// folder looks at one folder of a tree, the root first.
func (n *Notes) folder(dir, rel string, children []fs.DirEntry) {
	if rel == "." {
		n.Configuration = holdsConfiguration(children)
		n.Empty = len(children) > 0 // until something is added
		return
	}
	if !n.Configuration && holdsConfiguration(children) {
		n.Configuration = sameFile(dir, ".")
	}
}

// Notes are about the tree as it was walked.
func (t *Tree) Notes() Notes {
	n := t.notes
	n.Empty = n.Empty && len(t.entries) <= 1
	n.Special = slices.Clone(n.Special)
	return n
}

// Has reports whether a file, folder or link of that name is in the tree.
func (t *Tree) Has(name string) bool {
	return slices.ContainsFunc(t.entries, func(e entry) bool { return e.path == filepath.ToSlash(name) })
}
