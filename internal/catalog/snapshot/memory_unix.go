// SPDX-License-Identifier: MPL-2.0

//go:build unix

package snapshot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// openWhole opens a snapshot's file, and returns as much memory, of which only
// what is touched takes any. It is outside of the heap, and never given back. A
// mapping of the file itself would need no reading, but a file that shrinks then
// ends the process (SIGBUS), at any time and wherever a text of it is looked at.
func openWhole(path string) ([]byte, *os.File, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && (st.Size() < headerSize || st.Size() > maxBytes) {
		err = errForeign
	}
	var data []byte
	if err == nil {
		data, err = unix.Mmap(-1, 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return data, f, nil
}

// StampOf describes a file as it is now.
func StampOf(path string) (Stamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Stamp{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return Stamp{Size: st.Size, MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Inode: st.Ino}, nil
}
