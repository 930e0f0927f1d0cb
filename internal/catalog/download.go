// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
)

// download is what a host answered.
type download struct {
	url                string
	text               []byte
	etag, lastModified string
	unchanged          bool
}

// errNotHosted says that a host answers and has no such file.
var errNotHosted = errors.New("the host has no such file")

const (
	defaultMaxBytes = 64 << 20
	downloadTimeout = 2 * time.Minute
)

// download asks each base in turn and takes the first answer; whatever goes
// wrong with one, the next is tried.
func (r *refresh) download(ctx context.Context) (download, error) {
	var errs []error
	for _, base := range r.set.bases() {
		got, err := r.get(ctx, base+"/"+hostedSchema+"/"+cmp.Or(about.Of(r.cloud).Hosted, r.cloud)+"/"+r.file)
		if err == nil {
			return got, nil
		}
		errs = append(errs, plainError{err})
		if ctx.Err() != nil {
			break
		}
	}
	return download{}, errors.Join(errs...)
}

func (r *refresh) get(ctx context.Context, url string) (got download, err error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return download{}, fmt.Errorf("asking for %s: %w", url, err)
	}
	req.Header.Set("User-Agent", "terraform-provider-sky")
	if r.meta.SHA256 != "" && r.meta.URL == url {
		if r.meta.ETag != "" {
			req.Header.Set("If-None-Match", r.meta.ETag)
		}
		if r.meta.LastModified != "" {
			req.Header.Set("If-Modified-Since", r.meta.LastModified)
		}
	}
	client := r.set.opts.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return download{}, fmt.Errorf("downloading: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	got = download{url: url, etag: resp.Header.Get("ETag"), lastModified: resp.Header.Get("Last-Modified")}
	switch resp.StatusCode {
	case http.StatusNotModified:
		got.unchanged = true
		return got, nil
	case http.StatusOK:
		got.text, err = r.body(resp)
		return got, err
	case http.StatusNotFound:
		return download{}, fmt.Errorf("downloading %s: %w", url, errNotHosted)
	}
	return download{}, fmt.Errorf("downloading %s: the host answered %s", url, plainStatus(resp))
}

// plainStatus is the status line in words that no host chose: its own may hold
// what moves a terminal's cursor.
func plainStatus(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

// body reads an answer of bounded size, compressed or not.
func (r *refresh) body(resp *http.Response) ([]byte, error) {
	limit := r.set.opts.MaxBytes
	if limit <= 0 {
		limit = defaultMaxBytes
	}
	tooLarge := fmt.Errorf("downloading %s: it has more than %d bytes", resp.Request.URL, limit)
	if resp.ContentLength > limit {
		return nil, tooLarge
	}
	tell := r.opts.Progress
	if tell == nil {
		tell = func(int64, int64) {}
	}
	text, err := io.ReadAll(&counted{in: io.LimitReader(resp.Body, limit+1), total: resp.ContentLength, tell: tell})
	if err != nil {
		return nil, fmt.Errorf("downloading %s: %w", resp.Request.URL, err)
	}
	if int64(len(text)) > limit {
		return nil, tooLarge
	}
	return text, nil
}

// counted tells how far a reader has come.
type counted struct {
	in          io.Reader
	done, total int64
	tell        func(done, total int64)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.done += int64(n)
	c.tell(c.done, c.total)
	return n, err
}
