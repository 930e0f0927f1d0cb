// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// entry is one file, folder ("d") or symbolic link ("l") of a tree.
type entry struct {
	kind byte   // 'f', 'd', 'l'
	path string // slash-separated, "." is the root
	mode fs.FileMode
	hash string // content of a file, target of a link
	info fs.FileInfo
	link string
}

// Tree is a local file or folder as it would be uploaded.
type Tree struct {
	root    string
	single  bool
	entries []entry
	notes   Notes
	own     bool // what is uploaded is ours, and may go among our own records
}

// OpenTree walks src as an upload does, and reads every file once. What is left
// out, and why, is told at walkTree; leave names local folders that stay here.
func OpenTree(src string, leave ...string) (*Tree, error) {
	t, err := walkTree(src, leave...)
	if err != nil {
		return nil, err
	}
	return t, t.hashAll()
}

// Digest is a hash over what is uploaded: names, contents, what links point to,
// and whether a file can be executed. The mode beyond that, which comes from
// this computer's umask, the owner and the times are not in it.
func (t *Tree) Digest() string {
	return t.digest(entry.content)
}

// FormerDigest is the digest as version 0.1 took it, with all of the mode.
func (t *Tree) FormerDigest() string {
	return t.digest(entry.line)
}

func (t *Tree) digest(line func(entry) string) string {
	sum := sha256.New()
	for _, e := range t.entries {
		_, _ = io.WriteString(sum, line(e)) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Size is the sum of all files, in bytes.
func (t *Tree) Size() int64 {
	var n int64
	for _, e := range t.entries {
		if e.kind == 'f' {
			n += e.info.Size()
		}
	}
	return n
}

// line is e in a manifest. Names are quoted, so that a line is a line.
func (e entry) line() string {
	hash := e.hash
	if hash == "" {
		hash = "-"
	}
	return fmt.Sprintf("%c %04o %s %s\n", e.kind, e.mode, hash, strconv.Quote(e.path))
}

// content is what of e counts in a digest, as a line.
func (e entry) content() string {
	kind := e.kind
	if kind == 'f' && e.mode&0o100 != 0 {
		kind = 'x'
	}
	return fmt.Sprintf("%c %s %s\n", kind, e.hash, strconv.Quote(e.path))
}

// same reports whether nobody has to send e where old is.
func (e entry) same(old entry) bool { return e.content() == old.content() }

var errTorn = errors.New("a torn or endless record of the last upload")

func parseManifest(text string) (map[string]entry, error) {
	all := map[string]entry{}
	scanner := bufio.NewScanner(strings.NewReader(text))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		parts := strings.SplitN(scanner.Text(), " ", 4)
		if len(parts) != 4 || len(parts[0]) != 1 {
			return nil, errTorn
		}
		mode, err := strconv.ParseUint(parts[1], 8, 12)
		name, err2 := strconv.Unquote(parts[3])
		if errors.Join(err, err2) != nil || !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, errTorn
		}
		all[name] = entry{kind: parts[0][0], path: name, mode: fs.FileMode(mode), hash: strings.TrimPrefix(parts[2], "-")}
	}
	return all, scanner.Err()
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// hashAll reads the files whose content is not known yet.
func (t *Tree) hashAll() error {
	buf := make([]byte, 256<<10)
	for i := range t.entries {
		e := &t.entries[i]
		if e.kind != 'f' || e.hash != "" {
			continue
		}
		sum := sha256.New()
		if err := t.copyFile(sum, *e, buf); err != nil {
			return err
		}
		e.hash = hex.EncodeToString(sum.Sum(nil))
	}
	return nil
}

// copyFile writes a file's content, exactly as long as it was at the walk.
func (t *Tree) copyFile(w io.Writer, e entry, buf []byte) error {
	f, err := openRegular(t.local(e))
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	defer f.Close()
	n, err := io.CopyBuffer(onlyWriter{w}, io.LimitReader(f, e.info.Size()), buf)
	if err != nil {
		return err
	}
	if n != e.info.Size() {
		return fmt.Errorf("%s changed while it was read", t.local(e))
	}
	return nil
}

// openRegular opens a file, and nothing else: what became a pipe since it was
// listed must not hold us up.
func openRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file any more", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (t *Tree) local(e entry) string { return filepath.Join(t.root, filepath.FromSlash(e.path)) }

// writeEntry adds e to an archive below "tree" and notes its hash on the way.
func (t *Tree) writeEntry(tw *tar.Writer, e *entry, buf []byte) error {
	h := &tar.Header{Name: "tree", Mode: int64(e.mode), ModTime: e.info.ModTime(), Format: tar.FormatGNU}
	if e.path != "." {
		h.Name += "/" + e.path
	}
	switch e.kind {
	case 'd':
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		h.Mode |= 0o700 // files must get in; the exact mode follows
	case 'l':
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.info.Size()
	}
	if err := tw.WriteHeader(h); err != nil {
		return fmt.Errorf("packing %s: %w", e.path, err)
	}
	if e.kind != 'f' {
		return nil
	}
	if e.hash != "" {
		return t.copyFile(tw, *e, buf)
	}
	sum := sha256.New()
	if err := t.copyFile(io.MultiWriter(tw, sum), *e, buf); err != nil {
		return err
	}
	e.hash = hex.EncodeToString(sum.Sum(nil))
	return nil
}
