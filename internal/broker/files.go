// SPDX-License-Identifier: MPL-2.0

package broker

import "github.com/skybroker/terraform-provider-sky/internal/remote"

// Tree is a file or folder of this computer as it would be uploaded.
type Tree = remote.Tree

// Notes are what a user may want to know of a Tree.
type Notes = remote.Notes

// OpenTree reads a file or folder through, as an upload would. leave names local
// folders that stay here.
func OpenTree(path string, leave ...string) (*Tree, error) { return remote.OpenTree(path, leave...) }

// StaysHere notes that no upload takes names of a local folder, or all of it.
func StaysHere(folder string, names ...string) error { return remote.StaysHere(folder, names...) }
