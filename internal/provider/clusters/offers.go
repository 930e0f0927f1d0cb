// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// overOffers runs a function over what the catalogs have for a request, as
// catalog.Set.Over does, and makes the request able to judge images.
func overOffers(ctx context.Context, d *session.Session, req *optimizer.Request, run func(offers iter.Seq[*cloud.Offer]) error) error {
	set, clouds, err := settle(ctx, d, req)
	if err != nil {
		return err
	}
	if req.Unpriced, err = set.Unpriced(ctx, req.Alternatives, d.SellingSpot(clouds)); err != nil {
		return err
	}
	req.Image = set.ImageProblem(ctx)
	sources, err := set.Over(ctx, req.Alternatives, clouds, func(offers iter.Seq[*cloud.Offer]) error {
		return run(d.ForgetUnnamed(offers, req.Alternatives))
	})
	if sources != nil {
		d.CatalogsUsed(set, sources)
	}
	return err
}

// settle writes out what a request leaves to the catalogs and to the provider block:
// the names of devices, an architecture, and which regions are preferred. It returns
// the catalogs and the clouds that it went by.
func settle(ctx context.Context, d *session.Session, req *optimizer.Request) (set *catalog.Set, clouds []string, err error) {
	if set, err = d.Catalogs(); err != nil {
		return nil, nil, err
	}
	if clouds, err = d.Candidates(req.Alternatives); err != nil {
		return nil, nil, err
	}
	if req.Preferred == nil {
		req.Preferred = request.Preferences(d.PreferredRegions)
	}
	req.Alternatives, err = set.Resolve(ctx, req.Alternatives, clouds)
	return set, clouds, err
}

// warnOfRegions warns of regions that are preferred and that no cloud has.
func (r *clusterResource) warnOfRegions(ctx context.Context, preferred []optimizer.Preference, diags *diag.Diagnostics) {
	at := path.Root("resources").AtName("preferred_regions")
	if preferred == nil {
		preferred, at = request.Preferences(r.data.PreferredRegions), path.Root("resources")
	}
	for _, w := range r.data.UnknownRegions(ctx, preferred) {
		diags.AddAttributeWarning(at, "Unknown region is preferred", kit.Sentence(w))
	}
}

// offersFor returns the offers that a launch of a request tries: the best of each
// place, as the optimizer keeps them. Where none would do it returns those that
// are the cheapest there, so that the launch says why.
func offersFor(ctx context.Context, d *session.Session, req *optimizer.Request) (out []cloud.Offer, err error) {
	anything := optimizer.Request{Alternatives: []cloud.Requirement{{Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}}}}
	err = overOffers(ctx, d, req, func(offers iter.Seq[*cloud.Offer]) error {
		plan, err := optimizer.RankEach(*req, offers, d.Capabilities(), nil)
		if infeasible := (*optimizer.InfeasibleError)(nil); errors.As(err, &infeasible) && infeasible.Considered > 0 {
			plan, err = optimizer.RankEach(anything, offers, nil, nil)
		}
		out = make([]cloud.Offer, len(plan.Placements))
		for i, p := range plan.Placements {
			out[i] = p.Offer
		}
		if infeasible := (*optimizer.InfeasibleError)(nil); errors.As(err, &infeasible) {
			return nil // the launch says so
		}
		return err
	})
	return out, err
}

// rankOffers answers a request from the catalogs alone. loss is what the cluster
// would replace; nil where nothing was lost.
func rankOffers(ctx context.Context, d *session.Session, req optimizer.Request, loss *broker.Loss, blocked ...optimizer.Block) (optimizer.Plan, error) {
	var plan optimizer.Plan
	err := overOffers(ctx, d, &req, func(offers iter.Seq[*cloud.Offer]) (err error) {
		plan, err = loss.Rank(req, offers, d.Capabilities(), blocked)
		return err
	})
	if infeasible := (*optimizer.InfeasibleError)(nil); errors.As(err, &infeasible) {
		infeasible.Hints = append(infeasible.Hints, d.CloudHints(req.Alternatives)...)
	}
	return plan, err
}

// lossOf is the loss of the spot cluster of that name; nil where there was none.
func lossOf(d *session.Session, m clusterModel) *broker.Loss {
	dir, err := d.StateFolder()
	if err != nil || m.Name.IsUnknown() || m.Recovery.IsUnknown() {
		return nil
	}
	return broker.LossOf(dir, statedir.OwnerOf(dir, d.OwnerSet()), m.Name.ValueString(), broker.Recovery(m.Recovery.ValueString()), time.Now())
}

// notCovered says what the machines that a plan chooses are billed for beside the
// prices that it compares, and that no bound is for.
func notCovered(req optimizer.Request, plan optimizer.Plan) []string {
	best := plan.Choices[0]
	name := best.Placement.Offer.Cloud
	beside := about.Of(name).BilledBeside(req.Alternatives[best.Alternative].DiskTier)
	if len(beside) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("On %s each machine is billed for more than these prices, which max_hourly_cost does not cover: %s.", name, strings.Join(beside, "; "))}
}

// warnLoss says where a lost cluster goes.
func warnLoss(m clusterModel, loss *broker.Loss, plan optimizer.Plan, diags *diag.Diagnostics) {
	if loss == nil {
		return
	}
	diags.AddAttributeWarning(path.Root("recovery"), fmt.Sprintf("Cluster %q was lost and is planned again", m.Name.ValueString()),
		fmt.Sprintf("It was lost as a whole in %s/%s. With recovery = %q it is launched again in %s first.",
			loss.Cloud, loss.Region, loss.How, plan.Placements[0].Offer.Place()))
}

// withoutDeadMan names the cloud that a plan chooses, if a machine of a launch that
// was cut off lives on there until somebody removes it, or if it stops.
func withoutDeadMan(plan optimizer.Plan, caps map[string]cloud.Capabilities) (live, stop []string) {
	if len(plan.Placements) == 0 {
		return nil, nil
	}
	for _, p := range plan.Placements[:1] {
		switch c, ok := caps[p.Offer.Cloud]; {
		case !ok || c.DeadMan:
		case c.DeadManStops:
			stop = append(stop, p.Offer.Cloud)
		default:
			live = append(live, p.Offer.Cloud)
		}
	}
	return live, stop
}

// warnOfDeadMan says what becomes of the machines of a launch that was cut off.
// It says so once, for all clusters.
func warnOfDeadMan(plan optimizer.Plan, caps map[string]cloud.Capabilities, warned *session.Names, diags *diag.Diagnostics) {
	live, stop := withoutDeadMan(plan, caps)
	again := func(name string) bool { return !warned.First("dead-man timer of " + name) }
	live, stop = slices.DeleteFunc(live, again), slices.DeleteFunc(stop, again)
	if len(live) > 0 {
		diags.AddAttributeWarning(path.Root("resources"), "No dead-man timer on "+strings.Join(live, ", "),
			"These clouds do not remove a machine by themselves when a launch is cut off for good. The next apply of this configuration cleans up, "+
				"and \"terraform-provider-sky gc\" reports what is left; until then it is billed.")
	}
	for _, name := range stop {
		text := "Where a launch is cut off for good, its machines on " + name + " shut down by themselves, but their disks are billed " +
			"until the next apply of this configuration cleans up, or \"terraform-provider-sky gc --delete\"."
		if needs := caps[name].SelfTerminateIf; needs != "" {
			text += " They remove themselves only if " + needs + "."
		}
		diags.AddAttributeWarning(path.Root("resources"), "Machines on "+name+" only stop by themselves", text)
	}
}

// warnOfSources says where a plan leads to a cloud on which allowed_cidrs do not
// keep others out. It says so once, for all clusters.
func warnOfSources(plan optimizer.Plan, caps map[string]cloud.Capabilities, warned *session.Names, diags *diag.Diagnostics) {
	if len(plan.Placements) == 0 {
		return
	}
	name := plan.Placements[0].Offer.Cloud
	if why := caps[name].SourcesOpen; why != "" && warned.First("sources of "+name) {
		diags.AddAttributeWarning(path.Root("allowed_cidrs"), "Ports on "+name+" are open to others",
			"allowed_cidrs do not keep others from SSH and the ports there: "+why+". SSH takes the cluster's key only; what listens on the ports must protect itself.")
	}
}

// paceWorthTelling is how long launches may take on account of a cloud's pace
// without a word.
const paceWorthTelling = 5 * time.Minute

// warnOfPace says how long a cloud lets a plan's machines wait for their launch.
func warnOfPace(plan optimizer.Plan, caps map[string]cloud.Capabilities, diags *diag.Diagnostics) {
	if len(plan.Placements) == 0 {
		return
	}
	p := plan.Placements[0]
	every := caps[p.Offer.Cloud].LaunchEvery
	if takes := time.Duration(p.Nodes) * every; takes >= paceWorthTelling {
		diags.AddAttributeWarning(path.Root("num_nodes"), fmt.Sprintf("%d machines on %s take %s to launch", p.Nodes, p.Offer.Cloud, takes.Round(time.Minute)),
			fmt.Sprintf("One machine is launched every %s there, for all clusters of an apply together, and the first are billed while the others wait. "+
				"Give timeouts the time for it, for booting and for setup: create is %s where it is not set.", every, defaultCreate))
	}
}

// ownOffer is presentOffer for the nodes that a cluster is to get. What no catalog
// knows any more is none, which says nothing of their architecture.
func ownOffer(ctx context.Context, d *session.Session, c cluster.Cluster) []cloud.Offer {
	offer, ok, err := presentOffer(ctx, d, c)
	if err != nil || !ok {
		return nil
	}
	return []cloud.Offer{offer}
}

// presentOffer is what a running cluster's machines are, by the catalog, where
// they are and at the price they were launched for. A catalog that names the
// zone otherwise, or sells the type elsewhere by now, knows them all the same.
// It reports false where no catalog knows the machine any more.
func presentOffer(ctx context.Context, d *session.Session, c cluster.Cluster) (cloud.Offer, bool, error) {
	set, err := d.Catalogs()
	if err != nil {
		return cloud.Offer{}, false, err
	}
	one := cloud.Requirement{Cloud: c.Cloud, InstanceType: c.InstanceType, Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}}
	var best *cloud.Offer
	_, err = set.Over(ctx, []cloud.Requirement{one}, []string{c.Cloud}, func(offers iter.Seq[*cloud.Offer]) error {
		best = closest(c, offers)
		return nil
	})
	if err != nil {
		return cloud.Offer{}, false, err
	}
	if best == nil {
		return cloud.Offer{}, false, nil
	}
	best.Region, best.Zone, best.Market = c.Region, c.Zone, c.Market
	best.HourlyUSD = c.PerNode()
	return *best, true, nil
}

// closest is the offer of a cluster's type that is most like where it runs.
func closest(c cluster.Cluster, offers iter.Seq[*cloud.Offer]) *cloud.Offer {
	var best *cloud.Offer
	score := -1
	for o := range offers {
		if o.InstanceType.Name != c.InstanceType {
			continue
		}
		s := 0
		for bit, same := range []bool{o.Market == c.Market, o.Zone == c.Zone, o.Region == c.Region} {
			if same {
				s |= 1 << bit
			}
		}
		if s > score {
			kept := *o
			best, score = &kept, s
		}
	}
	return best
}

// rankOpenable is rankOffers without the clouds that there are no credentials for, which
// apply would leave out: the plan names them. Where no other cloud is left it says
// what will be missing, since plan and apply may be different computers.
func rankOpenable(ctx context.Context, d *session.Session, req optimizer.Request, loss *broker.Loss, diags *diag.Diagnostics) (optimizer.Plan, error) {
	plan, err := rankOffers(ctx, d, req, loss)
	if err != nil {
		return plan, err
	}
	var blocked []optimizer.Block
	var names, reasons []string
	for _, p := range plan.Placements {
		name := p.Offer.Cloud
		if why := keyless(d, name); why != "" && !slices.Contains(names, name) {
			names, reasons = append(names, name), append(reasons, name+": "+why)
			blocked = append(blocked, optimizer.Block{Cloud: name, Reason: why})
		}
	}
	if len(blocked) == 0 {
		return plan, nil
	}
	fate := "Their offers are left out of this plan, as apply would leave them out. enabled_clouds without them ends this warning."
	open, err := rankOffers(ctx, d, req, loss, blocked...)
	if err != nil {
		open, fate = plan, "No other cloud has what is asked for: an apply on this computer will launch nothing."
	}
	if d.Warned.First("credentials of " + strings.Join(names, ", ")) {
		diags.AddAttributeWarning(path.Root("resources"), "No credentials for "+strings.Join(names, ", "), kit.Sentence(strings.Join(reasons, "; "))+" "+fate)
	}
	return open, nil
}

// keyless says which credentials a cloud lacks to be opened; empty is that
// it may be.
func keyless(d *session.Session, name string) string {
	f, _ := d.Registry.Get(name)
	asked, ok := f.(cloud.Keyless)
	if !ok || d.Unknown != "" {
		return ""
	}
	return asked.MissingCredentials(d.Credentials(name, "", ""))
}

// checkTemplates refuses a plan whose launch would fail by a template of the
// user's own, in every place alike. A removal needs no template, so that the
// provider block itself is not refused for it.
func (r *clusterResource) checkTemplates(cluster string, placements []cloud.Placement, diags *diag.Diagnostics) {
	if r.data.TemplatesDir == "" {
		return
	}
	if err := nodes.CheckTemplates(r.data.TemplatesDir, placements); err != nil {
		diags.AddError(fmt.Sprintf("Cluster %q: a template of templates_dir cannot be used", cluster),
			fmt.Sprintf("%s\n\ntemplates_dir of the provider block is %q. Mend the file, or remove it, and the built-in one is used.", kit.Sentence(err.Error()), r.data.TemplatesDir))
	}
}

// warnOfTools says what setup takes for granted and the template does not promise.
// What runs after setup may have it from there.
func (r *clusterResource) warnOfTools(m clusterModel, plan optimizer.Plan, diags *diag.Diagnostics) {
	taken := kit.ToolsTaken(m.Setup.ValueString())
	if len(taken) == 0 || len(plan.Placements) == 0 {
		return
	}
	promised, err := nodes.Tools(r.data.TemplatesDir, plan.Placements[0])
	if err != nil {
		return // which checkTemplates has told
	}
	taken = slices.DeleteFunc(taken, func(name string) bool { return slices.Contains(promised, name) })
	if len(taken) == 0 {
		return
	}
	names := strings.Join(taken, " and ")
	diags.AddAttributeWarning(path.Root("setup"), fmt.Sprintf("Setup of cluster %q uses %s", m.Name.ValueString(), names),
		fmt.Sprintf("The template of %s does not promise %s, so setup fails there unless the image has it. Write at the beginning of setup:\n\n%s\n\n"+
			"Or, where your image has it, say so with \"tools: [%s]\" in a template of your own in templates_dir, which ends this warning.",
			plan.Placements[0].Offer.Cloud, names, kit.ToolInstall(taken), strings.Join(taken, ", ")))
}

// placement is where the cluster is, as far as a template asks.
func (m clusterModel) placement() cloud.Placement {
	return cloud.Placement{Nodes: int(m.NumNodes.ValueInt64()), Offer: cloud.Offer{
		Cloud: m.Cloud.ValueString(), Region: m.Region.ValueString(), Zone: m.Zone.ValueString(),
		InstanceType: cloud.InstanceType{Name: m.InstanceType.ValueString()},
	}}
}
