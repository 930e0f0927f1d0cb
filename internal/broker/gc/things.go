// SPDX-License-Identifier: MPL-2.0

package gc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// judgeThings adds what the clouds hold besides the owner's machines: things of
// generations that have none, and all that is other owners'.
func (gc Collector) judgeThings(ctx context.Context, v *View, row *CloudReport, session cloud.Session) {
	surveyor, ok := session.Provisioner.(cloud.Surveyor)
	if !ok {
		row.Remark = "this cloud cannot list keys and rules, nor what other owners have"
		return
	}
	things, err := surveyor.Survey(ctx, cloud.ClusterRef{Cloud: row.Name})
	if err != nil {
		row.Remark = fmt.Sprintf("keys, rules and what other owners have could not be listed: %v", err)
		return
	}
	for _, t := range things {
		if f, ok := gc.judgeThing(*v, row.Name, t, gc.Down.Beginning(things, t.Ref)); ok {
			v.Report.Findings = append(v.Report.Findings, f)
		}
	}
}

// judgeThing says what is to become of a thing, whose generation is young or not;
// false is that it needs no row.
func (gc Collector) judgeThing(v View, cloudName string, t cloud.Thing, young bool) (Finding, bool) {
	f := Finding{
		Kind: FindingThing, Thing: t.Kind, Cloud: cloudName, Region: t.Ref.Region, Zone: t.Ref.Zone, Cluster: t.Ref.Cluster,
		Generation: t.Ref.Generation, ID: t.ID, Committed: t.Committed,
	}
	if !t.CreatedAt.IsZero() {
		f.CreatedAt = &t.CreatedAt
	}
	if !t.Deadline.IsZero() {
		f.Deadline = &t.Deadline
	}
	if t.Ref.Owner != gc.Down.Owner {
		f.Owner, f.Verdict = t.Ref.Owner, "another owner's"
		f.Why = fmt.Sprintf("it is owner %s's; \"gc --owner %s\" says more of it", t.Ref.Owner, t.Ref.Owner)
		return f, true
	}
	cj := v.journalOf(t.Ref.Cluster, gc)
	f.dir = cj.dir
	var g *journal.Generation
	if cj.err == nil {
		g = cj.journal.Find(t.Ref.Generation)
	}
	switch {
	case t.Kind == cloud.ThingMachine, v.living[t.Ref.Generation], g != nil && !g.Removed:
		return f, false // a machine's, or of a record that has a row
	case cj.busy:
		f.Verdict, f.Why = "in progress", "somebody works on its cluster"
	case cj.err != nil:
		f.Verdict, f.Why = "unknown", fmt.Sprintf("its journal cannot be read: %v", cj.err)
	case young:
		f.Verdict, f.Why = "young", "perhaps of a launch that is beginning elsewhere"
	default:
		f.Verdict, f.Why, f.Deletable = "left", "it was made for machines that are not there", true
	}
	return f, true
}

// removeThings removes the doomed things of a generation that has no machine.
func (gc Collector) removeThings(ctx context.Context, v View, doomed []*Finding) error {
	var done []string
	for _, f := range doomed {
		if f.Kind != FindingThing || slices.Contains(done, f.Cloud) {
			continue
		}
		done = append(done, f.Cloud)
		ref := cloud.ClusterRef{Owner: gc.Down.Owner, Cluster: f.Cluster, Generation: f.Generation, Cloud: f.Cloud}
		session := v.sessions[f.Cloud]
		if slices.ContainsFunc(doomed, func(d *Finding) bool { return d.Thing.Paid() && d.Cloud == f.Cloud }) {
			if err := removePaid(ctx, session, ref); err != nil {
				return fmt.Errorf("remove the disks and addresses of generation %s of cluster %q: %w", f.Generation, f.Cluster, err)
			}
		}
		if err := session.CleanupPorts(ctx, ref); err != nil {
			return fmt.Errorf("remove the keys and rules of generation %s of cluster %q: %w", f.Generation, f.Cluster, err)
		}
	}
	return nil
}

// removePaid removes the disks and addresses of a generation that has no machine.
// Drivers remove them with the machines, and those that outlived theirs when no
// machine is named.
func removePaid(ctx context.Context, session cloud.Session, ref cloud.ClusterRef) error {
	alive, err := session.Query(ctx, ref)
	if err != nil {
		return fmt.Errorf("look for its machines: %w", err)
	}
	if len(alive) > 0 {
		return fmt.Errorf("it has machines after all: %s", clouds.IDText(alive))
	}
	return session.Terminate(ctx, ref)
}

// checkTakeOver refuses a name under which nothing can be taken over.
func (v View) checkTakeOver(opts Options) error {
	if opts.TakeOver == "" {
		return nil
	}
	var why []string
	for _, f := range v.Report.Findings {
		if f.Kind != FindingMachine || !opts.takesOver(f.Cluster, f.Generation) {
			continue
		}
		if f.Deletable {
			return nil
		}
		why = append(why, fmt.Sprintf("%s is %s: %s", f.ID, f.Verdict, f.Why))
	}
	if len(why) > 0 {
		return fmt.Errorf("%s is not to be taken over; nothing was removed: %s", opts.TakeOver, strings.Join(why, "; "))
	}
	return fmt.Errorf("no machine of %s, of owner %s, was found on the clouds that are enabled; nothing was removed", opts.TakeOver, v.Report.Owner)
}
