// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package snapshot

import (
	"os"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// openWhole reads a snapshot's file whole where an open one cannot be replaced.
func openWhole(path string) ([]byte, *os.File, error) {
	data, err := localfile.Read(path, maxBytes)
	return data, nil, err
}

// StampOf describes a file as it is now.
func StampOf(path string) (Stamp, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Stamp{}, err
	}
	return Stamp{Size: st.Size(), MTime: st.ModTime().UnixNano()}, nil
}
