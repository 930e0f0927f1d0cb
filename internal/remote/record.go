// SPDX-License-Identifier: MPL-2.0

package remote

// RecordPath is where a node records the last upload to dest, below the home
// folder. Without the record the next upload to dest sends everything.
func RecordPath(dest string) string { return ".sky/trees/" + hashOf(dest)[:32] }

// Source is the local path of the tree.
func (t *Tree) Source() string { return t.root }
