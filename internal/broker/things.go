// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// youngThing is when a key or rule without a machine is taken to be left behind
// rather than made for a launch that is just beginning elsewhere.
const youngThing = 15 * time.Minute

// clearThings removes keys, rules and groups of a name that are no living
// generation's: those of a launch that was killed, and whose disk is gone with
// the record of it. Nothing of it costs money, so a failure is no error; and no
// cloud removes what a machine still uses.
func (b *Broker) clearThings(ctx context.Context, j *journal.Journal, name string, clouds ...string) {
	if len(j.Generations()) > 1 {
		return // its launches are on record here, and cleaned up by that
	}
	ctx, cancel := context.WithTimeout(ctx, undoneLimit)
	defer cancel()
	for _, cloudName := range clouds {
		session, err := b.session(ctx, cloudName)
		if err != nil {
			continue
		}
		if err := b.clearThingsOn(ctx, session, j, cloud.ClusterRef{Owner: b.owner, Cluster: name, Cloud: cloudName}); err != nil {
			b.log.WarnContext(ctx, "keys or rules of an earlier launch may be left", "cluster", name, "cloud", cloudName, "error", err)
		}
	}
}

func (b *Broker) clearThingsOn(ctx context.Context, session cloud.Session, j *journal.Journal, ref cloud.ClusterRef) error {
	surveyor, ok := session.Provisioner.(cloud.Surveyor)
	if !ok {
		return nil
	}
	things, err := surveyor.Survey(ctx, ref)
	if err != nil {
		return fmt.Errorf("list what was made for cluster %q: %w", ref.Cluster, err)
	}
	for _, left := range withoutMachines(things) {
		if g := j.Find(left.Generation); (g != nil && !g.Removed) || b.beginning(things, left) {
			continue
		}
		b.log.InfoContext(ctx, "removing keys and rules that an earlier launch left", "cluster", ref.Cluster, "generation", left.Generation)
		if err := session.CleanupPorts(ctx, left); err != nil {
			return fmt.Errorf("remove what generation %s of cluster %q left: %w", left.Generation, ref.Cluster, err)
		}
	}
	return nil
}

// beginning reports whether a generation has made something so lately, on the cloud
// that was surveyed, that its launch may be about to ask for machines, which need
// all that it made. Every driver says when its things were made; one that does not
// say is taken to be old.
func (b *Broker) beginning(things []cloud.Thing, of cloud.ClusterRef) bool {
	return slices.ContainsFunc(things, func(t cloud.Thing) bool {
		same := t.Ref.Owner == of.Owner && t.Ref.Cluster == of.Cluster && t.Ref.Generation == of.Generation
		return same && t.Kind != cloud.ThingMachine && !t.CreatedAt.IsZero() && b.cfg.Now().Sub(t.CreatedAt) < youngThing
	})
}

// Strangers are the machines of a name under other owner ids, as far as the
// clouds can be asked. They are nothing to act on, only to be told of.
func (b *Broker) Strangers(ctx context.Context, name string, clouds []string) []cloud.Thing {
	var out []cloud.Thing
	for _, cloudName := range clouds {
		session, err := b.session(ctx, cloudName)
		if err != nil {
			continue
		}
		surveyor, ok := session.Provisioner.(cloud.Surveyor)
		if !ok {
			continue
		}
		things, err := surveyor.Survey(ctx, cloud.ClusterRef{Cluster: name, Cloud: cloudName})
		if err != nil {
			b.log.WarnContext(ctx, "whether machines of the name are there is not known", "cluster", name, "cloud", cloudName, "error", err)
		}
		for _, t := range things {
			if t.Kind == cloud.ThingMachine && t.Ref.Owner != b.owner {
				out = append(out, t)
			}
		}
	}
	return out
}

// withoutMachines are the generations that have things and no machine.
func withoutMachines(things []cloud.Thing) []cloud.ClusterRef {
	var left []cloud.ClusterRef
	for _, t := range things {
		alive := slices.ContainsFunc(things, func(m cloud.Thing) bool {
			return m.Kind == cloud.ThingMachine && m.Ref.Owner == t.Ref.Owner && m.Ref.Generation == t.Ref.Generation
		})
		ref := cloud.ClusterRef{Owner: t.Ref.Owner, Cluster: t.Ref.Cluster, Generation: t.Ref.Generation, Cloud: t.Ref.Cloud}
		if !alive && !slices.ContainsFunc(left, func(l cloud.ClusterRef) bool { return l.Generation == ref.Generation && l.Cluster == ref.Cluster }) {
			left = append(left, ref)
		}
	}
	return left
}

// gcThings adds what the clouds hold besides the owner's machines: things of
// generations that have none, and all that is other owners'.
func (b *Broker) gcThings(ctx context.Context, v *gcView, row *CloudReport, session cloud.Session) {
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
		if f, ok := b.judgeThing(*v, row.Name, t, b.beginning(things, t.Ref)); ok {
			v.report.Findings = append(v.report.Findings, f)
		}
	}
}

// judgeThing says what is to become of a thing, whose generation is young or not;
// false is that it needs no row.
func (b *Broker) judgeThing(v gcView, cloudName string, t cloud.Thing, young bool) (Finding, bool) {
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
	if t.Ref.Owner != b.owner {
		f.Owner, f.Verdict = t.Ref.Owner, "another owner's"
		f.Why = fmt.Sprintf("it is owner %s's; \"gc --owner %s\" says more of it", t.Ref.Owner, t.Ref.Owner)
		return f, true
	}
	cj := v.journalOf(t.Ref.Cluster, b)
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

// gcLeftThings removes the doomed things of a generation that has no machine.
func (b *Broker) gcLeftThings(ctx context.Context, v gcView, doomed []*Finding) error {
	var done []string
	for _, f := range doomed {
		if f.Kind != FindingThing || slices.Contains(done, f.Cloud) {
			continue
		}
		done = append(done, f.Cloud)
		ref := cloud.ClusterRef{Owner: b.owner, Cluster: f.Cluster, Generation: f.Generation, Cloud: f.Cloud}
		session := v.sessions[f.Cloud]
		if slices.ContainsFunc(doomed, func(d *Finding) bool { return d.Thing == cloud.ThingDisk && d.Cloud == f.Cloud }) {
			if err := gcDisks(ctx, session, ref); err != nil {
				return fmt.Errorf("remove the disks of generation %s of cluster %q: %w", f.Generation, f.Cluster, err)
			}
		}
		if err := session.CleanupPorts(ctx, ref); err != nil {
			return fmt.Errorf("remove the keys and rules of generation %s of cluster %q: %w", f.Generation, f.Cluster, err)
		}
	}
	return nil
}

// gcDisks removes the disks of a generation that has no machine. Drivers remove
// them with the machines, and those that outlived theirs when no machine is named.
func gcDisks(ctx context.Context, session cloud.Session, ref cloud.ClusterRef) error {
	alive, err := session.Query(ctx, ref)
	if err != nil {
		return fmt.Errorf("look for its machines: %w", err)
	}
	if len(alive) > 0 {
		return fmt.Errorf("it has machines after all: %s", ids(alive))
	}
	return session.Terminate(ctx, ref)
}

// checkTakeOver refuses a name under which nothing can be taken over.
func (v gcView) checkTakeOver(opts GCOptions) error {
	if opts.TakeOver == "" {
		return nil
	}
	var why []string
	for _, f := range v.report.Findings {
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
	return fmt.Errorf("no machine of %s, of owner %s, was found on the clouds that are enabled; nothing was removed", opts.TakeOver, v.report.Owner)
}
