// SPDX-License-Identifier: MPL-2.0

package vms

import "io"

// ReadInBlocks is Read by blocks of some length.
func ReadInBlocks(path, cloudName string, in io.Reader, size int64, length int) (*Rows, [32]byte, error) {
	f := newFeed(in, size, length)
	defer f.Close()
	return read(path, cloudName, f)
}
