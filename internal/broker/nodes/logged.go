// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"context"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
)

// Logged runs an operation on a cluster whose beginning, waits and end are in
// the cluster's provision.log.
func (via Reach) Logged(ctx context.Context, f statedir.Folder, doing string, bound time.Duration, op func() error) error {
	log, closeLog, err := f.OpenLog()
	if err != nil { // no reason to leave machines as they are
		via.Log.WarnContext(ctx, "the cluster's log cannot be written", "cluster", f.Name, "error", err)
		log, closeLog = via.Log.With("cluster", f.Name), func() {}
	}
	defer closeLog()
	begun := via.Now()
	_, end := Begin(ctx, log, via.Now, Phase{From: 0, To: 100, Waiting: doing, Bound: bound}, 0)
	err = op()
	end()
	took := via.Now().Sub(begun).Round(time.Millisecond)
	if err != nil {
		log.ErrorContext(ctx, "failed", "doing", doing, "took", took, "error", err)
		return err
	}
	log.InfoContext(ctx, "done", "doing", doing, "took", took, "progress", "100%")
	return nil
}
