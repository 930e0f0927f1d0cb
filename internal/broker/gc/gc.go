// SPDX-License-Identifier: MPL-2.0

// Package gc reports, and on request removes, what nothing holds any more, over
// all clouds, journals and states.
package gc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Collector finds and removes what nothing holds any more.
type Collector struct {
	// Down removes what it finds, and knows whose it is.
	Down teardown.Teardown
}

func (gc Collector) folder(name string) statedir.Folder {
	return gc.Down.State.Cluster(gc.Down.Owner, name)
}

// Options say what GC may do. The zero value reports and changes nothing.
type Options struct {
	// Delete removes what the report calls deletable, after a second look.
	Delete bool
	// DeleteIDs are complete machines to remove all the same. Each must be in
	// none of States, and there must be at least one State.
	DeleteIDs []string
	// TakeOver is a cluster's name, or name/generation: machines of it that were
	// never committed and may be of a launch that still goes on elsewhere are
	// removed all the same.
	TakeOver string
	// States are what Terraform holds; see ReadState.
	States []State
}

// takesOver reports whether machines of a launch are to make room for another.
func (o Options) takesOver(cluster, generation string) bool {
	return o.TakeOver != "" && (o.TakeOver == cluster || o.TakeOver == cluster+"/"+generation)
}

// FindingKind says what a finding is about.
type FindingKind string

// What GC finds.
const (
	FindingMachine FindingKind = "machine"
	FindingJournal FindingKind = "journal" // a record without machines
	FindingKeys    FindingKind = "keys"    // a folder of keys without machines
	FindingThing   FindingKind = "thing"   // a key, rule, group or disk in a cloud without a machine
)

// Finding is one row of a report.
type Finding struct {
	Kind FindingKind `json:"kind"`
	// Thing is the kind of a thing. Owner is its owner id, where that is not ours.
	Thing      cloud.ThingKind `json:"thing,omitempty"`
	Owner      string          `json:"owner,omitempty"`
	Cloud      string          `json:"cloud,omitempty"`
	Region     string          `json:"region,omitempty"`
	Zone       string          `json:"zone,omitempty"`
	Cluster    string          `json:"cluster,omitempty"`
	Generation string          `json:"generation,omitempty"`
	ID         string          `json:"id,omitempty"`
	Type       string          `json:"instance_type,omitempty"`
	State      cloud.State     `json:"state,omitempty"`
	Committed  bool            `json:"committed"`
	CreatedAt  *time.Time      `json:"created_at,omitempty"`
	// Deadline is when the machine removes itself, or by when its launch is over on a
	// cloud without dead-man timers.
	Deadline *time.Time `json:"deadline,omitempty"`
	// Path is the folder or file, for what is not a machine.
	Path string `json:"path,omitempty"`
	// Verdict is one word or two, Why a sentence.
	Verdict   string `json:"verdict"`
	Why       string `json:"why"`
	Deletable bool   `json:"deletable"`
	Deleted   bool   `json:"deleted"`
	Error     string `json:"error,omitempty"`

	dir string // of the cluster
}

// key identifies a finding from look to look.
func (f Finding) key() string {
	return string(f.Kind) + "\x00" + string(f.Thing) + "\x00" + f.Owner + "\x00" + f.Region + "\x00" + f.Cloud + "\x00" + f.ID + "\x00" + f.dir + "\x00" + f.Generation
}

// CloudReport says how a cloud was looked at.
type CloudReport struct {
	Name     string `json:"name"`
	Account  string `json:"account,omitempty"`
	Machines int    `json:"machines"`
	// Error says why the cloud was not looked at.
	Error string `json:"error,omitempty"`
	// Remark says why only its machines were looked at.
	Remark string `json:"remark,omitempty"`
	// Needed says that the journal has records in a cloud that was not looked at.
	Needed bool `json:"needed,omitempty"`
}

// Report is what GC found and did.
type Report struct {
	Owner    string        `json:"owner"`
	Clouds   []CloudReport `json:"clouds"`
	Findings []Finding     `json:"findings"`
}

// Incomplete names the clouds that hold or may hold machines of ours and could
// not be asked.
func (r Report) Incomplete() []string {
	var out []string
	for _, c := range r.Clouds {
		if c.Error != "" && c.Needed {
			out = append(out, c.Name)
		}
	}
	return out
}

// Collect compares what the clouds, the journals of the state folder and the given
// states hold, over all clouds that are enabled. It only ever sees machines
// with the broker's owner id. With opts.Delete it removes what no launch, no
// cluster and no state can still want: machines never committed whose launch is
// over, records and keys without machines. A committed machine goes only by
// opts.DeleteIDs. The error is for what could not be tried at all; a removal
// that failed stands in its finding.
func (gc Collector) Collect(ctx context.Context, opts Options) (Report, error) {
	if len(opts.DeleteIDs) > 0 && len(opts.States) == 0 {
		return Report{}, errors.New("a complete machine is removed only when it is in none of your Terraform states; give every state that this owner id is used with")
	}
	first, err := gc.Look(ctx, opts)
	if err != nil || (!opts.Delete && len(opts.DeleteIDs) == 0 && opts.TakeOver == "") {
		return first.Report, err
	}
	if err := errors.Join(first.checkIDs(opts.DeleteIDs), first.checkTakeOver(opts)); err != nil {
		return first.Report, err
	}
	if err := retry.Pause(ctx, max(gc.Down.Gone, gc.Down.ListDelay)); err != nil {
		return first.Report, err
	}
	second, err := gc.Look(ctx, opts)
	if err != nil {
		return first.Report, err
	}
	gc.Delete(ctx, opts, first, &second)
	return second.Report, nil
}

// View is one look at everything.
type View struct {
	Report   Report
	sessions map[string]cloud.Session
	journals []clusterJournal
	// blind are the clouds that could not be asked.
	blind []string
	// living are the generations that have a machine somewhere.
	living map[string]bool
}

// clusterJournal is the journal of one folder.
type clusterJournal struct {
	dir, name string
	journal   *journal.Journal
	err       error
	busy      bool
}

// Look takes one look at everything.
func (gc Collector) Look(ctx context.Context, opts Options) (View, error) {
	v := View{Report: Report{Owner: gc.Down.Owner, Clouds: []CloudReport{}, Findings: []Finding{}}, sessions: map[string]cloud.Session{}, living: map[string]bool{}}
	if err := gc.journals(&v); err != nil {
		return v, err
	}
	for _, name := range gc.Down.Clouds.Registry.Names() {
		row := CloudReport{Name: name, Needed: v.mentions(name)}
		instances, session, err := gc.list(ctx, name)
		if err != nil {
			row.Error = err.Error()
			row.Needed = row.Needed || session.Provisioner != nil
			v.blind = append(v.blind, name)
		} else {
			v.sessions[name] = session
			row.Account, row.Machines = session.Account, len(instances)
		}
		for _, inst := range instances {
			v.living[inst.Identity.Generation] = true
			v.Report.Findings = append(v.Report.Findings, gc.judgeMachine(name, session.Account, inst, v.journalOf(inst.Identity.Cluster, gc), opts))
		}
		if err == nil {
			gc.judgeThings(ctx, &v, &row, session)
		}
		v.Report.Clouds = append(v.Report.Clouds, row)
	}
	for _, cj := range v.journals {
		v.Report.Findings = append(v.Report.Findings, gc.judgeRecords(v, cj)...)
	}
	slices.SortStableFunc(v.Report.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Cluster, y.Cluster), cmp.Compare(x.Generation, y.Generation), cmp.Compare(x.Cloud, y.Cloud), cmp.Compare(x.ID, y.ID))
	})
	return v, ctx.Err()
}

// list lists all machines of the owner. A session with an error is a cloud
// that is enabled and did not answer.
func (gc Collector) list(ctx context.Context, name string) ([]cloud.Instance, cloud.Session, error) {
	session, err := gc.Down.Clouds.Open(ctx, name)
	if err != nil {
		return nil, cloud.Session{}, err
	}
	instances, err := session.Query(ctx, cloud.ClusterRef{Owner: gc.Down.Owner, Cloud: name})
	if err != nil {
		err = fmt.Errorf("list the machines of owner %s on %s: %w", gc.Down.Owner, name, err)
	}
	return instances, session, err
}

// journals reads the journals of all clusters.
func (gc Collector) journals(v *View) error {
	root := filepath.Join(gc.Down.State.Path, "clusters")
	dirs, err := os.ReadDir(root)
	if err != nil && !durable.IsMissing(err) {
		return fmt.Errorf("read the journals: %w", err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		cj := clusterJournal{dir: filepath.Join(root, d.Name())}
		cj.busy = statedir.Locked(cj.dir)
		cj.journal, cj.err = journal.Read(cj.dir)
		if cj.err == nil && !cj.journal.Only(gc.Down.Owner) {
			continue // another owner's, whose machines this look does not see
		}
		if cj.err == nil {
			cj.name = cj.journal.ClusterName()
		}
		v.journals = append(v.journals, cj)
	}
	return nil
}

// journalOf finds the journal of a cluster, by its folder: a damaged one does
// not say its name.
func (v View) journalOf(cluster string, gc Collector) clusterJournal {
	for _, cj := range v.journals {
		if cj.dir == gc.folder(cluster).Path() {
			return cj
		}
	}
	return clusterJournal{dir: gc.folder(cluster).Path(), name: cluster, journal: &journal.Journal{}}
}

// mentions reports whether a journal has machines in a cloud that were not
// observed gone.
func (v View) mentions(cloudName string) bool {
	return slices.ContainsFunc(v.journals, func(cj clusterJournal) bool {
		return cj.err != nil || slices.ContainsFunc(cj.journal.Generations(), func(g *journal.Generation) bool {
			return !g.Removed && slices.ContainsFunc(g.AllPlaces(), func(p journal.Place) bool { return p.Ref.Cloud == cloudName })
		})
	})
}

// checkIDs refuses ids that are not there or not for DeleteIDs.
func (v View) checkIDs(ids []string) error {
	for _, id := range ids {
		i := slices.IndexFunc(v.Report.Findings, func(f Finding) bool { return f.Kind == FindingMachine && f.ID == id })
		switch {
		case i < 0:
			return fmt.Errorf("no machine %s of owner %s was found on the clouds that are enabled; nothing was removed", id, v.Report.Owner)
		case !v.Report.Findings[i].Deletable:
			f := v.Report.Findings[i]
			return fmt.Errorf("machine %s is not to be removed here (%s: %s); nothing was removed", id, f.Verdict, f.Why)
		}
	}
	return nil
}
