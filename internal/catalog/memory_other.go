// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package catalog

import (
	"os"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// openWhole reads a snapshot's file whole where an open one cannot be replaced.
func openWhole(path string) ([]byte, *os.File, error) {
	data, err := localfile.Read(path, maxCatalogBytes)
	return data, nil, err
}

// stampOf describes a file as it is now.
func stampOf(path string) (stamp, error) {
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{size: st.Size(), mtime: st.ModTime().UnixNano()}, nil
}
