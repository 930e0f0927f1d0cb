// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"archive/tar"
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed get.sh
var getScript string

// ErrNoMatch is a pattern that nothing on the node matches.
var ErrNoMatch = errors.New("no such file on the node")

// noMatch is what get.sh exits with then.
const noMatch = 66

// Get fetches what matches shell patterns on the node into the local folder
// dest, as one stream, and returns the files' paths below dest. Patterns are
// relative to base where that folder exists, else to the home folder; "~/" and
// absolute ones are allowed, and their names lose their first slash. A pattern
// that matches nothing is an error. Each file appears whole or not at all, and
// nothing is ever written outside dest, whatever the node sends.
func (c *Client) Get(ctx context.Context, base string, patterns []string, dest string) ([]string, error) {
	for _, p := range patterns {
		if p == "" || strings.ContainsAny(p, "\n\x00") {
			return nil, fmt.Errorf("%q is not a pattern", Clean(p))
		}
	}
	if err := os.MkdirAll(dest, 0o755); err != nil { //nolint:gosec // a folder of the user's, as mkdir makes it
		return nil, fmt.Errorf("making the folder for outputs: %w", err)
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return nil, fmt.Errorf("opening the folder for outputs: %w", err)
	}
	defer root.Close()
	pr, pw := io.Pipe()
	type result struct {
		files []string
		err   error
	}
	unpacked := make(chan result, 1)
	go func() {
		files, err := unpack(pr, root)
		pr.CloseWithError(err)
		unpacked <- result{files, err}
	}()
	said := &tail{max: 4096}
	script := fmt.Sprintf("base=%s\n%s", homePath(base), getScript)
	code, err := c.Run(ctx, Command{Script: script, Stdin: strings.NewReader(strings.Join(patterns, "\n") + "\n"), Stdout: pw, Stderr: said})
	_ = pw.Close()
	local := <-unpacked
	switch {
	case code == noMatch:
		err = fmt.Errorf("%w: %s", ErrNoMatch, Clean(said.String()))
	case code > 0:
		err = &ExitError{Code: code, Stderr: Clean(said.String())}
	case err == nil || errors.Is(err, local.err):
		err = local.err
	}
	if err != nil {
		return local.files, fmt.Errorf("fetching outputs from %s: %w", c.addr, err)
	}
	return local.files, nil
}

// unpack reads an archive to its end, also beyond what a tar reader needs, so
// that the sender is never cut off.
func unpack(r io.Reader, root *os.Root) ([]string, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	if _, err := br.Peek(1); errors.Is(err, io.EOF) {
		return nil, nil // nothing was asked for
	}
	tr := tar.NewReader(br)
	var files []string
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, br)
			return files, err
		}
		if err != nil {
			return files, fmt.Errorf("reading the archive: %w", err)
		}
		name := filepath.FromSlash(path.Clean(strings.TrimLeft(h.Name, "/")))
		if !filepath.IsLocal(name) {
			return files, fmt.Errorf("the node sent a file named %q, outside the folder asked for", Clean(h.Name))
		}
		isFile, err := place(root, name, h, tr)
		if err != nil {
			return files, err
		}
		if isFile {
			files = append(files, filepath.ToSlash(name))
		}
	}
}

// place writes one member of an archive.
func place(root *os.Root, name string, h *tar.Header, content io.Reader) (isFile bool, err error) {
	mode := fs.FileMode(h.Mode).Perm() //nolint:gosec // permission bits only
	switch h.Typeflag {
	case tar.TypeDir:
		err = root.MkdirAll(name, mode|0o700)
	case tar.TypeReg:
		isFile, err = true, placeFile(root, name, mode, content)
	case tar.TypeSymlink:
		if filepath.IsAbs(h.Linkname) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), filepath.FromSlash(h.Linkname))) || winds(root, name, h.Linkname) {
			return false, fmt.Errorf("%s is a link to %q, outside the folder: name the file itself", name, Clean(h.Linkname))
		}
		err = errors.Join(root.MkdirAll(filepath.Dir(name), 0o755), gone(root.Remove(name)), root.Symlink(h.Linkname, name))
		isFile = true
	case tar.TypeLink:
		return false, fmt.Errorf("%s is a hard link to %q: name the file itself", name, Clean(h.Linkname))
	default:
		return false, fmt.Errorf("%s is neither a file nor a folder", name)
	}
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", name, err)
	}
	return isFile, nil
}

// winds reports whether a link, or its target, leads through what may be another
// link, so that its words do not tell where it ends.
func winds(root *os.Root, name, target string) bool {
	down := false
	for word := range strings.SplitSeq(target, "/") {
		if word == ".." && down {
			return true
		}
		down = down || (word != ".." && word != "." && word != "")
	}
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if info, err := root.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func placeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(name), ".sky-"+nonce())
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp)
	}
	return err
}
