// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// defaultTTL is how old a copy of a hosted catalog gets before it is refreshed;
// the public ones are written anew every seven hours.
const defaultTTL = 7 * time.Hour

// hostedSchema is the format that is downloaded.
const hostedSchema = "v8"

// hostedAt are SkyPilot's public catalog and its mirror.
var hostedAt = [...]string{
	"https://raw.githubusercontent.com/skypilot-org/skypilot-catalog/master/catalogs",
	"https://skypilot-catalog.s3.us-east-1.amazonaws.com/catalogs",
}

func (o *Options) checkURL() error {
	if o.BaseURL == "" {
		return nil
	}
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return fmt.Errorf("catalog base URL %q is not one; write https://host/folder, which holds %s/<cloud>/vms.csv", o.BaseURL, hostedSchema)
	}
	return nil
}

// Outcome says what a refresh did.
type Outcome string

// The outcomes of a refresh.
const (
	OutcomeFresh     Outcome = "fresh"     // young enough; nothing was asked
	OutcomeUnchanged Outcome = "unchanged" // the host has nothing newer
	OutcomeUpdated   Outcome = "updated"
	OutcomeUsers     Outcome = "yours" // the file was edited by hand and stays
)

// Refreshed is the result of refreshing one cloud's catalog.
type Refreshed struct {
	Cloud   string  `json:"cloud"`
	Outcome Outcome `json:"outcome"`
	Path    string  `json:"path,omitempty"`
	Rows    int     `json:"rows"`
	// Images is how many images the images.csv beside it names.
	Images int    `json:"images,omitempty"`
	URL    string `json:"url,omitempty"`
	// Problem is what went wrong, where the command line tells of a failure.
	Problem string `json:"problem,omitempty"`
}

// RefreshOptions steer one refresh.
type RefreshOptions struct {
	// Force asks the host however young the copy is.
	Force bool
	// Progress is told how many bytes arrived of how many; total is -1 where the
	// host does not say.
	Progress func(done, total int64)
}

// Refresh brings the copy of one cloud's hosted catalog up to date, and that of
// the images beside it where there are any. A copy is replaced whole, and only by a file that reads without error; after any error
// the last good one is still there. Files edited by hand are never touched.
// Where only the images could not be had, the result comes with the error.
// Processes wait for one another. Tables already loaded stay as they are.
func (s *Set) Refresh(ctx context.Context, cloudName string, opts RefreshOptions) (Refreshed, error) {
	r := s.refreshOf(cloudName, vmsFile, opts)
	switch {
	case s.opts.StateDir == "":
		return Refreshed{}, errors.New("refreshing needs a state folder to keep the copy in")
	case s.opts.Offline:
		return Refreshed{}, errors.New("refreshing is switched off: offline is set")
	case cloudName == "" || cloudName != filepath.Base(cloudName) || strings.HasPrefix(cloudName, "."):
		return Refreshed{}, fmt.Errorf("%q is not a cloud's name", cloudName)
	}
	for _, dir := range []string{filepath.Dir(r.path), filepath.Join(r.dir, ".meta")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return Refreshed{}, fmt.Errorf("refreshing the catalog of %s: %w", cloudName, err)
		}
	}
	lock := flock.New(filepath.Join(r.dir, ".meta", cloudName+".lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return Refreshed{}, fmt.Errorf("waiting for another refresh of the catalog of %s: %w", cloudName, err)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file lets go of the lock
	out, err := r.run(ctx)
	if err != nil {
		return Refreshed{}, fmt.Errorf("refreshing the catalog of %s: %w", cloudName, err)
	}
	images, err := s.refreshOf(cloudName, imagesFile, RefreshOptions{Force: opts.Force}).run(ctx)
	if err != nil {
		return out, fmt.Errorf("refreshing the images of %s: %w", cloudName, err)
	}
	out.Images = images.Rows
	return out, nil
}

// The files of a catalog.
const (
	vmsFile    = "vms.csv"
	imagesFile = "images.csv"
)

// refresh is the refresh of one file under way.
type refresh struct {
	set               *Set
	cloud, file       string
	opts              RefreshOptions
	dir, path, record string
	meta              meta
}

func (s *Set) refreshOf(cloudName, file string, opts RefreshOptions) *refresh {
	r := &refresh{set: s, cloud: cloudName, file: file, opts: opts, dir: s.catalogDir(hostedSchema)}
	r.path, r.record = filepath.Join(r.dir, cloudName, file), cloudName
	if file == imagesFile {
		r.record += ".images"
	}
	return r
}

func (r *refresh) run(ctx context.Context) (Refreshed, error) {
	now := r.set.opts.Now()
	out := Refreshed{Cloud: r.cloud, Path: r.path}
	have := exists(r.path)
	var known bool
	r.meta, known = readMeta(r.dir, r.record)
	if have {
		if !known || !r.set.contentIs(origin{r.cloud, KindUser, r.path, r.snap()}, r.meta.SHA256, r.meta.Replaces) {
			out.Outcome = OutcomeUsers
			return out, nil
		}
	} else if r.meta.SHA256 != "" {
		r.meta = meta{} // it was deleted
	}
	if age := now.Sub(r.meta.CheckedAt); !r.opts.Force && known && age >= 0 && age < r.set.ttl() {
		out.Outcome, out.Rows, out.URL = OutcomeFresh, r.meta.Rows, r.meta.URL
		return out, nil
	}
	got, err := r.download(ctx)
	switch {
	case r.file == imagesFile && errors.Is(err, errNotHosted):
		err, got.unchanged = nil, true // not every cloud has a file of images
	case err == nil && !got.unchanged:
		err = r.accept(&got, now)
	}
	if err != nil {
		r.meta.FailedAt, r.meta.Problem = now, err.Error()
		return out, errors.Join(err, r.writeMeta())
	}
	r.meta.CheckedAt, r.meta.FailedAt, r.meta.Problem = now, time.Time{}, ""
	out.Outcome = OutcomeUpdated
	if got.unchanged {
		out.Outcome = OutcomeUnchanged
	}
	out.Rows, out.URL = r.meta.Rows, r.meta.URL
	return out, r.writeMeta()
}

func (r *refresh) snap() string {
	if r.file != vmsFile {
		return ""
	}
	return filepath.Join(filepath.Dir(r.path), ".vms.csv.snap")
}

// accept checks a downloaded file and puts it in the place of the copy.
func (r *refresh) accept(got *download, now time.Time) error {
	if when, err := time.Parse(time.RFC1123, got.lastModified); err == nil && when.After(now.Add(clockSlack)) {
		return fmt.Errorf("%s is dated in the future (%s)", got.url, got.lastModified)
	}
	var machines *vms.Rows
	var content [32]byte
	var err error
	if r.file == vmsFile {
		machines, content, err = vms.Parse(got.url, r.cloud, got.text)
	} else {
		content = sha256.Sum256(got.text)
		_, err = parseImages(got.url, string(got.text))
	}
	if err != nil {
		return err
	}
	n := bytes.Count(got.text, []byte("\n")) - 1
	if r.meta.Rows > 0 && n < r.meta.Rows/2 {
		return fmt.Errorf("%s has %d rows where the last good copy has %d; it is probably not whole (delete %s to take it all the same)", got.url, n, r.meta.Rows, r.path)
	}
	// The record goes first: a file that does not match it would count as the
	// user's and never be refreshed again.
	old := r.meta
	r.meta = meta{URL: got.url, SHA256: hexHash(content), Replaces: old.SHA256, ETag: got.etag, LastModified: got.lastModified, FetchedAt: now, Rows: n}
	if err := r.writeMeta(); err != nil {
		return err
	}
	if err := durable.ReplaceShared(r.path, got.text); err != nil {
		r.meta = old
		return fmt.Errorf("writing %s: %w", r.path, err)
	}
	if at, err := snapshot.StampOf(r.path); err == nil && machines != nil {
		at.Taken = now.UnixNano()
		r.set.store(origin{snap: r.snap()}, snapshot.Build(machines, content, at))
	}
	return nil
}

func (r *refresh) writeMeta() error {
	text, err := json.MarshalIndent(r.meta, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the record of the copy: %w", err)
	}
	if err := durable.ReplaceShared(metaPath(r.dir, r.record), append(text, '\n')); err != nil {
		return fmt.Errorf("writing the record of the copy: %w", err)
	}
	return nil
}

func (s *Set) ttl() time.Duration {
	if s.opts.TTL > 0 {
		return s.opts.TTL
	}
	return defaultTTL
}

// Stale returns the clouds whose copy of a hosted catalog is due for a refresh.
// Clouds that were never downloaded, and files edited by hand, are not.
func (s *Set) Stale(clouds []string) []string {
	if s.opts.Offline || s.opts.StateDir == "" {
		return nil
	}
	var out []string
	for _, name := range clouds {
		m, ok := readMeta(s.catalogDir(hostedSchema), name)
		if !ok || !exists(filepath.Join(s.catalogDir(hostedSchema), name, "vms.csv")) {
			continue
		}
		tried := m.CheckedAt
		if m.FailedAt.After(tried) {
			tried = m.FailedAt
		}
		if age := s.opts.Now().Sub(tried); age < 0 || age >= s.ttl() {
			out = append(out, name)
		}
	}
	return out
}

// Due returns the clouds among the sources of a query whose hosted catalog should
// be asked for: those Stale names, and those that the built-in default answered
// for, unless asking failed within the TTL. With a pinned version there are none.
func (s *Set) Due(sources []Source) []string {
	if s.opts.Offline || s.opts.StateDir == "" || s.opts.Version != "" {
		return nil
	}
	var copies, out []string
	for _, src := range sources {
		switch src.Kind {
		case KindPath, KindUser:
		case KindRefreshed:
			copies = append(copies, src.Cloud)
		case KindEmbedded:
			m, _ := readMeta(s.catalogDir(hostedSchema), src.Cloud)
			if age := s.opts.Now().Sub(m.FailedAt); about.Of(src.Cloud).Hosted != "" && (age < 0 || age >= s.ttl()) {
				out = append(out, src.Cloud)
			}
		}
	}
	return append(out, s.Stale(copies)...)
}

// RefreshStale refreshes, in the background, the clouds that Stale or Due named.
// The copies on the disk answer meanwhile; the new ones serve the next process. The
// channel closes when all is done; nobody need wait for it. Errors are kept
// with the copy and show as a warning of its Source.
func (s *Set) RefreshStale(ctx context.Context, clouds []string) <-chan struct{} {
	done := make(chan struct{})
	if len(clouds) == 0 {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		for _, name := range clouds {
			if _, err := s.Refresh(ctx, name, RefreshOptions{}); err != nil && ctx.Err() != nil {
				return
			}
		}
	}()
	return done
}

// describeCopy tells how old a copy of a hosted catalog is, and why.
func (s *Set) describeCopy(src *Source) {
	schema := filepath.Base(filepath.Dir(filepath.Dir(src.Path)))
	m, _ := readMeta(s.catalogDir(schema), src.Cloud)
	now := s.opts.Now()
	if src.Date = m.FetchedAt.UTC(); m.FetchedAt.After(now.Add(clockSlack)) {
		src.Date = time.Time{}
		src.Warnings = append(src.Warnings, fmt.Sprintf("the copy of the catalog of %s is dated in the future (%s); its age is unknown", src.Cloud, m.FetchedAt.Format(time.RFC3339)))
		return
	}
	switch old := now.Sub(m.CheckedAt); {
	case m.FailedAt.After(m.CheckedAt):
		src.Warnings = append(src.Warnings, fmt.Sprintf("the prices of %s were last confirmed %s ago; refreshing them failed: %s", src.Cloud, Age(old), m.Problem))
	case old > oldAge:
		src.Warnings = append(src.Warnings, fmt.Sprintf("the prices of %s were last confirmed %s ago; terraform-provider-sky catalog update confirms them anew", src.Cloud, Age(old)))
	}
}

// oldAge is how old a copy is when its age is worth a word.
const oldAge = 7 * 24 * time.Hour

// describeEmbedded tells that newer prices could not be had.
func (s *Set) describeEmbedded(src *Source) {
	src.Date = about.Of(src.Cloud).Day()
	if s.opts.StateDir == "" || s.opts.Offline || about.Of(src.Cloud).Hosted == "" {
		return
	}
	m, ok := readMeta(s.catalogDir(hostedSchema), src.Cloud)
	if !ok || m.FailedAt.IsZero() || !m.CheckedAt.IsZero() {
		return
	}
	of := "of unknown age"
	if !src.Date.IsZero() {
		of = "of " + src.Date.Format(time.DateOnly)
	}
	src.Warnings = append(src.Warnings, fmt.Sprintf("the prices of %s are the built-in ones, %s; downloading newer ones failed %s ago: %s. "+
		"Where there is no network, catalog = { offline = true } in the provider block says so", src.Cloud, of, Age(s.opts.Now().Sub(m.FailedAt)), m.Problem))
}

// Age words a duration roughly.
func Age(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return plural(int(d.Minutes()), "minute")
	case d < 48*time.Hour:
		return plural(int(d.Hours()), "hour")
	}
	return plural(int(d.Hours()/24), "day")
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// bases are the folders to download from, in order.
func (s *Set) bases() []string {
	if s.opts.BaseURL != "" {
		return []string{strings.TrimSuffix(s.opts.BaseURL, "/")}
	}
	return slices.Clone(hostedAt[:])
}
