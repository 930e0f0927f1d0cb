// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// guide: client

// client calls Pond's API. It repeats only what Pond refused for its pace, since
// that had no effect; what else may be repeated is fleet's to say.
type client struct {
	base, token string
	pace        retry.Policy
}

func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	return retry.Do(ctx, c.pace, func(ctx context.Context) error {
		err := c.once(ctx, method, path, in, out)
		if refusal := (*apiError)(nil); errors.As(err, &refusal) && refusal.Status == http.StatusTooManyRequests {
			return err
		}
		return retry.Stop(err)
	})
}

// guide: end

// callTimeout bounds one call; how long an operation takes is up to its context.
const callTimeout = time.Minute

// maxAnswer bounds an answer.
const maxAnswer = 16 << 20

func (c *client) once(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err // *url.Error names method and URL already
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		refusal := &apiError{Status: resp.StatusCode, Call: method + " " + path}
		if json.Unmarshal(text, refusal) != nil || refusal.Message == "" {
			refusal.Message = http.StatusText(resp.StatusCode)
		}
		return refusal
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what the API promises: %w", method, path, err)
	}
	return nil
}

// apiError is an answer that says no.
type apiError struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Status  int    `json:"-"`
	Call    string `json:"-"`
}

// Error implements error.
func (e *apiError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.Call, e.Status, cmp.Or(e.ID, "error"), e.Message)
}

// Is makes a 404 the cloud.ErrNotFound that fleet asks for.
func (e *apiError) Is(target error) bool {
	return target == cloud.ErrNotFound && e.Status == http.StatusNotFound
}
