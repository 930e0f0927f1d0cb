// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"fmt"
	"os"
	"syscall"
)

// checkPrivate refuses a folder of another user, and one that others may write
// to: the server's address and key are believed because of where they are. Root
// may use anybody's folder.
func checkPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the state folder: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to you (%d): give a folder of your own with --state-dir", dir, st.Uid, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others may change it; run: chmod go-w %s", dir, mode, dir)
	}
	return nil
}
