// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// host is a catalog host that can be made to misbehave.
type host struct {
	mu     sync.Mutex
	text   string
	images string // none is 404
	status int
	header http.Header
	gzip   bool
	asked  int
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/images.csv") {
		if h.images == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, h.images)
		return
	}
	h.asked++
	for k, v := range h.header {
		w.Header()[k] = v
	}
	tag := fmt.Sprintf("%q", hash(h.text))
	w.Header().Set("ETag", tag)
	switch {
	case h.status != 0:
		w.WriteHeader(h.status)
	case r.Header.Get("If-None-Match") == tag:
		w.WriteHeader(http.StatusNotModified)
	case h.gzip:
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, h.text)
		_ = z.Close()
	default:
		fmt.Fprint(w, h.text)
	}
}

func hash(text string) string {
	return fmt.Sprintf("%x", len(text)) + text[max(0, len(text)-40):len(text)-1]
}

func rowsOf(n int, usd float64) string {
	var b strings.Builder
	b.WriteString(v5Header)
	for i := range n {
		fmt.Fprintf(&b, "m%d.x,,,4,16,,%v,,r1,z1\n", i, usd)
	}
	return b.String()
}

// refreshable returns a set whose clock can be moved.
func refreshable(t *testing.T, h http.Handler) (*Set, *time.Time) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	now := time.Now()
	set, err := Open(Options{StateDir: t.TempDir(), BaseURL: server.URL, MaxBytes: 1 << 16, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return set, &now
}

func reopen(t *testing.T, s *Set) *Set {
	t.Helper()
	set, err := Open(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func source(t *testing.T, s *Set) (Source, float64) {
	t.Helper()
	offers, sources, err := reopen(t, s).Cheapest(context.Background(), []cloud.Requirement{{}}, []string{"aws"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return sources[0], offers[0].HourlyUSD
}

// A hosted catalog may call a cloud by another name than we do; the copy has ours.
func TestRefreshByTheHostsName(t *testing.T) {
	var asked []string
	h := &host{text: rowsOf(10, 0.5)}
	set, _ := refreshable(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		h.ServeHTTP(w, r)
	}))
	out, err := set.Refresh(t.Context(), "digitalocean", RefreshOptions{})
	if err != nil && !strings.Contains(err.Error(), "images") {
		t.Fatal(err)
	}
	if want := "/v8/do/vms.csv"; len(asked) == 0 || asked[0] != want {
		t.Errorf("it asked for %v, not for %s", asked, want)
	}
	if filepath.Base(filepath.Dir(out.Path)) != "digitalocean" {
		t.Errorf("the copy is %s", out.Path)
	}
}

func TestRefresh(t *testing.T) {
	h := &host{text: rowsOf(10, 0.5)}
	set, now := refreshable(t, h)
	ctx := context.Background()
	refresh := func(want Outcome) {
		t.Helper()
		got, err := set.Refresh(ctx, "aws", RefreshOptions{})
		if err != nil || got.Outcome != want {
			t.Fatalf("Refresh = %+v, %v; want %s", got, err, want)
		}
	}
	refresh(OutcomeUpdated)
	if src, usd := source(t, set); src.Kind != KindRefreshed || usd != 0.5 || !src.Date.Equal(*now) {
		t.Errorf("source %+v, price %v", src, usd)
	}
	refresh(OutcomeFresh)
	*now = now.Add(defaultTTL)
	if stale := set.Stale([]string{"aws", "gcp"}); len(stale) != 1 {
		t.Errorf("stale: %v", stale)
	}
	refresh(OutcomeUnchanged)
	h.text = rowsOf(9, 0.6)
	*now = now.Add(defaultTTL)
	<-set.RefreshStale(ctx, []string{"aws"})
	if _, usd := source(t, set); usd != 0.6 {
		t.Errorf("after the refresh in the background: %v", usd)
	}
	if h.asked != 3 {
		t.Errorf("the host was asked %d times, want 3", h.asked)
	}
}

func TestRefreshKeepsTheLastGoodCopy(t *testing.T) {
	future := http.Header{"Last-Modified": {time.Now().Add(1000 * time.Hour).UTC().Format(http.TimeFormat)}}
	cases := map[string]*host{
		"html":         {text: "<html>please log in</html>\n"},
		"cut off":      {text: strings.TrimSuffix(rowsOf(10, 1), "1,z1\n")},
		"half as many": {text: rowsOf(4, 1)},
		"too large":    {text: rowsOf(4000, 1)},
		"gzip bomb":    {text: strings.Repeat("a", 1<<20) + "\n", gzip: true},
		"server error": {text: rowsOf(10, 1), status: http.StatusInternalServerError},
		"throttled":    {text: rowsOf(10, 1), status: http.StatusTooManyRequests},
		"future":       {text: rowsOf(10, 1), header: future},
		"bad price":    {text: strings.Replace(rowsOf(10, 1), ",1,,", ",-1,,", 1)},
	}
	for name, bad := range cases {
		h := &host{text: rowsOf(10, 0.5)}
		set, now := refreshable(t, h)
		if _, err := set.Refresh(context.Background(), "aws", RefreshOptions{}); err != nil {
			t.Fatal(err)
		}
		h.text, h.status, h.header, h.gzip = bad.text, bad.status, bad.header, bad.gzip
		*now = now.Add(30 * time.Hour)
		if out, err := set.Refresh(context.Background(), "aws", RefreshOptions{Force: true}); err == nil {
			t.Errorf("%s: %+v", name, out)
		}
		src, usd := source(t, set)
		if src.Kind != KindRefreshed || usd != 0.5 || len(src.Warnings) != 1 || !strings.Contains(src.Warnings[0], "30 hours") {
			t.Errorf("%s: price %v, source %+v", name, usd, src)
		}
	}
}

func TestEditedFilesAreTheUsers(t *testing.T) {
	h := &host{text: rowsOf(10, 0.5)}
	set, now := refreshable(t, h)
	ctx := context.Background()
	out, err := set.Refresh(ctx, "aws", RefreshOptions{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, out.Path, rowsOf(1, 0.1))
	*now = now.Add(100 * time.Hour)
	if out, err = set.Refresh(ctx, "aws", RefreshOptions{Force: true}); err != nil || out.Outcome != OutcomeUsers {
		t.Errorf("Refresh = %+v, %v", out, err)
	}
	if src, usd := source(t, set); src.Kind != KindUser || usd != 0.1 {
		t.Errorf("source %+v, price %v", src, usd)
	}
	write(t, out.Path, v5Header+"broken\n")
	if _, err := reopen(t, set).Sources(ctx, []string{"aws"}); err == nil || !strings.Contains(err.Error(), "row 2") {
		t.Errorf("a broken file of the user's: %v", err)
	}
}

func TestOfflineAsksNobody(t *testing.T) {
	h := &host{text: rowsOf(1, 1)}
	set, _ := refreshable(t, h)
	set.opts.Offline = true
	if _, err := set.Refresh(context.Background(), "aws", RefreshOptions{}); err == nil || h.asked != 0 {
		t.Errorf("offline: %v, asked %d times", err, h.asked)
	}
}

func TestConcurrentRefreshesDownloadOnce(t *testing.T) {
	h := &host{text: rowsOf(10, 0.5)}
	set, _ := refreshable(t, h)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := set.Refresh(context.Background(), "aws", RefreshOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	left, err := filepath.Glob(filepath.Join(set.catalogDir("v8"), "aws", "*vms.csv.*"))
	if err != nil || h.asked != 1 {
		t.Errorf("asked %d times, %v", h.asked, err)
	}
	for _, f := range left {
		if filepath.Ext(f) != ".snap" {
			t.Errorf("left behind: %s", f)
		}
	}
	if st, err := os.Stat(filepath.Join(set.catalogDir("v8"), "aws", "vms.csv")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestRefreshBringsImages(t *testing.T) {
	h := &host{text: rowsOf(10, 0.5), images: "Tag,Region,OS,OSVersion,ImageId,CreationDate\nskypilot:gpu-ubuntu-2204,r1,ubuntu,22.04,ami-1,20260101\n"}
	set, now := refreshable(t, h)
	image := func() (string, error) {
		return reopen(t, set).Image(t.Context(), "aws", "skypilot:gpu-ubuntu-2204", "r1", "")
	}
	got, err := set.Refresh(t.Context(), "aws", RefreshOptions{})
	if err != nil || got.Images != 1 {
		t.Fatalf("Refresh = %+v, %v", got, err)
	}
	if id, err := image(); err != nil || id != "ami-1" {
		t.Errorf("image %q, %v", id, err)
	}
	*now = now.Add(defaultTTL)
	h.images = "<html>sorry</html>\n"
	got, err = set.Refresh(t.Context(), "aws", RefreshOptions{})
	if err == nil || !strings.Contains(err.Error(), "HTML") || got.Outcome != OutcomeUnchanged {
		t.Errorf("bad images: %+v, %v", got, err)
	}
	if id, err := image(); err != nil || id != "ami-1" {
		t.Errorf("after bad images: %q, %v", id, err)
	}
}

func TestDue(t *testing.T) {
	h := &host{text: rowsOf(10, 0.5)}
	set, now := refreshable(t, h)
	due := func() []string {
		sources, err := reopen(t, set).Sources(t.Context(), []string{"aws", "fluffycloud", "gcp"})
		if err != nil {
			t.Fatal(err)
		}
		return set.Due(sources)
	}
	if got := due(); !slices.Equal(got, []string{"aws", "gcp"}) {
		t.Errorf("at first %v are due; want all that are hosted", got)
	}
	<-set.RefreshStale(t.Context(), []string{"aws"})
	h.status = http.StatusInternalServerError
	<-set.RefreshStale(t.Context(), []string{"gcp"})
	if got := due(); len(got) != 0 {
		t.Errorf("after one refresh and one failure %v are due", got)
	}
	sources, err := reopen(t, set).Sources(t.Context(), []string{"gcp"})
	if err != nil || len(sources[0].Warnings) != 1 || !strings.Contains(sources[0].Warnings[0], "built-in ones, of 2025") {
		t.Errorf("%+v, %v; want a warning of the age", sources, err)
	}
	*now = now.Add(defaultTTL)
	if got := due(); !slices.Equal(got, []string{"gcp", "aws"}) {
		t.Errorf("after the TTL %v are due", got)
	}
	set.opts.Version = "12345678"
	if got := set.Due(sources); len(got) != 0 {
		t.Errorf("with a pinned version %v are due", got)
	}
}

func TestOldCopiesAreSaidToBe(t *testing.T) {
	set, now := refreshable(t, &host{text: rowsOf(10, 0.5)})
	if _, err := set.Refresh(t.Context(), "aws", RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(9 * 24 * time.Hour)
	if src, _ := source(t, set); len(src.Warnings) != 1 || !strings.Contains(src.Warnings[0], "9 days ago") {
		t.Errorf("warnings %q", src.Warnings)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Minute: "1 minute", 3 * time.Hour: "3 hours", 49 * time.Hour: "2 days"} {
		if got := Age(d); got != want {
			t.Errorf("age(%s) = %q, want %q", d, got, want)
		}
	}
}
