// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// A job lives and dies with its head, which leads it and has its records. The
// cloud is asked about a head that does not answer: its word that the machine is
// gone, twice, makes the job LOST.

const (
	// lossCheck is how often, and lossAfter after what silence, the cloud is asked
	// about the machines of a job that cannot be reached.
	lossCheck = 20 * time.Second
	lossAfter = time.Minute
	// mostSilence is how long a head is waited for that does not answer although
	// its cloud says that it runs.
	mostSilence = 3 * time.Hour
	// secondLook is the pause before a head is believed to be gone.
	secondLook = 2 * time.Second
)

// endedError ends a wait for a job that nobody will ever tell the end of.
type endedError struct{ status job.Status }

func (e *endedError) Error() string { return e.status.Reason }

// errSilence ends a wait for a head that is there and says nothing.
var errSilence = fmt.Errorf("the head has not answered for %s, although its cloud says that it runs", mostSilence)

// headLost reports whether the head was seen to be gone.
func headLost(c cluster.Cluster) bool {
	return slices.ContainsFunc(c.Nodes, func(n cluster.Node) bool { return n.Rank == 0 && n.State == cloud.StateTerminated })
}

// lostStatus is the status of a job whose head is gone.
func lostStatus(why string) job.Status {
	return job.Status{Phase: job.Lost, FailedRank: 0, Reason: why + "; with it went the job's lead and the record of its end"}
}

// lost writes the status of a job whose head is gone. What was known before stays.
func (m *jobModel) lost(s job.Status) {
	s.StartedAt, s.EndedAt, s.Restarts = m.StartedAt.ValueString(), m.EndedAt.ValueString(), int(m.Restarts.ValueInt64())
	m.setStatus(s)
}

const (
	headGone    = "the head's machine is gone, says its cloud"
	clusterGone = "the machines it ran on are gone, says their cloud"
	headAnew    = "the cluster's head knows nothing of the job: the machine it ran on is gone, and was made anew since"
)

// cloudsWord is what the cloud's word on the machines means for a job whose head
// does not answer; nil is nothing yet.
func cloudsWord(c cluster.Cluster, err error) *endedError {
	switch {
	case errors.Is(err, cluster.ErrGone), err == nil && c.Status == cluster.StatusTerminated: // the disks went, too
		return &endedError{lostStatus(clusterGone)}
	case err != nil:
		return nil //nolint:nilerr // no word of the cloud is no word on the job
	case c.Status == cluster.StatusStopped:
		reason := fmt.Sprintf("cluster %s is %s: %s", c.ID, c.Status, c.StatusReason)
		return &endedError{job.Status{Phase: job.Unknown, FailedRank: -1, Reason: reason}}
	case headLost(c):
		return &endedError{lostStatus(headGone)}
	}
	return nil
}

// watch ends the returned context where nobody is left who could answer: when
// the cloud has said so twice, or after a long silence.
func (h *jobHandle) watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		ticker := time.NewTicker(lossCheck)
		defer ticker.Stop()
		ended := 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			silence := h.progress.unseen()
			if silence < lossAfter {
				ended = 0
				continue
			}
			c, err := h.broker.Refresh(ctx, h.cluster)
			end := cloudsWord(c, err)
			if end == nil {
				ended = 0
				tflog.Warn(ctx, "the head does not answer, and is waited for: its cloud does not say that it is gone",
					map[string]any{"for": silence.Round(time.Second).String(), "at_most": mostSilence.String()})
				if silence >= mostSilence {
					cancel(errSilence)
				}
				continue
			}
			if ended++; ended > 1 {
				cancel(end)
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// lostSince looks, twice, whether the job's head is gone; nil is that it is not,
// or that nobody can tell.
func (h *jobHandle) lostSince(ctx context.Context) *job.Status {
	for look := range 2 {
		if look > 0 {
			select {
			case <-time.After(secondLook):
			case <-ctx.Done():
				return nil
			}
		}
		end := cloudsWord(h.broker.Refresh(ctx, h.cluster))
		if end == nil || end.status.Phase != job.Lost {
			return nil
		}
		if look > 0 {
			return &end.status
		}
	}
	return nil
}

// planLost plans a job that was lost as its settings say: to run again where it
// may be started again; else it says what the user may choose.
func (m *jobModel) planLost(old jobModel, resp *resource.ModifyPlanResponse) {
	if old.phase() != job.Lost {
		return
	}
	name, at := m.Name.ValueString(), path.Root("status")
	if m.mayRunAgain() {
		m.outcomeModel = unknownOutcome()
		resp.RequiresReplace.Append(at)
		resp.Diagnostics.AddAttributeWarning(at, fmt.Sprintf("Job %q was lost and runs again", name),
			kit.Sentence(fmt.Sprintf("%s. recover_on_exit_codes says that it may be started again, so that this plan does", old.StatusReason.ValueString())))
		return
	}
	resp.Diagnostics.AddAttributeWarning(at, fmt.Sprintf("Job %q was lost", name),
		kit.Sentence(fmt.Sprintf("%s. How far it came nobody knows, so it is not run again by itself. To run it again, change run_id; with recover_on_exit_codes a lost job runs again by itself; "+
			"to leave it as it is, do nothing", old.StatusReason.ValueString())))
}

// mayRunAgain reports whether the settings say that the job may be started again.
func (m *jobModel) mayRunAgain() bool {
	return len(m.RecoverOnExitCodes.Elements()) > 0 && (m.MaxRestarts.IsNull() || m.MaxRestarts.ValueInt64() > 0)
}
