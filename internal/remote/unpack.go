// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// maxRefusals bounds how many refusals are kept, of a node that sends nothing else.
	maxRefusals = 1000
	// entrySlack is what an entry may take of the stream beside its content.
	entrySlack = 16 << 10
	// endSlack is what may follow the end of an archive, which is padded.
	endSlack = 1 << 20
)

// unpacker writes an archive below a folder.
type unpacker struct {
	root   *os.Root
	asked  asked
	bytes  int64 // left
	files  int   // left
	limits Fetch

	met     spellings
	placed  map[string]bool
	Fetched Fetched
}

// preamble reads what get.sh says of the node's folders, before the archive.
func preamble(br *bufio.Reader) (base, home string, err error) {
	for _, folder := range []*string{&base, &home} {
		line, err := br.ReadSlice('\n')
		name := strings.TrimSuffix(string(line), "\n")
		if err != nil || !path.IsAbs(name) || badName(name[1:]) != "" {
			return "", "", errors.New("the node does not say where it reads")
		}
		*folder = name
	}
	return base, home, nil
}

// unpack reads the node's answer. Its archive is read to the end, also beyond what a tar
// reader needs, so that the sender is never cut off.
func unpack(r io.Reader, root *os.Root, f Fetch) (Fetched, error) {
	raw := &io.LimitedReader{R: r, N: f.MaxBytes + int64(f.MaxFiles)*entrySlack + endSlack}
	br := bufio.NewReaderSize(raw, 256<<10)
	base, home, err := preamble(br)
	if err != nil {
		return Fetched{}, err
	}
	u := &unpacker{root: root, bytes: f.MaxBytes, files: f.MaxFiles, limits: f, met: spellings{}, placed: map[string]bool{}}
	if u.asked, err = parseAsked(base, home, f.Patterns); err != nil {
		return Fetched{}, &LocalError{err}
	}
	if _, err := br.Peek(1); errors.Is(err, io.EOF) {
		return u.Fetched, nil // nothing was asked for
	}
	err = u.all(tar.NewReader(br))
	if err == nil {
		var n int64
		if n, err = io.Copy(io.Discard, io.LimitReader(br, endSlack)); n == endSlack {
			err = &LocalError{errors.New("the node's archive does not end")}
		}
	} else if raw.N <= 0 {
		err = &LocalError{errors.New("the node sends more than its files hold")}
	}
	return u.Fetched, err
}

func (u *unpacker) all(tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		before := len(u.met)
		if err := u.entry(h, tr); err != nil {
			return err
		}
		// What is refused counts, and so do the folders that a name needs.
		if u.files -= max(1, len(u.met)-before); u.files < 0 {
			return &LocalError{fmt.Errorf("%w: there are more than %d files and folders", ErrTooMuch, u.limits.MaxFiles)}
		}
	}
}

// entry takes one member of the archive, or says why not.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if why := badName(h.Name); why != "" {
		u.refuse(h.Name, why)
		return nil
	}
	name := path.Clean(h.Name)
	why := u.asked.judge(name)
	if name == "." && why == "" {
		return nil
	}
	if why == "" {
		if was := u.met.add(split(name)); was != "" {
			why = fmt.Sprintf("there is %q as well, which some computers cannot tell from it", Clean(was))
		} else if !filepath.IsLocal(filepath.FromSlash(name)) {
			why = "this computer has no such names"
		} else if behindLink(u.root, name) {
			why = "a link is in its way"
		}
	}
	if why != "" {
		u.refuse(name, why)
		return nil
	}
	why, err := u.place(name, h, content)
	if err != nil && misfit(err) {
		why, err = "it cannot be written here: "+plain(err), nil
	}
	if why != "" {
		u.refuse(name, why)
	}
	return err
}

func (u *unpacker) refuse(name, why string) {
	if len(u.Fetched.Refused) < maxRefusals {
		u.Fetched.Refused = append(u.Fetched.Refused, Refusal{Name: strings.Join(strings.Fields(Clean(name)), " "), Why: why})
	}
}

// misfit is an error of one file, where others may still be written.
func misfit(err error) bool {
	return slices.ContainsFunc([]error{syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EILSEQ},
		func(kind error) bool { return errors.Is(err, kind) })
}

// plain is an error without the names that the caller says.
func plain(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// place writes one member, or says why it cannot be taken.
func (u *unpacker) place(name string, h *tar.Header, content io.Reader) (why string, err error) {
	mode := fs.FileMode(h.Mode).Perm() //nolint:gosec // permission bits only
	local := filepath.FromSlash(name)
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.MkdirAll(local, mode|0o700); err != nil {
			return "", &LocalError{fmt.Errorf("writing %s: %w", name, err)}
		}
		return "", nil
	case tar.TypeReg:
		err = u.file(name, mode, h.Size, content)
	case tar.TypeSymlink:
		if filepath.IsAbs(h.Linkname) || path.IsAbs(h.Linkname) || !filepath.IsLocal(filepath.Join(filepath.Dir(local), filepath.FromSlash(h.Linkname))) || winds(h.Linkname) {
			return fmt.Sprintf("it is a link to %q, outside the folder: name the file itself", Clean(h.Linkname)), nil
		}
		if err = errors.Join(u.root.MkdirAll(filepath.Dir(local), 0o755), gone(u.root.Remove(local)), u.root.Symlink(h.Linkname, local)); err != nil {
			err = &LocalError{fmt.Errorf("writing %s: %w", name, err)}
		}
	case tar.TypeLink:
		return u.again(name, path.Clean(h.Linkname))
	case tar.TypeFifo:
		return "it is a pipe", nil
	case tar.TypeChar, tar.TypeBlock:
		return "it is a device", nil
	default:
		return "it is neither a file nor a folder", nil
	}
	if err == nil {
		u.Fetched.Files = append(u.Fetched.Files, name)
		u.placed[name] = h.Typeflag == tar.TypeReg
	}
	return "", err
}

// again writes a file that the archive holds under another name, since the node
// has a hard link.
func (u *unpacker) again(name, was string) (why string, err error) {
	if name == was {
		return "", nil // two patterns matched it
	}
	if !u.placed[was] {
		return fmt.Sprintf("it is a hard link to %q, which did not come: name that, too", Clean(was)), nil
	}
	f, err := u.root.Open(filepath.FromSlash(was))
	if err != nil {
		return "", &LocalError{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", &LocalError{err}
	}
	if err := u.file(name, info.Mode().Perm(), info.Size(), f); err != nil {
		return "", err
	}
	u.Fetched.Files, u.placed[name] = append(u.Fetched.Files, name), true
	return "", nil
}

// file writes a file of the size that the archive claims, within the bound.
func (u *unpacker) file(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if size > u.bytes {
		return &LocalError{fmt.Errorf("%w: with %s they hold more than %d MiB", ErrTooMuch, name, u.limits.MaxBytes>>20)}
	}
	u.bytes -= size
	if err := placeFile(u.root, filepath.FromSlash(name), mode, content); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// behindLink reports whether a folder of the name is a link, which leads
// somewhere else than the name says.
func behindLink(root *os.Root, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(filepath.FromSlash(dir)); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

// winds reports whether a link leads through what may be another link, so that
// its words do not tell where it ends.
func winds(target string) bool {
	down := false
	for word := range strings.SplitSeq(target, "/") {
		if word == ".." && down {
			return true
		}
		down = down || (word != ".." && word != "." && word != "")
	}
	return false
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// placeFile writes a file whole or not at all. What fails here, rather than on
// the way from the node, is a *LocalError.
func placeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return &LocalError{err}
	}
	temp := filepath.Join(filepath.Dir(name), ".sky-"+nonce())
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode|0o600)
	if err != nil {
		return &LocalError{err}
	}
	sent := &remembers{r: content}
	_, err = io.Copy(onlyWriter{f}, sent)
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		_ = root.Remove(temp)
		if sent.err == nil {
			err = &LocalError{err}
		}
	}
	return err
}

// remembers keeps the error of its reader, to tell it from the writer's.
type remembers struct {
	r   io.Reader
	err error
}

func (r *remembers) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
