// SPDX-License-Identifier: MPL-2.0

// Package catalog answers which machines clouds sell, where and at what price,
// from CSV files in the format of SkyPilot's catalogs (schemas v5 to v8). It
// never needs the network to answer.
package catalog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/catalogs"
)

// Options say where catalogs lie and how hosted ones are kept fresh.
type Options struct {
	// Path is a folder that holds <cloud>/vms.csv and wins over every other place.
	Path string
	// StateDir is the provider's state folder; catalogs lie under "catalogs" in
	// it. Empty means that nothing is kept and only Path and the defaults answer.
	StateDir string
	// Version pins the content: a prefix of Set.Version of at least 8 digits. A
	// query against another content is an error.
	Version string
	// Offline forbids every use of the network.
	Offline bool
	// BaseURL is where hosted catalogs lie, as <BaseURL>/<schema>/<cloud>/vms.csv;
	// empty is SkyPilot's public catalog.
	BaseURL string
	// TTL is how old a copy of a hosted catalog may get before it is refreshed; 0
	// is defaultTTL.
	TTL time.Duration
	// MaxBytes bounds a download; 0 is 64 MiB.
	MaxBytes int64
	// Client is used for downloads; nil is one with a timeout.
	Client *http.Client
	// Embedded holds the default catalogs; nil is those of the binary.
	Embedded fs.FS
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Kind says which place a catalog came from.
type Kind string

// The places, in the order in which they answer.
const (
	KindPath      Kind = "path"      // Options.Path
	KindUser      Kind = "user"      // a file of the user's in the state folder
	KindRefreshed Kind = "refreshed" // the last good copy of the hosted catalog
	KindEmbedded  Kind = "embedded"  // built into the binary
)

// Source says which catalog answered for a cloud.
type Source struct {
	Cloud string `json:"cloud"`
	Kind  Kind   `json:"kind"`
	// Path is the file; for an embedded catalog "embedded:<cloud>/vms.csv".
	Path string `json:"path"`
	// Date is when the prices were written down; zero where that is unknown.
	Date time.Time `json:"date,omitzero"`
	// SHA256 is the content hash of the file in hexadecimal.
	SHA256 string `json:"sha256"`
	// Offers is how many offers the catalog holds.
	Offers int `json:"offers"`
	// Warnings are what the user should be told about this catalog.
	Warnings []string `json:"warnings,omitempty"`
}

// Set is the catalogs of all clouds. Each is loaded when first asked for and
// then kept: one Set is for one process. It is safe for concurrent use.
type Set struct {
	opts Options

	mu     sync.RWMutex
	tables map[string]*table
	// pinned is set once the content was found to be the pinned one.
	pinned bool
	// version is that of all catalogs, once asked for.
	version string

	listing sync.Mutex
	clouds  []string
}

// Open prepares a set; it reads no catalog yet.
func Open(opts Options) (*Set, error) {
	if opts.Embedded == nil {
		opts.Embedded = catalogs.FS
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Version = strings.ToLower(opts.Version)
	if v := opts.Version; v != "" && (len(v) < 8 || strings.Trim(v, "0123456789abcdef") != "") {
		return nil, fmt.Errorf("catalog version %q is not a content hash; give at least 8 of its hexadecimal digits", v)
	}
	if err := opts.checkURL(); err != nil {
		return nil, err
	}
	return &Set{opts: opts, tables: make(map[string]*table)}, nil
}

// ErrNoCatalog says that no place holds a catalog for a cloud.
var ErrNoCatalog = errors.New("no catalog")

// Version is the hash of the content of every catalog in the set, 64
// hexadecimal digits. It changes when any of them does.
func (s *Set) Version(ctx context.Context) (string, error) {
	s.mu.RLock()
	known := s.version
	s.mu.RUnlock()
	if known != "" {
		return known, nil
	}
	tables, err := s.loaded(ctx, nil, false)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, t := range tables {
		b.WriteString(t.source.Cloud + " " + t.source.SHA256 + "\n")
	}
	version := hexHash(sha256.Sum256([]byte(b.String())))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
	return version, nil
}

// Sources says which catalog answers for each of the clouds; nil is all.
func (s *Set) Sources(ctx context.Context, clouds []string) ([]Source, error) {
	tables, err := s.loaded(ctx, clouds, true)
	if err != nil {
		return nil, err
	}
	return sourcesOf(tables), nil
}

func sourcesOf(tables []*table) []Source {
	out := make([]Source, len(tables))
	for i, t := range tables {
		out[i] = t.source
	}
	return out
}

// loaded returns the tables of the clouds, loading those that are not yet.
func (s *Set) loaded(ctx context.Context, clouds []string, pin bool) ([]*table, error) {
	if clouds == nil {
		var err error
		if clouds, err = s.Clouds(); err != nil {
			return nil, err
		}
	}
	if pin && s.opts.Version != "" {
		if err := s.checkPin(ctx); err != nil {
			return nil, err
		}
	}
	tables := make([]*table, len(clouds))
	if s.present(clouds, tables) {
		return tables, nil
	}
	if err := s.loadMissing(ctx, clouds); err != nil {
		return nil, err
	}
	s.present(clouds, tables)
	return tables, nil
}

// present fills in the tables that are loaded and reports whether all are.
func (s *Set) present(clouds []string, into []*table) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := true
	for i, name := range clouds {
		into[i] = s.tables[name]
		all = all && into[i] != nil
	}
	return all
}

// loadMissing loads tables, as many at once as there are processors, and keeps
// those that came out well. The largest comes first: what is last to be done is
// then short.
func (s *Set) loadMissing(ctx context.Context, clouds []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("loading catalogs: %w", err)
	}
	var missing []*loading
	for _, name := range clouds {
		if s.tables[name] == nil && !slices.ContainsFunc(missing, func(l *loading) bool { return l.cloud == name }) {
			missing = append(missing, &loading{cloud: name})
		}
	}
	for _, l := range missing {
		l.origins, l.err = s.origins(l.cloud)
		l.size = sizeOf(l.origins)
	}
	slices.SortStableFunc(missing, func(a, b *loading) int { return cmp.Compare(b.size, a.size) })
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range missing {
		g.Go(func() error {
			if l.err == nil {
				l.table, l.err = s.loadTable(l.cloud, l.origins)
			}
			return nil
		})
	}
	_ = g.Wait()
	var errs []error
	for _, l := range missing {
		if errs = append(errs, l.err); l.err == nil {
			s.tables[l.cloud] = l.table
		}
	}
	return errors.Join(errs...)
}

// loading is the table of a cloud while it is loaded.
type loading struct {
	cloud   string
	origins []origin
	size    int64
	table   *table
	err     error
}

// checkPin compares the content with the pinned version, once.
func (s *Set) checkPin(ctx context.Context) error {
	s.mu.RLock()
	done := s.pinned
	s.mu.RUnlock()
	if done {
		return nil
	}
	version, err := s.Version(ctx)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(version, s.opts.Version) {
		return fmt.Errorf("the catalogs hold version %s, while %s is pinned; prices may have changed since: compare them, then pin the new version or restore the old files", version[:16], s.opts.Version)
	}
	s.mu.Lock()
	s.pinned = true
	s.mu.Unlock()
	return nil
}

// Image resolves an image for a place: a tag of the cloud's images.csv becomes
// the image's id, anything else is the cloud's own id and comes back as it is.
func (s *Set) Image(ctx context.Context, cloudName, image, region, arch string) (string, error) {
	tables, err := s.loaded(ctx, []string{cloudName}, true)
	if err != nil {
		return "", err
	}
	images, err := tables[0].loadImages()
	if err != nil {
		return "", err
	}
	if !isTag(image) && !hasTag(images, image) {
		return image, nil
	}
	return findImage(images, image, region, arch)
}

func isTag(image string) bool { return strings.HasPrefix(strings.ToLower(image), "skypilot:") }
