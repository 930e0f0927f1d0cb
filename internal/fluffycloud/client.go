// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"bytes"
	"cmp"
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

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// errNoServer says that nobody serves the folder.
var errNoServer = errors.New("no FluffyCloud server is running")

// olderServerError says that the folder is served by a version whose server
// cannot prove who it is.
type olderServerError struct {
	dir   string
	older guest.Server
}

func (e *olderServerError) Error() string {
	return fmt.Sprintf("%s is served by an older version (%s, process %d) that cannot prove who it is, so nothing is sent to it: "+
		"end it with the fluffycloud stop of that version, or with: kill %d; machines run on, and the next server finds them",
		e.dir, cmp.Or(e.older.Version, "unknown"), e.older.PID, e.older.PID)
}

// client talks to the server of a folder, for the command line.
type client struct {
	url, key string
	http     *http.Client
}

// connect finds the folder's server. errNoServer says that there is none: also
// where something else listens on the port that a dead one had.
func connect(ctx context.Context, dir string) (*client, error) {
	var server guest.Server
	err := guest.ReadJSON(filepath.Join(dir, "server.json"), &server)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(dir); err != nil {
		return nil, err
	}
	if !server.Proves() {
		return nil, olderServer(dir, server)
	}
	key, err := readAPIKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, err
	}
	c := &client{url: server.URL, key: key, http: server.Client(30 * time.Second)}
	if err := c.call(ctx, http.MethodGet, "/v1/account", nil, nil); err != nil {
		if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
			return nil, errNoServer
		}
		return nil, err
	}
	return c, nil
}

// olderServer tells a living server of an earlier version from what a dead one
// left. The lock says it: nothing is asked of the port.
func olderServer(dir string, server guest.Server) error {
	lock := flock.New(lockFile(dir), flock.SetPermissions(0o600))
	free, err := lock.TryRLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	if !free {
		return &olderServerError{dir, server}
	}
	return errors.Join(errNoServer, lock.Unlock())
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
