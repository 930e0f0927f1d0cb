// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

//go:embed get.sh
var getScript string

// ErrNoMatch is a pattern that nothing on the node matches.
var ErrNoMatch = errors.New("no such file on the node")

// ErrTooMuch is more than a fetch allows.
var ErrTooMuch = errors.New("more than may be fetched")

// noMatch is what get.sh exits with then.
const noMatch = 66

// Fetch says what to bring from a node, and how much at most.
type Fetch struct {
	// Base is the folder of the node that patterns are relative to, where it
	// exists, else they are to the home folder.
	Base string
	// Patterns are shell patterns; "~/" and absolute ones are allowed, and the
	// names of what is not below the base lose their first slash. A folder comes whole.
	Patterns []string
	// Partial takes what there is: a pattern that matches nothing is no error.
	Partial bool
	// MaxBytes and MaxFiles bound what is written here; 0 is 100 GiB and 100000
	// files, folders and links.
	MaxBytes int64
	MaxFiles int
}

// The bounds of a Fetch that says none.
const (
	defaultFetchBytes = 100 << 30
	defaultFetchFiles = 100_000
)

// Fetched is what came.
type Fetched struct {
	// Files are paths below the folder, with "/".
	Files []string
	// Refused is what there is and was not taken.
	Refused []Refusal
}

// Refusal is a file that was not taken. Both are fit for an error; Name may be
// empty where the node only says that something could not be read.
type Refusal struct{ Name, Why string }

// LocalError is a fetch that failed for reasons of this side, which another
// connection cannot cure.
type LocalError struct{ Err error }

func (e *LocalError) Error() string { return e.Err.Error() }
func (e *LocalError) Unwrap() error { return e.Err }

// Get fetches files of the node into the local folder dest, as one stream. Each
// file appears whole or not at all. Whatever the node sends, nothing is written
// outside dest, through a link, beyond the bounds, or under a name that no
// pattern asks for; what is dangerous in a folder of Terraform or git has to be
// named without a wildcard. One file that cannot be taken keeps no other away.
// Beyond a bound the error is ErrTooMuch; a pattern that matches nothing is ErrNoMatch.
func (c *Client) Get(ctx context.Context, f Fetch, dest string) (Fetched, error) {
	f.MaxBytes, f.MaxFiles = cmp.Or(f.MaxBytes, defaultFetchBytes), cmp.Or(f.MaxFiles, defaultFetchFiles)
	if _, err := parseAsked("", "", f.Patterns); err != nil {
		return Fetched{}, err
	}
	if err := os.MkdirAll(dest, 0o755); err != nil { //nolint:gosec // a folder of the user's, as mkdir makes it
		return Fetched{}, &LocalError{fmt.Errorf("making the folder for outputs: %w", err)}
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return Fetched{}, &LocalError{fmt.Errorf("opening the folder for outputs: %w", err)}
	}
	defer root.Close()
	got, err := c.fetch(ctx, f, root)
	if err != nil {
		return got, fmt.Errorf("fetching outputs from %s: %w", c.addr, err)
	}
	return got, nil
}

func (c *Client) fetch(ctx context.Context, f Fetch, root *os.Root) (Fetched, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pr, pw := io.Pipe()
	type result struct {
		got Fetched
		err error
	}
	unpacked := make(chan result, 1)
	go func() {
		got, err := unpack(pr, root, f)
		if err != nil {
			cancel(err) // the node may have no end
		}
		pr.CloseWithError(err)
		unpacked <- result{got, err}
	}()
	said := &tail{max: 4096}
	script := fmt.Sprintf("base=%s partial=%t\n%s", homePath(f.Base), f.Partial, getScript)
	code, err := c.Run(ctx, Command{Script: script, Stdin: strings.NewReader(strings.Join(f.Patterns, "\n") + "\n"), Stdout: pw, Stderr: said})
	_ = pw.Close()
	local := <-unpacked
	var own *LocalError
	switch {
	case errors.As(local.err, &own):
		err = local.err
	case code == noMatch:
		err = fmt.Errorf("%w: %s", ErrNoMatch, Clean(said.String()))
	case code > 2 || code > 0 && local.err != nil:
		err = &ExitError{Code: code, Stderr: Clean(said.String())}
	case err == nil || errors.Is(err, local.err):
		err = local.err
	}
	if err == nil {
		local.got.Refused = append(local.got.Refused, unread(said.String())...)
	}
	return local.got, err
}

// unread is what tar says that it could not send: it goes on with the rest.
func unread(said string) []Refusal {
	var all []Refusal
	for line := range strings.Lines(said) {
		line = strings.TrimPrefix(Clean(line), "tar: ")
		if line == "" || strings.HasPrefix(strings.ToLower(line), "removing leading") || strings.HasPrefix(line, "Exiting with") || strings.HasPrefix(line, "error exit delayed") {
			continue
		}
		all = append(all, Refusal{Why: line})
	}
	return all
}
