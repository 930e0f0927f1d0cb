// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Drift says, for people, what of the cluster's ports, their sources and its
// labels is otherwise than in the spec; empty is nothing. Ports are compared where
// the cluster's allowed prefixes are known and the cloud tells what is open.
func (ch Changer) Drift(ctx context.Context, c cluster.Cluster, spec spec.Spec) ([]string, error) {
	session, err := ch.Down.OpenFor(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []string
	if auditor, ok := session.Provisioner.(cloud.Auditor); ok && len(c.AllowedCIDRs) > 0 {
		if out, err = auditor.PortDrift(ctx, c.Ref(), c.Prefixes(), spec.Ports); err != nil {
			return nil, fmt.Errorf("look at the ports of cluster %q: %w", c.Name, err)
		}
	}
	if caps, _ := ch.Down.Clouds.Capabilities(c.Cloud); !caps.Labels || caps.LabelsFixed {
		return out, nil // nobody could mend labels
	}
	ref := c.Ref()
	ref.Instances = c.InstanceIDs()
	machines, err := session.Query(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("look at the labels of cluster %q: %w", c.Name, err)
	}
	for _, m := range machines {
		if m.State == cloud.StateTerminating || m.State == cloud.StateTerminated {
			continue
		}
		out = append(out, labelDrift(m.Identity.Rank, m.Labels, spec.Labels)...)
	}
	return out, nil
}

// labelDrift says how the labels of a rank differ.
func labelDrift(rank int, have, want map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		switch v, ok := have[k]; {
		case !ok:
			out = append(out, fmt.Sprintf("label %q of rank %d is missing", k, rank))
		case v != want[k]:
			out = append(out, fmt.Sprintf("label %q of rank %d is %q", k, rank, v))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[k]; !ok {
			out = append(out, fmt.Sprintf("label %q of rank %d was added", k, rank))
		}
	}
	return out
}
