// SPDX-License-Identifier: MPL-2.0

//go:build unix

package catalog

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// mapFile returns a file's content without reading it. It is never unmapped,
// and the file must never be written in place: snapshots are replaced by rename.
func mapFile(path string) ([]byte, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < headerSize || !st.Mode().IsRegular() {
		return nil, errForeign
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return data, nil
}

// stampOf describes a file as it is now.
func stampOf(path string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return stamp{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return stamp{size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(), inode: st.Ino}, nil
}
