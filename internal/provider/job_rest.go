// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// A cluster at rest answers nobody, and is not asked. Where it stopped, its disks
// have the records of its jobs; where it removed itself, nobody has.

// restError says that a job's cluster is stopped. What is known of the job stays.
type restError struct{ cluster broker.Cluster }

func (e *restError) Error() string {
	return fmt.Sprintf("cluster %s is stopped: %s. How the job ended, if it did, stands on the disk of the head, and the first refresh after the cluster has started reads it",
		e.cluster.ID, e.cluster.StatusReason)
}

// atRest is what a cluster at rest means for a job whose end is not known: a
// *restError, or a status; nil and nil where the cluster may be asked.
func atRest(c broker.Cluster) (*job.Status, error) {
	switch c.Status {
	case broker.StatusStopped:
		return nil, &restError{c}
	case broker.StatusTerminated:
		reason := fmt.Sprintf("cluster %s is %s, and nobody had read how the job ended: %s", c.ID, c.Status, c.StatusReason)
		return &job.Status{Phase: job.Unknown, FailedRank: -1, Reason: reason}, nil
	default:
		return nil, nil
	}
}

// rested says how to go on with a job that nobody waits for, since its cluster is
// stopped.
func rested(m jobModel) string {
	return fmt.Sprintf("Job %s was last seen %s, and is not run again. Start the cluster to know more: on_autostop = \"restart\" does it where autostop stopped it, desired_status = \"UP\" where you did. The log so far is in %s",
		m.ID.ValueString(), m.Status.ValueString(), m.LogPath.ValueString())
}
