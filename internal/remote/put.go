// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

//go:embed put.sh
var putScript string

//go:embed touched.sh
var touchedScript string

//go:embed tree.sh
var treeScript string

// Put writes a file in one step: it appears whole, with its mode, or not at
// all. Missing parent folders are made. path may start with "~/".
func (c *Client) Put(ctx context.Context, r io.Reader, path string, mode fs.FileMode) error {
	end := nonce()
	source := &failing{r: r}
	words := &tail{max: 4096}
	code, err := c.Run(ctx, Command{
		Script: fmt.Sprintf("target=%s mode=%04o end=%s\n%s", homePath(path), mode.Perm(), end, putScript),
		// A connection that dies looks like the end of the file; only a whole
		// file is followed by this.
		Stdin:  io.MultiReader(source, strings.NewReader(end)),
		Stderr: words,
	})
	switch {
	case source.err != nil:
		return fmt.Errorf("uploading %s: %w", path, locally(source.err))
	case err != nil:
		return fmt.Errorf("uploading %s: %w", path, err)
	case code != 0:
		return fmt.Errorf("uploading %s to %s: %w", path, c.addr, said(&ExitError{Code: code, Stderr: Clean(words.String())}))
	}
	return nil
}

// failing remembers what went wrong with a reader.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// PutTree uploads a file or folder to dest, "~/" allowed, as one stream.
//
// The upload is staged beside dest and put in place only once it is whole: by
// one rename where dest is new; else file by file, each by a rename, so that
// folders a job works in stay, files the job made stay, and files that an
// earlier upload brought and src no longer has go. Only what changed since the
// last upload to dest, here or there, travels; nothing does when nothing changed.
//
// What of src is left out is told at OpenTree. An upload that would fail again wherever it is tried is an *UploadError.
func (c *Client) PutTree(ctx context.Context, src, dest string, leave ...string) error {
	t, err := walkTree(src, leave...)
	if err != nil {
		return locally(err)
	}
	if err := c.putTree(ctx, t, dest, false); err != nil {
		return fmt.Errorf("uploading %s to %s:%s: %w", src, c.addr, dest, err)
	}
	return nil
}

// Put uploads an opened tree, as PutTree does, to a place that may be our own.
func (t *Tree) Put(ctx context.Context, c *Client, dest string) error {
	if err := c.putTree(ctx, t, dest, true); err != nil {
		return fmt.Errorf("uploading %s to %s:%s: %w", t.root, c.addr, dest, err)
	}
	return nil
}

// putTree uploads to a path that a user named, or one of ours, which may be
// among our records.
func (c *Client) putTree(ctx context.Context, shared *Tree, named string, own bool) error {
	dest := named
	if !strings.HasPrefix(dest, "~/") {
		dest = strings.TrimSuffix(dest, "/")
	} else if dest = path.Clean(dest); dest != "~" && !strings.HasPrefix(dest, "~/") {
		dest = ""
	}
	if dest == "" || path.Clean(dest) == "/" || strings.ContainsRune(dest, 0) {
		return locally(fmt.Errorf("%q cannot be a target", Clean(named)))
	}
	// Uploads to several nodes may share a tree; hashes are noted in a copy.
	t := &Tree{root: shared.root, single: shared.single, entries: append([]entry(nil), shared.entries...), own: own}
	last, err := c.lastUpload(ctx, dest)
	if err != nil {
		return err
	}
	if last == nil {
		return c.stream(ctx, t, dest, nil)
	}
	if err := t.hashAll(); err != nil {
		return locally(err)
	}
	touched, err := c.touched(ctx, t, dest)
	if err != nil {
		return err
	}
	if last.digest == t.Digest() && len(touched) == 0 {
		return nil
	}
	if !t.single {
		if last.entries, err = c.lastManifest(ctx, dest); err != nil {
			return err
		}
		for name := range touched {
			delete(last.entries, name)
		}
	}
	return c.stream(ctx, t, dest, last)
}

// touched is what of the tree somebody, a job say, has changed or removed at
// dest since the last upload.
func (c *Client) touched(ctx context.Context, t *Tree, dest string) (map[string]bool, error) {
	var script commands
	fmt.Fprintf(&script, "dest=%s record=%s\n%s", homePath(dest), recordPath(dest), touchedScript)
	var words []string
	ours := map[string]bool{}
	for _, e := range t.entries {
		ours[e.path] = true
		words = append(words, Quote("./"+e.path))
	}
	if !t.single {
		script.each("absent", words, "")
	}
	out := &capped{max: 256 << 20}
	code, err := c.Run(ctx, Command{Script: script.String(), Stdout: out})
	if err != nil || code != 0 {
		return nil, fmt.Errorf("looking for what has changed since the last upload (exit code %d): %w", code, cmp.Or(err, errTorn))
	}
	if out.over {
		return ours, nil
	}
	touched := map[string]bool{}
	for name := range strings.SplitSeq(out.buf.String(), "\x00") {
		if name = strings.TrimPrefix(name, "./"); t.single && name != "" {
			touched["."] = true
		} else if ours[name] {
			touched[name] = true
		}
	}
	return touched, nil
}

// upload is what a node recorded of the last upload to a target.
type upload struct {
	digest  string // "-" where it was interrupted while it was put in place
	entries map[string]entry
}

func recordPath(dest string) string { return `"$HOME"/` + RecordPath(dest) }

func (c *Client) lastUpload(ctx context.Context, dest string) (*upload, error) {
	out, err := c.Output(ctx, fmt.Sprintf("if [ -e %s ] && [ -f %[2]s ]; then head -n 1 %[2]s; fi", homePath(dest), recordPath(dest)))
	if err != nil {
		return nil, said(fmt.Errorf("reading the record of the last upload: %w", err))
	}
	if digest := strings.TrimSpace(out); digest != "" {
		return &upload{digest: digest}, nil
	}
	return nil, nil //nolint:nilnil // there was no upload
}

func (c *Client) lastManifest(ctx context.Context, dest string) (map[string]entry, error) {
	out := &capped{max: 256 << 20}
	code, err := c.Run(ctx, Command{Script: "tail -n +2 " + recordPath(dest), Stdout: out})
	if err != nil || code != 0 || out.over {
		return nil, fmt.Errorf("reading the record of the last upload (exit code %d): %w", code, cmp.Or(err, errTorn))
	}
	// A torn record only costs work: without entries everything is sent.
	entries, _ := parseManifest(out.buf.String())
	return entries, nil
}

// stream sends what last lacks and has the node put it in place.
func (c *Client) stream(ctx context.Context, t *Tree, dest string, last *upload) error {
	pr, pw := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		bw := bufio.NewWriterSize(pw, 512<<10) // small writes would be small packets
		err := t.pack(bw, last)
		if err == nil {
			err = bw.Flush()
		}
		pw.CloseWithError(err)
		packed <- err
	}()
	kind := "folder"
	if t.single {
		kind = "file"
	}
	own := ""
	if t.own {
		own = "yes"
	}
	script := fmt.Sprintf("dest=%s record=%s id=%s kind=%s own=%s\n%s", homePath(dest), recordPath(dest), nonce(), kind, own, treeScript)
	_, err := Output(ctx, c, Command{Script: script, Stdin: pr})
	pr.CloseWithError(errUploadEnded)
	if local := <-packed; local != nil && !errors.Is(local, errUploadEnded) {
		return locally(local)
	}
	return said(err)
}

var errUploadEnded = errors.New("the upload ended")

// pack writes the archive: the tree's new parts, the script that puts them in
// place beside what is there, and last the manifest, whose presence says that
// nothing is missing.
func (t *Tree) pack(w io.Writer, last *upload) error {
	tw := tar.NewWriter(w)
	buf := make([]byte, 256<<10)
	whole := last == nil || last.digest == "-" || last.entries == nil
	for i := range t.entries {
		e := &t.entries[i]
		if !whole && e.kind != 'd' {
			if old, ok := last.entries[e.path]; ok && e.same(old) {
				continue
			}
		}
		if err := t.writeEntry(tw, e, buf); err != nil {
			return err
		}
	}
	if err := writeText(tw, "apply", t.applyScript(last)); err != nil {
		return err
	}
	if err := writeText(tw, "modes", t.modesScript(last)); err != nil {
		return err
	}
	var manifest bytes.Buffer
	manifest.WriteString(t.Digest() + "\n")
	for _, e := range t.entries {
		manifest.WriteString(e.line())
	}
	if err := writeText(tw, "manifest", manifest.String()); err != nil {
		return err
	}
	return tw.Close()
}

func writeText(tw *tar.Writer, name, text string) error {
	err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text)), ModTime: time.Unix(0, 0), Format: tar.FormatGNU})
	if err == nil {
		_, err = io.WriteString(tw, text)
	}
	if err != nil {
		return fmt.Errorf("packing: %w", err)
	}
	return nil
}
