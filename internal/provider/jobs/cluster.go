// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// A job names its cluster as cloud/region/name, which says neither whose it is nor
// which of several that bore the name one after the other. Its state knows: the
// generation is an attribute, owner and account are private data. So a job is
// looked for where it runs, from whatever computer and for whatever owner.

// clusterKey is where the private data has them.
const clusterKey = "cluster"

// keepWhose writes into the state whose cluster a job runs on.
func keepWhose(ctx context.Context, private privateData, c cluster.Cluster) diag.Diagnostics {
	text, err := json.Marshal(broker.Whose{Owner: c.Owner, Account: c.Account})
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Record of a job's cluster failed", err.Error())}
	}
	return private.SetKey(ctx, clusterKey, text)
}

// whose reads it back. A job of an earlier version does not say.
func (m *jobModel) whose(ctx context.Context, private privateData) broker.Whose {
	var w broker.Whose
	if text, diags := private.GetKey(ctx, clusterKey); !diags.HasError() && len(text) > 0 {
		_ = json.Unmarshal(text, &w) // of our own making; else nothing is known
	}
	w.Generation = m.ClusterGeneration.ValueString()
	return w
}

// find finds a cluster as its cloud sees it now: the one that a job runs on, or
// the living one of that id where w has no generation.
func (r *jobResource) find(ctx context.Context, clusterID string, w broker.Whose) (clusters, cluster.Cluster, error) {
	b, err := session.Broker[clusters](r.data)
	if err != nil {
		return nil, cluster.Cluster{}, err
	}
	if w.Generation != "" {
		c, err := b.FindGeneration(ctx, clusterID, w)
		if err != nil {
			err = fmt.Errorf("find cluster %s: %w", clusterID, err)
		}
		return b, c, err
	}
	c, err := b.Find(ctx, clusterID)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return b, c, fmt.Errorf("find cluster %s: %w. It was looked for as owner %q: where another provider block or another computer launched it, give the job that block's provider, or set the same owner here",
			clusterID, err, b.Owner())
	case err != nil:
		return b, c, fmt.Errorf("find cluster %s: %w", clusterID, err)
	case c.Owner != b.Owner():
		return b, c, fmt.Errorf("cluster %s belongs to owner %q, and the job's provider block acts for owner %q: give the job the provider that its cluster has (provider = sky.<alias>), or set owner to the same value in both",
			clusterID, c.Owner, b.Owner())
	}
	fresh, err := b.Observe(ctx, c) // its addresses may have changed since it was recorded
	switch {
	case errors.Is(err, cluster.ErrGone):
		return b, c, fmt.Errorf("find cluster %s: %w", clusterID, err)
	case err != nil:
		return b, c, nil //nolint:nilerr // its machines may answer all the same, and prove themselves
	}
	return b, fresh, nil
}
