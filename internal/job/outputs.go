// SPDX-License-Identifier: MPL-2.0

package job

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// ErrNoOutput is a pattern that nothing on the node matches.
var ErrNoOutput = remote.ErrNoMatch

// Fetched is what came, and what was refused.
type Fetched = remote.Fetched

// Refusal is an output that was not taken.
type Refusal = remote.Refusal

// ErrTooMuch is more outputs than were allowed.
var ErrTooMuch = remote.ErrTooMuch

// Outputs says what to fetch from a job's node.
type Outputs struct {
	// Patterns are shell patterns, relative to the job's working folder.
	Patterns []string
	// Partial takes what there is: a pattern that matches nothing is no error.
	Partial bool
	// MaxBytes and MaxFiles bound what comes; 0 is what remote.Fetch says.
	MaxBytes int64
	MaxFiles int
}

// Outputs fetches files of the node of a job's rank into a local folder and
// returns the paths below it, and what was not taken. A pattern that matches
// nothing is ErrNoOutput, and more than the bounds is ErrTooMuch.
func (r *Runner) Outputs(ctx context.Context, id ID, rank int, want Outputs, dest string) (Fetched, error) {
	if rank < 0 || rank >= len(r.nodes) {
		return Fetched{}, fmt.Errorf("outputs: the cluster has no rank %d", rank)
	}
	var got Fetched
	err := r.insist(ctx, 20, func(ctx context.Context) error {
		at, err := r.nodeOf(ctx, id, rank)
		if err != nil {
			return err
		}
		c, err := r.client(ctx, at)
		if err != nil {
			return err
		}
		got, err = c.Get(ctx, remote.Fetch{
			Base: workdir, Patterns: want.Patterns, Partial: want.Partial, MaxBytes: want.MaxBytes, MaxFiles: want.MaxFiles,
		}, dest)
		return err
	})
	if err != nil {
		return got, fmt.Errorf("outputs of rank %d: %w", rank, err)
	}
	return got, nil
}
