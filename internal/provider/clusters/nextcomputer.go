// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// warnOfElsewhere says, once, what the next computer could not do with a cluster
// that this run is to launch, and what would let it.
func warnOfElsewhere(d *session.Session, diags *diag.Diagnostics) {
	if !d.InAutomation() {
		return
	}
	var cannot, set []string
	if d.OwnerSet() == "" {
		cannot = append(cannot, "find what a run that was cut off left, nor a cluster by its name or id")
		set = append(set, "owner (or SKY_OWNER)")
	}
	if !d.HasOwnKey() {
		cannot = append(cannot, "log in to the machines (jobs, their logs, setup, uploads, more nodes)")
		set = append(set, "ssh_private_key (or "+session.KeyVariable+")")
	}
	if len(set) == 0 || !d.Warned.First("elsewhere") {
		return
	}
	diags.AddWarning("The next run may be on another computer",
		"Without the state folder of this one it could not "+strings.Join(cannot, ", nor ")+".\n"+
			"Set "+strings.Join(set, " and ")+" in the provider block, to the same in every run, and allowed_cidrs to where the runs come from.")
}

// noteReplacement tells the broker which clusters of that name the plan replaces.
func (r *clusterResource) noteReplacement(ctx context.Context, name string) error {
	held := r.data.Prior.Named(name)
	b, opened := session.OpenedBroker[planner](r.data)
	if !opened {
		if len(held) == 0 || r.data.Unknown != "" {
			return nil
		}
		var err error
		if b, err = session.Broker[planner](r.data); err != nil {
			return err
		}
	}
	return b.NoteReplacement(ctx, name, held...)
}
