// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package durable

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// CheckPrivate refuses a file or folder of another user, and one that others
// may write to.
func CheckPrivate(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s belongs to user %d, not to you (%d)", path, st.Uid, os.Getuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others may change it; run: chmod go-w %s", path, mode, path)
	}
	return nil
}
