// SPDX-License-Identifier: MPL-2.0

// Package durable writes files of the provider's own: private, on the disk when a
// call returns, and whole or not there at all.
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
func WriteNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
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
	tmp := path + "." + RandomHex(4)
	if err := WriteNew(tmp, []byte(text)); err != nil {
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
