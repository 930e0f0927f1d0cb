// SPDX-License-Identifier: MPL-2.0

// Package durable writes files of the provider's own: private, whole or not there
// at all, and on the disk when a call returns, where the call does not say otherwise.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// PrivateDir makes dir and its parents with mode 0700. A dir that others may
// write to is refused: keys and the journal live in it.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return CheckPrivate(dir, info)
}

// WriteNew creates path, 0600, and flushes it to the disk. Where it cannot,
// it leaves nothing.
func WriteNew(path string, content []byte) error { return write(path, content, 0o600, (*os.File).Sync) }

func write(path string, content []byte, mode fs.FileMode, flush func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && mode != 0o600 {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, flush(f), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// LinkNew creates path with the content, whole or not at all; fs.ErrExist if
// it is there already.
func LinkNew(path string, content []byte) error {
	tmp := path + "." + RandomHex(6)
	if err := WriteNew(tmp, content); err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Replace puts the text at path, whole or not at all. What a hard kill left
// of an earlier try goes first. The caller holds the cluster's lock.
func Replace(path, text string) error {
	if old, err := filepath.Glob(GlobWord(path) + ".????????"); err == nil {
		for _, half := range old {
			_ = os.Remove(half)
		}
	}
	return swap(path, path+"."+RandomHex(4), []byte(text), 0o600, (*os.File).Sync)
}

// ReplaceShared is Replace for a file that others may write at the same time:
// nobody's half-written file is taken away, and the last one wins.
func ReplaceShared(path string, content []byte) error {
	return swap(path, path+"."+RandomHex(6), content, 0o600, (*os.File).Sync) // a name that Replace does not remove
}

// ReplaceCached is ReplaceShared with a mode, for what can be made anew: readers
// see the old or the new content, but a crash of the computer may leave a torn file.
func ReplaceCached(path string, content []byte, mode fs.FileMode) error {
	return swap(path, path+"."+RandomHex(6), content, mode, func(*os.File) error { return nil })
}

func swap(path, tmp string, content []byte, mode fs.FileMode, flush func(*os.File) error) error {
	if err := write(tmp, content, mode, flush); err != nil {
		return err
	}
	err := os.Rename(tmp, path)
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// SyncDir flushes a folder's entries, so that a file made in it survives a crash.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // folders cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// IsMissing reports whether err says that a file is not there.
func IsMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// GlobWord is a path that stands for itself in a pattern.
func GlobWord(path string) string {
	return strings.NewReplacer("\\", "\\\\", "*", "\\*", "?", "\\?", "[", "\\[").Replace(path)
}

// RandomHex is so many random bytes, as text.
func RandomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}
