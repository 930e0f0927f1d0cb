// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package catalog

import "os"

// mapFile reads a file whole where there is no portable way to map it so that
// it can still be replaced.
func mapFile(path string) ([]byte, error) { return os.ReadFile(path) }

// stampOf describes a file as it is now.
func stampOf(path string) (stamp, error) {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{size: st.Size(), mtime: st.ModTime().UnixNano()}, nil
}
