// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// strangersLimit bounds what a plan waits for the clouds' answer.
const strangersLimit = 15 * time.Second

// warnOfStrangers says, before anything is launched, that machines of the name
// are there under another owner id, where they may be this configuration's own:
// an owner id that a run makes anew is no other run's, and a state that was not
// saved leaves no trace but the machines. With an owner set they are found at
// launch, and where the state folder has records it is not new.
func (r *clusterResource) warnOfStrangers(ctx context.Context, m clusterModel, plan optimizer.Plan, diags *diag.Diagnostics) {
	dir, err := r.data.StateFolder()
	if err != nil || !r.data.InAutomation() || r.data.OwnerSet() != "" || r.data.Unknown != "" || m.Name.IsUnknown() || statedir.HasRecords(dir) {
		return
	}
	b, err := session.Broker[planner](r.data)
	if err != nil {
		return // the launch says so
	}
	ctx, cancel := context.WithTimeout(ctx, strangersLimit)
	defer cancel()
	name := m.Name.ValueString()
	found := b.Strangers(ctx, name, cloudsOf(plan))
	if len(found) == 0 || !r.data.Warned.First("strangers "+name) {
		return
	}
	diags.AddWarning(fmt.Sprintf("Cluster %q may be running already", name), strangersText(found))
}

// cloudsOf are the clouds that a plan may lead to.
func cloudsOf(plan optimizer.Plan) []string {
	var clouds []string
	for _, c := range plan.Choices {
		if name := c.Placement.Offer.Cloud; !slices.Contains(clouds, name) {
			clouds = append(clouds, name)
		}
	}
	return clouds
}

func strangersText(found []cloud.Thing) string {
	var rows []string
	for _, t := range found {
		state := "not complete"
		if t.Committed {
			state = "complete"
		}
		rows = append(rows, fmt.Sprintf("%s in %s, owner id %s, %s, since %s", t.ID, cloud.ShortPlace(t.Ref.Cloud, t.Ref.Region, ""), t.Ref.Owner, state, t.CreatedAt.UTC().Format(time.RFC3339)))
	}
	first := found[0].Ref
	return fmt.Sprintf("Machines of this name are there under another owner id:\n\n%s\n\n"+
		"This run has no owner set and a new state folder, so it makes an owner id of its own and launches beside them. If an earlier run launched them and its state was not saved, "+
		"stop here, set owner = %q in the provider block or SKY_OWNER, and take them over with \"terraform import <address> %s/%s/%s\". If they are somebody else's, they are left alone.",
		kit.Indent(strings.Join(rows, "\n")), first.Owner, first.Cloud, first.Region, first.Cluster)
}

// warnOfForgotten tells, once a cloud, of machines that a launch left there and that
// nothing ends. What cannot be asked is told of by whoever needs the answer.
func (r *clusterResource) warnOfForgotten(ctx context.Context, b refresher, cloudName string, diags *diag.Diagnostics) {
	if !r.data.Warned.First("forgotten on " + cloudName) {
		return
	}
	left, err := b.Forgotten(ctx, cloudName)
	if err != nil || len(left) == 0 {
		return
	}
	diags.AddWarning(fmt.Sprintf("%d machines on %s belong to no cluster", len(left), cloudName), forgottenText(cloudName, left))
}

// warnOfForgottenBy is warnOfForgotten for the plan of a new cluster: the state of
// a launch that was cut off holds nothing that a refresh would begin with.
func (r *clusterResource) warnOfForgottenBy(ctx context.Context, plan optimizer.Plan, diags *diag.Diagnostics) {
	clouds := slices.DeleteFunc(cloudsOf(plan), func(name string) bool {
		caps, ok := r.data.CapabilitiesOf(name)
		return !ok || caps.DeadMan || caps.DeadManStops
	})
	if len(clouds) == 0 || r.data.Unknown != "" {
		return
	}
	b, err := session.Broker[refresher](r.data)
	if err != nil {
		return // the launch says so
	}
	ctx, cancel := context.WithTimeout(ctx, strangersLimit)
	defer cancel()
	for _, name := range clouds {
		r.warnOfForgotten(ctx, b, name, diags)
	}
}

func forgottenText(cloudName string, left []cloud.Instance) string {
	var rows []string
	for _, m := range left {
		rows = append(rows, fmt.Sprintf("%s in %s, for cluster %s, since %s", m.ID, cloud.ShortPlace(cloudName, m.Region, m.Zone), m.Identity.Cluster, m.CreatedAt.UTC().Format(time.RFC3339)))
	}
	return fmt.Sprintf("A launch that was cut off left them:\n\n%s\n\n%s removes no machine by itself, so they are billed. "+
		"\"terraform-provider-sky gc\" reports them, and removes them with --delete; so does the next launch of their cluster.", kit.Indent(strings.Join(rows, "\n")), cloudName)
}
