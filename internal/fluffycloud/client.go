// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// errNoServer says that nobody serves the folder.
var errNoServer = errors.New("no FluffyCloud server is running")

// client talks to the server of a folder, for the command line.
type client struct {
	url, key string
	http     http.Client
}

// connect finds the folder's server. errNoServer says that there is none.
func connect(ctx context.Context, dir string) (*client, error) {
	var file serverFile
	err := guest.ReadJSON(filepath.Join(dir, "server.json"), &file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, err
	}
	key, err := readAPIKey(dir)
	if err != nil {
		return nil, err
	}
	c := &client{url: file.URL, key: key, http: http.Client{Timeout: 30 * time.Second}}
	if err := c.call(ctx, http.MethodGet, "/v1/account", nil, nil); err != nil {
		if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
			return nil, errNoServer
		}
		return nil, err
	}
	return c, nil
}

// call sends one request; in and out may be nil.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask FluffyCloud: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var e struct {
			Error apiError `json:"error"`
		}
		if json.Unmarshal(data, &e) == nil && e.Error.Code != "" {
			return &e.Error
		}
		return fmt.Errorf("%s %s: FluffyCloud answered %s", method, path, resp.Status)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: decode the answer: %w", method, path, err)
	}
	return nil
}
