// SPDX-License-Identifier: MPL-2.0

// Package rest is the client of a cloud whose API is plain JSON over HTTP, and the
// pace of such clients.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const (
	// restTimeout bounds one try of a call; how long an operation takes is up to
	// its context.
	restTimeout = time.Minute
	// maxAnswer bounds an answer, maxQuote what errors quote of it.
	maxAnswer = 16 << 20
	maxQuote  = 500
	userAgent = "terraform-provider-sky"
)

// Client is one of a cloud's API of plain JSON, for clouds without an SDK. It
// repeats what was refused for its pace, since that had no effect, and looks that
// failed in passing. What else may be repeated is for Fleet to say.
type Client struct {
	// Base is the API's URL, Token what is sent as its bearer.
	Base, Token string
	// Pace is that of all calls, all sessions of the process together.
	Pace *Pace
	// Tries bounds and paces the tries of a call.
	Tries retry.Policy
	// MaxRetryAfter caps how long the API may ask to wait before the next one.
	MaxRetryAfter time.Duration
	// Read takes the body of a refusal apart.
	Read func(body []byte) (code, message string)
	// Transport makes the connections; nil is the usual one.
	Transport http.RoundTripper

	pause func(context.Context, time.Duration) error // nil is retry.Pause
}

// Error is an answer that says no.
type Error struct {
	// Call is the method and the path.
	Call          string
	Status        int
	Code, Message string

	// read says that the API said it, in its own form, and not a proxy.
	read       bool
	retryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %d", e.Call, e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	return text + ": " + e.Message
}

// Is makes a 404 of the API's own a cloud.ErrNotFound. One without the API's form
// may be a proxy's, and proves nothing.
func (e *Error) Is(target error) bool {
	return target == cloud.ErrNotFound && e.Status == http.StatusNotFound && e.read
}

// Do sends in as JSON, where it is not nil, and reads the answer into out, where
// that is not nil. Each try writes in anew once it may pass, so that what it says of
// the time is of the moment it is sent.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	left := c.Tries.Attempts
	return retry.Do(ctx, c.Tries, func(ctx context.Context) error {
		left--
		err := c.once(ctx, method, path, query, in, out)
		var refusal *Error
		answered := errors.As(err, &refusal)
		paced := answered && refusal.Status == http.StatusTooManyRequests
		passes := method == http.MethodGet && (answered && refusal.Status >= http.StatusInternalServerError || !answered && IsTransport(err))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !paced && !passes:
			return retry.Stop(err)
		case answered && refusal.retryAfter > 0 && left != 0:
			if perr := c.wait(ctx, min(refusal.retryAfter, c.MaxRetryAfter)); perr != nil {
				return retry.Stop(errors.Join(perr, err))
			}
		}
		return err
	})
}

func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if c.pause != nil {
		return c.pause(ctx, d)
	}
	return retry.Pause(ctx, d)
}

func (c *Client) once(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if err := c.Pace.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	call, target := method+" "+path, c.Base+path
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s: encode the request: %w", call, err)
		}
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// A redirect would carry the token, and a change, to who knows where.
	client := http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // *url.Error names method and URL already
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", call, &url.Error{Op: "read", URL: call, Err: err})
	}
	return c.decode(call, resp, text, out)
}

func (c *Client) decode(call string, resp *http.Response, text []byte, out any) error {
	switch {
	case len(text) > maxAnswer:
		return fmt.Errorf("%s: the answer has more than %d bytes", call, maxAnswer)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		e := &Error{Call: call, Status: resp.StatusCode, retryAfter: retry.After(resp.Header.Get("Retry-After"))}
		if c.Read != nil {
			e.Code, e.Message = c.Read(text)
			e.read = e.Code != "" || e.Message != ""
		}
		if e.Message == "" {
			e.Message = http.StatusText(e.Status)
		}
		e.Code, e.Message = c.quotable(e.Code), c.quotable(e.Message)
		return e
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s: the answer is not what the API promises: %w", call, err)
	}
	return nil
}

// quotable is a text of the API's, bounded, on one line, and without the token.
func (c *Client) quotable(text string) string {
	if c.Token != "" {
		text = strings.ReplaceAll(text, c.Token, "(the API key)")
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "") + "..."
	}
	return text
}

// IsTransport reports that a request may or may not have had its effect.
func IsTransport(err error) bool {
	var (
		u *url.Error
		n net.Error
	)
	return errors.As(err, &u) || errors.As(err, &n) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded)
}
