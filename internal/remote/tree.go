// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"archive/tar"
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
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
}

// OpenTree walks src and reads every file once. A folder's .skyignore, or else
// its .gitignore files, say what is left out; .git always is. Symbolic links
// stay links; sockets, pipes and devices are errors.
func OpenTree(src string) (*Tree, error) {
	t, err := walkTree(src)
	if err != nil {
		return nil, err
	}
	return t, t.hashAll()
}

// Digest is a hash over names, modes and contents.
func (t *Tree) Digest() string {
	sum := sha256.New()
	for _, e := range t.entries {
		_, _ = io.WriteString(sum, e.line()) // a hash takes everything
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

func walkTree(src string) (*Tree, error) {
	root, err := filepath.EvalSymlinks(src)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", src, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", src, err)
	}
	t := &Tree{root: root}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is neither a file nor a folder", src)
		}
		t.single = true
		t.entries = []entry{{kind: 'f', path: ".", mode: info.Mode().Perm(), info: info}}
		return t, nil
	}
	w := &walker{tree: t, rules: newRules(root)}
	if err := filepath.WalkDir(root, w.visit); err != nil {
		return nil, fmt.Errorf("reading %s: %w", src, err)
	}
	slices.SortFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	return t, nil
}

type walker struct {
	tree  *Tree
	rules *rules
}

func (w *walker) visit(path string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(w.tree.root, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	if rel != "." && w.rules.ignored(rel, d) {
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	e := entry{path: rel, mode: info.Mode().Perm(), info: info}
	switch {
	case d.IsDir():
		e.kind = 'd'
		err = w.rules.enter(path, rel)
	case d.Type().IsRegular():
		e.kind = 'f'
	case d.Type()&fs.ModeSymlink != 0:
		e.kind, e.mode = 'l', 0o777
		e.link, err = os.Readlink(path)
		e.hash = hashOf(e.link)
	default:
		return fmt.Errorf("%s is a socket, pipe or device: leave it out with a line in .skyignore", rel)
	}
	w.tree.entries = append(w.tree.entries, e)
	return err
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
	f, err := os.Open(t.local(e))
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

// rules are the ignore files met so far, the most general first.
type rules struct {
	own      bool // .skyignore at the root: it alone counts
	patterns []gitignore.Pattern
}

func newRules(root string) *rules {
	r := &rules{}
	if _, err := os.Stat(filepath.Join(root, ".skyignore")); err == nil {
		r.own = true
	}
	return r
}

// enter reads the ignore file of a folder.
func (r *rules) enter(path, rel string) error {
	name := ".gitignore"
	if r.own {
		name = ".skyignore"
		if rel != "." {
			return nil
		}
	}
	data, err := os.ReadFile(filepath.Join(path, name)) //nolint:gosec // a file of the user's own tree
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading ignore rules: %w", err)
	}
	var domain []string
	if rel != "." {
		domain = strings.Split(rel, "/")
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		r.patterns = append(r.patterns, gitignore.ParsePattern(line, domain))
	}
	return nil
}

func (r *rules) ignored(rel string, d fs.DirEntry) bool {
	if d.Name() == ".git" {
		return true
	}
	return gitignore.NewMatcher(r.patterns).Match(strings.Split(rel, "/"), d.IsDir())
}
