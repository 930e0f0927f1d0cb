// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
)

// schemas are the formats this reader knows, the newest first; each has a
// folder of its own in the state folder.
var schemas = [...]string{"v8", "v7", "v6", "v5"}

// meta is what is kept beside a copy of a hosted catalog.
type meta struct {
	URL string `json:"url"`
	// SHA256 is the hash of the file as it was downloaded: where the file has
	// another, somebody edited it, and it is the user's from then on.
	SHA256 string `json:"sha256"`
	// Replaces is the hash of the copy before, for a process that was killed
	// between writing this record and the file.
	Replaces     string    `json:"replaces,omitempty"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
	FetchedAt    time.Time `json:"fetched_at"`
	// CheckedAt is when the host last answered, Failed when it last did not.
	CheckedAt time.Time `json:"checked_at"`
	FailedAt  time.Time `json:"failed_at,omitzero"`
	Problem   string    `json:"problem,omitempty"`
	Rows      int       `json:"rows"`
}

func (s *Set) catalogDir(schema string) string {
	return filepath.Join(s.opts.StateDir, "catalogs", schema)
}

func metaPath(schemaDir, cloudName string) string {
	return filepath.Join(schemaDir, ".meta", cloudName+".json")
}

func readMeta(schemaDir, cloudName string) (meta, bool) {
	var m meta
	text, err := readCapped(metaPath(schemaDir, cloudName), 1<<20)
	if err != nil || json.Unmarshal(text, &m) != nil {
		return meta{}, false
	}
	return m, true
}

// origins returns the places that hold a catalog of the cloud, the one to use
// first.
func (s *Set) origins(name string) ([]origin, error) {
	var out []origin
	if s.opts.Path != "" {
		if _, err := os.Stat(s.opts.Path); err != nil {
			return nil, fmt.Errorf("catalog path: %w", err)
		}
		path := filepath.Join(s.opts.Path, name, "vms.csv")
		if exists(path) {
			out = append(out, origin{name, KindPath, path, s.snapPath(name, path)})
		}
	}
	if s.opts.StateDir != "" {
		var users, copies []origin
		for _, schema := range schemas {
			path := filepath.Join(s.catalogDir(schema), name, "vms.csv")
			if !exists(path) {
				continue
			}
			o := origin{name, KindUser, path, filepath.Join(filepath.Dir(path), ".vms.csv.snap")}
			if m, ok := readMeta(s.catalogDir(schema), name); ok && s.contentIs(o, m.SHA256, m.Replaces) {
				o.kind = KindRefreshed
				copies = append(copies, o)
				continue
			}
			users = append(users, o)
		}
		out = append(append(out, users...), copies...)
	}
	if _, err := fs.Stat(s.opts.Embedded, name+"/vms.csv"); err == nil {
		out = append(out, origin{name, KindEmbedded, "embedded:" + name + "/vms.csv", s.snapPath(name, "")})
	}
	if len(out) == 0 {
		known, err := s.Clouds()
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w for cloud %q: no place holds %s/vms.csv; there are those of %s", ErrNoCatalog, name, name, strings.Join(known, ", "))
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

// snapPath is where the snapshot of a catalog outside the state folder is kept.
func (s *Set) snapPath(name, csv string) string {
	if s.opts.StateDir == "" {
		return ""
	}
	key := "embedded"
	if csv != "" {
		abs, err := filepath.Abs(csv)
		if err != nil {
			return ""
		}
		key = hexHash(sha256.Sum256([]byte(abs)))[:16]
	}
	return filepath.Join(s.opts.StateDir, "catalogs", ".snapshots", name+"-"+key+".snap")
}

// contentIs reports whether a file has one of the hashes, by its snapshot where
// that vouches for it.
func (s *Set) contentIs(o origin, hashes ...string) bool {
	at, err := snapshot.StampOf(o.path)
	if err != nil {
		return false
	}
	if snap := s.stored(o); snap != nil && at.Same(snap.Stamp()) {
		return slices.Contains(hashes, hexHash(snap.Content()))
	}
	content, err := s.hash(o)
	return err == nil && slices.Contains(hashes, hexHash(content))
}

// Clouds returns the clouds that any place holds a catalog for, sorted. Places
// are looked at once.
func (s *Set) Clouds() ([]string, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	if s.clouds != nil {
		return slices.Clone(s.clouds), nil
	}
	names, err := fs.Glob(s.opts.Embedded, "*/vms.csv")
	if err != nil {
		return nil, fmt.Errorf("listing the embedded catalogs: %w", err)
	}
	dirs := []string{s.opts.Path}
	if s.opts.StateDir != "" {
		for _, schema := range schemas {
			dirs = append(dirs, s.catalogDir(schema))
		}
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		found, err := fs.Glob(os.DirFS(dir), "*/vms.csv")
		if err != nil {
			return nil, fmt.Errorf("listing the catalogs in %s: %w", dir, err)
		}
		names = append(names, found...)
	}
	for i, n := range names {
		names[i] = filepath.Dir(filepath.FromSlash(n))
	}
	slices.Sort(names)
	s.clouds = slices.Compact(names)
	return slices.Clone(s.clouds), nil
}
