// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package provider_test

// fillDisk is for Linux.
func fillDisk() error { return nil }
