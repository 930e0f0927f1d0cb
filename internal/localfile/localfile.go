// SPDX-License-Identifier: MPL-2.0

// Package localfile reads files of this computer whose names somebody else
// gave: a pipe that nobody writes to, a device without an end and a file that is
// far too large are errors, not a provider that hangs or eats all memory.
package localfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// NotRegularError says that a name stands for no regular file.
type NotRegularError struct {
	Path string
	// What it is instead, in words.
	What string
}

// Error implements error.
func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%s is %s, not a regular file", e.Path, e.What)
}

// TooLargeError says that a file has more bytes than it may have.
type TooLargeError struct {
	Path string
	Max  int64
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than the %s that are read of such a file", e.Path, size(e.Max))
}

// ExpandHome replaces a leading "~/" by the home folder, for names that no shell has
// expanded. Without a home folder the name stays as it is.
func ExpandHome(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return name
}

// Open opens a regular file; links are followed. It never waits for the other
// end of a pipe.
func Open(path string) (*os.File, error) {
	// To open a device can have effects, so it is looked at before.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	if info, err = f.Stat(); err == nil {
		err = regular(path, info) // another one may have come meanwhile
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Read returns the content of a regular file of at most maxBytes.
func Read(path string, maxBytes int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // it names the path
	case int64(len(text)) > maxBytes:
		return nil, &TooLargeError{path, maxBytes}
	}
	return text, nil
}

func regular(path string, info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	default:
		what = "something else"
	}
	return &NotRegularError{path, what}
}

// size writes a bound as people do.
func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
