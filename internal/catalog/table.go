// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
)

// table is the catalog of one cloud, loaded.
type table struct {
	set    *Set
	origin origin
	source Source
	snap   atomic.Pointer[snapshot.Snapshot]
	// repair is held while a damaged snapshot is replaced.
	repair sync.Mutex

	imagesOnce sync.Once
	images     []image
	imagesErr  error
}

// loadTable opens the first place that holds a catalog of the cloud. A bad file
// of the user's is an error; instead of a bad copy the next place is read.
func (s *Set) loadTable(name string, origins []origin) (*table, error) {
	var warnings []string
	for _, o := range origins {
		snap, err := s.open(o)
		if err != nil && o.kind == KindRefreshed {
			warnings = append(warnings, fmt.Sprintf("the copy of the hosted catalog is not usable: %v", err))
			continue
		}
		if err != nil {
			return nil, err
		}
		t := &table{set: s, origin: o, source: s.sourceOf(o, snap)}
		t.source.Warnings = append(warnings, t.source.Warnings...)
		t.snap.Store(snap)
		return t, nil
	}
	return nil, fmt.Errorf("%w for cloud %q: %s", ErrNoCatalog, name, warnings)
}

func (s *Set) sourceOf(o origin, snap *snapshot.Snapshot) Source {
	src := Source{Cloud: o.cloud, Kind: o.kind, Path: o.path, SHA256: hexHash(snap.Content()), Offers: snap.Offers()}
	switch o.kind {
	case KindEmbedded:
		s.describeEmbedded(&src)
	case KindRefreshed:
		s.describeCopy(&src)
	default:
		src.Date = time.Unix(0, snap.Stamp().MTime).UTC()
		if src.Date.After(s.opts.Now().Add(clockSlack)) {
			src.Warnings = append(src.Warnings, fmt.Sprintf("%s is dated in the future (%s); its age is unknown", o.path, src.Date.Format(time.RFC3339)))
			src.Date = time.Time{}
		}
	}
	return src
}

// clockSlack is how far in the future a time may lie before it is disbelieved.
const clockSlack = 24 * time.Hour

// use runs a query on the table's snapshot. Where that turns out to be damaged
// it is made anew from the text and the query runs again.
func (t *table) use(run func(s *snapshot.Snapshot)) error {
	snap := t.snap.Load()
	run(snap)
	if !snap.Bad() {
		return nil
	}
	t.repair.Lock()
	defer t.repair.Unlock()
	if t.snap.Load() == snap {
		fresh, err := t.set.remake(t.origin)
		if err != nil {
			return err
		}
		t.snap.Store(fresh)
	}
	snap = t.snap.Load()
	run(snap)
	if snap.Bad() {
		return fmt.Errorf("the catalog of %s: %w", t.origin.cloud, snapshot.ErrTorn)
	}
	return nil
}

// loadImages reads the images.csv beside the catalog; none is no images. A
// catalog of the user's without one takes the embedded images.
func (t *table) loadImages() ([]image, error) {
	t.imagesOnce.Do(func() {
		path, text, err := t.imagesText()
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			t.imagesErr = fmt.Errorf("reading the images of %s: %w", t.origin.cloud, err)
		default:
			t.images, t.imagesErr = parseImages(path, string(text))
		}
	})
	return t.images, t.imagesErr
}

func (t *table) imagesText() (path string, text []byte, err error) {
	if t.origin.kind != KindEmbedded {
		path = filepath.Join(filepath.Dir(t.origin.path), "images.csv")
		if exists(path) {
			text, err = readCapped(path, maxImagesBytes)
			return path, text, err
		}
	}
	text, err = fs.ReadFile(t.set.opts.Embedded, t.origin.cloud+"/images.csv")
	return "embedded:" + t.origin.cloud + "/images.csv", text, err
}

const maxImagesBytes = 64 << 20
