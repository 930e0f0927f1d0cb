// SPDX-License-Identifier: MPL-2.0

// Package catalog answers which machines clouds sell, where and at what price,
// from CSV files in the format of SkyPilot's catalogs (schemas v5 to v8). It
// never needs the network to answer.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/catalogs"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Options say where catalogs lie.
type Options struct {
	// Path is a folder that holds <cloud>/vms.csv and wins over every other place.
	Path string
	// StateDir is the provider's state folder; catalogs lie under "catalogs" in
	// it. Empty means that nothing is kept and only Path and the defaults answer.
	StateDir string
	// Version pins the content: a prefix of Set.Version of at least 8 digits.
	Version string
	// Embedded holds the default catalogs; nil is those of the binary.
	Embedded fs.FS
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
	Cloud string
	Kind  Kind
	// Path is the file; for an embedded catalog "embedded:<cloud>/vms.csv".
	Path string
	// Date is when the prices were written down; zero where that is unknown.
	Date time.Time
	// SHA256 is the content hash of the file in hexadecimal.
	SHA256 string
	// Offers is how many offers the catalog holds.
	Offers int
	// Warnings are what the user should be told about this catalog.
	Warnings []string
}

// Set is the catalogs of all clouds. Each is loaded when first asked for and
// then kept. It is safe for concurrent use.
type Set struct {
	opts Options

	mu     sync.Mutex
	tables map[string]*table
}

// Open prepares a set; it reads no catalog yet.
func Open(opts Options) (*Set, error) {
	if opts.Embedded == nil {
		opts.Embedded = catalogs.FS
	}
	if v := opts.Version; v != "" && (len(v) < 8 || strings.Trim(strings.ToLower(v), "0123456789abcdef") != "") {
		return nil, fmt.Errorf("catalog version %q is not a content hash; give at least 8 of its hexadecimal digits", v)
	}
	return &Set{opts: opts, tables: make(map[string]*table)}, nil
}

// ErrNoCatalog says that no place holds a catalog for a cloud.
var ErrNoCatalog = errors.New("no catalog")

// Offers returns the offers of the clouds that satisfy any of the requirements
// in themselves: place, type, accelerators, cpus, memory, market. Where none
// does it returns every offer of the clouds, so that the optimizer can say what
// each rule removed. No requirement asks for every offer; nil clouds are all.
func (s *Set) Offers(ctx context.Context, reqs []cloud.Requirement, clouds []string) ([]cloud.Offer, []Source, error) {
	tables, sources, err := s.load(ctx, clouds)
	if err != nil {
		return nil, nil, err
	}
	var all, some []cloud.Offer
	for _, t := range tables {
		for _, o := range t.offers {
			all = append(all, o)
			for _, r := range reqs {
				if matches(r, &o) {
					some = append(some, o)
					break
				}
			}
		}
	}
	if len(some) == 0 {
		return all, sources, nil
	}
	return some, sources, nil
}

// Cheapest is Offers cut to the limit cheapest for each requirement: what they
// satisfy in themselves, and each machine's price times 1 node within
// MaxHourlyUSD, if set. It returns nothing where nothing satisfies.
func (s *Set) Cheapest(ctx context.Context, reqs []cloud.Requirement, clouds []string, limit int) ([]cloud.Offer, []Source, error) {
	tables, sources, err := s.load(ctx, clouds)
	if err != nil {
		return nil, nil, err
	}
	var out []cloud.Offer
	for _, t := range tables {
		for _, o := range t.offers {
			for _, r := range reqs {
				if matches(r, &o) && (r.MaxHourlyUSD == 0 || o.HourlyUSD <= r.MaxHourlyUSD) {
					out = append(out, o)
					break
				}
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].HourlyUSD < out[j].HourlyUSD })
	return out[:min(limit, len(out))], sources, nil
}

// Image resolves an image for a place: a tag of the cloud's images.csv becomes
// the image's id, anything else is the cloud's own id and comes back as it is.
func (s *Set) Image(ctx context.Context, cloudName, tag, region, arch string) (string, error) {
	images, err := s.images(ctx, cloudName)
	if err != nil {
		return "", err
	}
	id, err := findImage(images, tag, region, arch)
	if err != nil && !isTag(tag) && !strings.HasPrefix(err.Error(), "image "+tag+" is not available") {
		return tag, nil
	}
	return id, err
}

// ImageProblem says why an offer cannot run an image; empty is that it can. It
// is made for optimizer.Request.Image.
func (s *Set) ImageProblem(o cloud.Offer, image string) string {
	if _, err := s.Image(context.Background(), o.Cloud, image, o.Region, o.InstanceType.Arch); err != nil {
		return err.Error()
	}
	return ""
}

func isTag(image string) bool { return strings.HasPrefix(strings.ToLower(image), "skypilot:") }
