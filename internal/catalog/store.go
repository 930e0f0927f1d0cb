// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// origin is where the text of a catalog lies.
type origin struct {
	cloud string
	kind  Kind
	// path names the file to people; it is one of the file system unless kind is
	// KindEmbedded.
	path string
	// snap is where the snapshot is kept; empty keeps none.
	snap string
}

// maxCatalogBytes bounds a catalog file; the largest in use has 4 MB.
const maxCatalogBytes = 1 << 30

// open returns the catalog as a snapshot: the stored one where it is of this
// very content, else one made anew and stored.
func (s *Set) open(o origin) (*snapshot.Snapshot, error) {
	at, err := s.stamp(o)
	if err != nil {
		return nil, err
	}
	stored := s.stored(o)
	if stored == nil {
		return s.rebuild(o, at)
	}
	if o.kind != KindEmbedded && at.Same(stored.Stamp()) {
		return stored, nil
	}
	content, err := s.hash(o)
	if err != nil {
		return nil, err
	}
	if stored.Content() != content {
		return s.rebuild(o, at)
	}
	if o.kind != KindEmbedded {
		s.restamp(o, stored, at)
	}
	return stored, nil
}

// rebuild makes a snapshot from the text alone, and stores it.
func (s *Set) rebuild(o origin, at snapshot.Stamp) (*snapshot.Snapshot, error) {
	text, size, err := s.text(o)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	rows, content, err := vms.Read(o.path, o.cloud, text, size)
	if err != nil {
		return nil, err
	}
	data := snapshot.Build(rows, content, at)
	s.store(o, data)
	return snapshot.Open(o.cloud, data)
}

// remake is rebuild, for when a stored snapshot turned out to be damaged.
func (s *Set) remake(o origin) (*snapshot.Snapshot, error) {
	at, err := s.stamp(o)
	if err != nil {
		return nil, err
	}
	return s.rebuild(o, at)
}

// stamp describes the text of a catalog that is to be read now.
func (s *Set) stamp(o origin) (at snapshot.Stamp, err error) {
	if o.kind != KindEmbedded {
		at, err = snapshot.StampOf(o.path)
	}
	at.Taken = s.opts.Now().UnixNano()
	return at, err
}

// text opens the text of a catalog, and says how long it is.
func (s *Set) text(o origin) (io.ReadCloser, int64, error) {
	if o.kind != KindEmbedded {
		return openCapped(o.path, maxCatalogBytes)
	}
	text, err := fs.ReadFile(s.opts.Embedded, o.cloud+"/vms.csv")
	return io.NopCloser(bytes.NewReader(text)), int64(len(text)), err
}

// sizeOf is about how much there is to read: the size of the first file.
func sizeOf(origins []origin) int64 {
	if len(origins) == 0 || origins[0].kind == KindEmbedded {
		return 0
	}
	at, err := snapshot.StampOf(origins[0].path)
	if err != nil {
		return 0 // opening it will say why
	}
	return at.Size
}

// hash is the SHA-256 of the text of a catalog.
func (s *Set) hash(o origin) (sum [32]byte, err error) {
	text, _, err := s.text(o)
	if err != nil {
		return sum, err
	}
	defer text.Close()
	h := sha256.New()
	if _, err := io.Copy(h, text); err != nil {
		return sum, fmt.Errorf("reading %s: %w", o.path, err)
	}
	return [32]byte(h.Sum(nil)), nil
}

// stored opens the snapshot kept for an origin; nil if there is none to trust.
func (s *Set) stored(o origin) *snapshot.Snapshot {
	if o.snap == "" {
		return nil
	}
	snap, err := snapshot.OpenFile(o.cloud, o.snap)
	if err != nil {
		return nil
	}
	return snap
}

// store keeps a snapshot for the next process. That it cannot is no error: the
// next process parses again. It is not synced: a torn one is found out.
func (s *Set) store(o origin, data []byte) {
	if o.snap == "" {
		return
	}
	if err := os.MkdirAll(filepath.Dir(o.snap), 0o700); err == nil {
		_ = durable.ReplaceCached(o.snap, data, 0o600)
	}
}

// restamp records that a file looks different and holds the same.
func (s *Set) restamp(o origin, old *snapshot.Snapshot, at snapshot.Stamp) {
	if data := old.Restamped(at); data != nil {
		s.store(o, data)
	}
}

// readCapped reads a file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	f, size, err := openCapped(path, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, size)
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return text, nil
}

// openCapped opens a regular file of at most limit bytes, and says how many it has.
func openCapped(path string, limit int64) (f *os.File, size int64, err error) {
	if f, err = localfile.Open(path); err != nil {
		if special := (*localfile.NotRegularError)(nil); errors.As(err, &special) {
			err = &vms.FileError{Path: path, Problem: "it is " + special.What + ", not a regular file"}
		}
		return nil, 0, err
	}
	st, err := f.Stat()
	switch {
	case err != nil:
	case st.Size() > limit:
		err = &vms.FileError{Path: path, Problem: fmt.Sprintf("it has %d bytes, more than the %d a catalog may have", st.Size(), limit)}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

func hexHash(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
