// SPDX-License-Identifier: MPL-2.0

package job

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// ErrNoOutput is a pattern that nothing on the node matches.
var ErrNoOutput = remote.ErrNoMatch

// Outputs fetches what matches shell patterns on the node of a job's rank into a
// local folder and returns the paths below it. Patterns are relative to the
// job's working folder. A pattern that matches nothing is ErrNoOutput.
func (r *Runner) Outputs(ctx context.Context, id ID, rank int, patterns []string, dest string) ([]string, error) {
	if rank < 0 || rank >= len(r.nodes) {
		return nil, fmt.Errorf("outputs: the cluster has no rank %d", rank)
	}
	var files []string
	err := r.insist(ctx, 20, func(ctx context.Context) error {
		at, err := r.nodeOf(ctx, id, rank)
		if err != nil {
			return err
		}
		c, err := r.client(ctx, at)
		if err != nil {
			return err
		}
		files, err = c.Get(ctx, workdir, patterns, dest)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("outputs of rank %d: %w", rank, err)
	}
	return files, nil
}
