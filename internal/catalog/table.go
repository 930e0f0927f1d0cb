// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// table is the catalog of one cloud.
type table struct {
	source Source
	offers []cloud.Offer
	images []image
}

func (s *Set) load(_ context.Context, clouds []string) ([]*table, []Source, error) {
	if clouds == nil {
		var err error
		if clouds, err = s.Clouds(); err != nil {
			return nil, nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var tables []*table
	var sources []Source
	for _, name := range clouds {
		t, err := s.table(name)
		if err != nil {
			return nil, nil, err
		}
		tables, sources = append(tables, t), append(sources, t.source)
	}
	return tables, sources, nil
}

func (s *Set) table(name string) (*table, error) {
	if t, ok := s.tables[name]; ok {
		return t, nil
	}
	text, src, err := s.read(name, "vms.csv")
	if err != nil {
		return nil, err
	}
	rows, err := parseVMs(src.Path, name, text)
	if err != nil {
		return nil, err
	}
	t := &table{source: src, offers: offersOf(name, rows)}
	t.source.Offers = len(t.offers)
	imageText, imageSrc, err := s.read(name, "images.csv")
	switch {
	case errors.Is(err, ErrNoCatalog):
	case err != nil:
		return nil, err
	default:
		if t.images, err = parseImages(imageSrc.Path, string(imageText)); err != nil {
			return nil, err
		}
	}
	s.tables[name] = t
	return t, nil
}

func (s *Set) images(ctx context.Context, name string) ([]image, error) {
	tables, _, err := s.load(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	return tables[0].images, nil
}

// Clouds returns the clouds that any place holds a catalog for, sorted.
func (s *Set) Clouds() ([]string, error) {
	var names []string
	add := func(matches []string) {
		for _, m := range matches {
			if n := filepath.Base(filepath.Dir(m)); !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	embedded, err := fs.Glob(s.opts.Embedded, "*/vms.csv")
	if err != nil {
		return nil, fmt.Errorf("listing the embedded catalogs: %w", err)
	}
	add(embedded)
	for _, dir := range s.folders() {
		entries, err := filepath.Glob(filepath.Join(dir, "*", "vms.csv"))
		if err != nil {
			return nil, fmt.Errorf("listing the catalogs in %s: %w", dir, err)
		}
		add(entries)
	}
	slices.Sort(names)
	return names, nil
}

var schemas = []string{"v8", "v7", "v6", "v5"}

func (s *Set) folders() []string {
	var dirs []string
	if s.opts.Path != "" {
		dirs = append(dirs, s.opts.Path)
	}
	if s.opts.StateDir != "" {
		for _, v := range schemas {
			dirs = append(dirs, filepath.Join(s.opts.StateDir, "catalogs", v))
		}
	}
	return dirs
}

func (s *Set) read(name, file string) ([]byte, Source, error) {
	for i, dir := range s.folders() {
		path := filepath.Join(dir, name, file)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, Source{}, fmt.Errorf("reading the catalog of %s: %w", name, err)
		}
		src := Source{Cloud: name, Kind: KindUser, Path: path, SHA256: hash(text)}
		if i == 0 && s.opts.Path != "" {
			src.Kind = KindPath
		}
		if st, err := os.Stat(path); err == nil {
			src.Date = st.ModTime()
		}
		return text, src, nil
	}
	text, err := fs.ReadFile(s.opts.Embedded, name+"/"+file)
	if err != nil {
		return nil, Source{}, fmt.Errorf("%w holds %s for cloud %q", ErrNoCatalog, file, name)
	}
	return text, Source{Cloud: name, Kind: KindEmbedded, Path: "embedded:" + name + "/" + file, SHA256: hash(text)}, nil
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func offersOf(name string, rows []row) []cloud.Offer {
	out := make([]cloud.Offer, 0, 2*len(rows))
	for _, w := range rows {
		o := cloud.Offer{Cloud: name, Region: w.region, Zone: w.zone, InstanceType: w.typ, Market: cloud.OnDemand, HourlyUSD: w.price}
		if !math.IsNaN(w.price) {
			out = append(out, o)
		}
		if o.Market, o.HourlyUSD = cloud.Spot, w.spot; !math.IsNaN(w.spot) {
			out = append(out, o)
		}
	}
	return out
}

// matches reports whether the offer satisfies the requirement in itself.
func matches(r cloud.Requirement, o *cloud.Offer) bool {
	markets := r.Markets
	if len(markets) == 0 {
		markets = []cloud.Market{cloud.OnDemand}
	}
	same := func(want, got string) bool { return want == "" || strings.EqualFold(want, got) }
	t := &o.InstanceType
	return same(r.Cloud, o.Cloud) && same(r.Region, o.Region) && same(r.Zone, o.Zone) &&
		same(r.InstanceType, t.Name) && slices.Contains(markets, o.Market) &&
		(len(r.Accelerators) == 0 || slices.ContainsFunc(r.Accelerators, func(a cloud.Accelerator) bool {
			return strings.EqualFold(a.Name, t.Accelerator.Name) && math.Abs(a.Count-t.Accelerator.Count) < 0.01
		})) && r.CPUs.Holds(t.VCPUs, t.VCPUs) && r.Memory.Holds(t.MemoryGiB, t.VCPUs)
}
