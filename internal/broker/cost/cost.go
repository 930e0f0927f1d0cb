// SPDX-License-Identifier: MPL-2.0

// Package cost says what clusters have cost: an estimate, at the prices of their
// launches, from the records of this computer, what states say, and the clouds' own
// launch times.
package cost

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// Estimate says, in every report, what its numbers are.
const Estimate = "An estimate: machines that ran, times the price at launch. Disks, traffic, taxes, attempts that failed and what the clouds charge beside that are not in it. Look at your clouds' bills for what is owed."

// Row is one cluster.
type Row struct {
	Cluster      string       `json:"cluster"`
	Generation   string       `json:"generation"`
	Cloud        string       `json:"cloud"`
	Region       string       `json:"region"`
	InstanceType string       `json:"instance_type"`
	Accelerators string       `json:"accelerators"`
	Market       cloud.Market `json:"market"`
	LaunchedAt   *time.Time   `json:"launched_at"`
	// EndedAt is when its machines were seen gone; nil is that they live.
	EndedAt *time.Time `json:"ended_at"`
	// Running is how many of its machines run now, and HourlyUSD what they cost.
	Running   int     `json:"running"`
	HourlyUSD float64 `json:"hourly_cost"`
	// Priced is that the price at launch is known; else the dollars are 0.
	Priced bool `json:"priced"`
	Total  Sum  `json:"total"`
	Window Sum  `json:"window"`
	// Remark says what is not known.
	Remark string `json:"remark,omitempty"`
}

// Sum is hours of machines and what they cost.
type Sum struct {
	Hours float64 `json:"machine_hours"`
	USD   float64 `json:"cost"`
	// Unpriced are those of the hours whose price is not known.
	Unpriced float64 `json:"unpriced_machine_hours"`
}

func (s *Sum) add(o Sum) {
	s.Hours, s.USD, s.Unpriced = s.Hours+o.Hours, s.USD+o.USD, s.Unpriced+o.Unpriced
}

// Totals are the sums over rows.
type Totals struct {
	Total   Sum                  `json:"total"`
	Window  Sum                  `json:"window"`
	Markets map[cloud.Market]Sum `json:"total_by_market"`
	// HourlyUSD is what all that runs costs now.
	HourlyUSD float64 `json:"hourly_cost"`
}

// Report is what clusters of an owner have cost up to a time.
type Report struct {
	Note  string    `json:"note"`
	Owner string    `json:"owner"`
	Until time.Time `json:"until"`
	// Since begins the window.
	Since    time.Time `json:"since"`
	Clusters []Row     `json:"clusters"`
	All      Totals    `json:"all"`
	// Unasked are clouds that could not be asked, with why: their clusters are counted
	// as they were last seen.
	Unasked map[string]string `json:"unasked,omitempty"`
}

// Ledger knows where to look.
type Ledger struct {
	Down teardown.Teardown
	// Held are clusters as states have them, where they are known.
	Held []cluster.Cluster
}

// spell is a time in which so many machines were billed.
type spell struct {
	from, to time.Time
	machines int
}

// Report sums up what the owner's clusters cost, in all and in the time window before
// now. Clouds that are not enabled are passed over.
func (l Ledger) Report(ctx context.Context, window time.Duration) (Report, error) {
	now := l.Down.Now()
	r := Report{
		Note: Estimate, Owner: l.Down.Owner, Until: now.UTC(), Since: now.Add(-window).UTC(),
		Clusters: []Row{}, All: Totals{Markets: map[cloud.Market]Sum{}}, Unasked: map[string]string{},
	}
	histories, err := l.histories()
	if err != nil {
		return r, err
	}
	living, cloudOf := l.living(ctx, histories, &r)
	if err := ctx.Err(); err != nil {
		return r, err
	}
	for gen, h := range histories {
		r.Clusters = append(r.Clusters, l.row(gen, h, living[gen], r))
		delete(living, gen)
	}
	for gen, machines := range living {
		r.Clusters = append(r.Clusters, l.unrecorded(gen, cloudOf[gen], machines, r))
	}
	slices.SortFunc(r.Clusters, func(x, y Row) int {
		return cmp.Or(cmp.Compare(x.Cluster, y.Cluster), timeOf(x.LaunchedAt).Compare(timeOf(y.LaunchedAt)), cmp.Compare(x.Generation, y.Generation))
	})
	for _, row := range r.Clusters {
		r.All.Total.add(row.Total)
		r.All.Window.add(row.Window)
		r.All.HourlyUSD += row.HourlyUSD
		m := r.All.Markets[row.Market]
		m.add(row.Total)
		r.All.Markets[row.Market] = m
	}
	return r, nil
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// histories are what this computer's journals say of the owner's clusters, by
// generation.
func (l Ledger) histories() (map[string][]journal.Moment, error) {
	root := filepath.Join(l.Down.State.Path, "clusters")
	dirs, err := os.ReadDir(root)
	if err != nil && !durable.IsMissing(err) {
		return nil, fmt.Errorf("read the journals: %w", err)
	}
	out := map[string][]journal.Moment{}
	for _, d := range dirs {
		j, err := journal.Read(filepath.Join(root, d.Name()))
		if err != nil || !j.Only(l.Down.Owner) {
			continue // gc tells of a damaged one
		}
		for _, g := range j.Generations() {
			if h := j.History(g.ID); len(h) > 0 {
				out[g.ID] = h
			}
		}
	}
	return out, nil
}

// living are the whole clusters' machines that the clouds show, by generation, and
// where they are.
func (l Ledger) living(ctx context.Context, histories map[string][]journal.Moment, r *Report) (living map[string][]cloud.Instance, cloudOf map[string]string) {
	needed := map[string]bool{}
	for _, h := range histories {
		if last := h[len(h)-1]; last.Cluster != nil {
			needed[last.Cluster.Cloud] = true
		}
	}
	living, cloudOf = map[string][]cloud.Instance{}, map[string]string{}
	for _, name := range l.Down.Clouds.Registry.Names() {
		session, err := l.Down.Clouds.Open(ctx, name)
		var machines []cloud.Instance
		if err == nil {
			machines, err = session.Query(ctx, cloud.ClusterRef{Owner: l.Down.Owner, Cloud: name})
		}
		if err != nil && (needed[name] || session.Provisioner != nil) {
			r.Unasked[name] = err.Error()
		}
		for _, m := range machines {
			if m.Committed {
				living[m.Identity.Generation] = append(living[m.Identity.Generation], m)
				cloudOf[m.Identity.Generation] = name
			}
		}
	}
	return living, cloudOf
}

// row is a cluster that this computer has a history of.
func (l Ledger) row(gen string, h []journal.Moment, machines []cloud.Instance, r Report) Row {
	known := *lastCluster(h)
	var spells []spell
	for i, m := range h {
		if m.Cluster == nil {
			continue
		}
		to := r.Until
		if i+1 < len(h) {
			to = h[i+1].At
		}
		spells = append(spells, spell{m.At, to, billed(*m.Cluster)})
	}
	row := newRow(known)
	row.Generation, row.LaunchedAt = gen, &h[0].At
	last := h[len(h)-1]
	_, unasked := r.Unasked[known.Cloud]
	switch {
	case last.Cluster == nil:
		row.EndedAt = &last.At
	case unasked:
		row.Running, row.Remark = billed(known), "its cloud could not be asked: counted as it was last seen"
	case len(machines) == 0 && known.Status == cluster.StatusTerminated:
		row.EndedAt = &last.At
	case len(machines) == 0:
		row.EndedAt, row.Remark = &last.At, "its machines are gone: counted until it was last seen, so it may be too little"
		spells[len(spells)-1].to = last.At
	default:
		row.Running = running(machines)
		spells[len(spells)-1].machines = row.Running
	}
	row.count(spells, known.PerNode(), r)
	return row
}

// unrecorded is a cluster that lives, and was launched from another computer.
func (l Ledger) unrecorded(gen, on string, machines []cloud.Instance, r Report) Row {
	first := machines[0]
	known := cluster.Cluster{
		Name: first.Identity.Cluster, Cloud: on, Region: first.Region, InstanceType: first.Type, Market: first.Market,
		Accelerators: first.Notes[cloud.TagAccelerators], Generation: gen,
	}
	begun := first.CreatedAt
	for _, m := range machines {
		if m.CreatedAt.Before(begun) {
			begun = m.CreatedAt
		}
	}
	if i := slices.IndexFunc(l.Held, func(c cluster.Cluster) bool { return c.Generation == gen }); i >= 0 {
		known = l.Held[i]
		if t, err := time.Parse(time.RFC3339, known.LaunchedAt); err == nil {
			begun = t
		}
	}
	row := newRow(known)
	row.Running = running(machines)
	row.Remark = "launched from another computer: counted as if what runs now had run from its launch on"
	if !begun.IsZero() {
		row.LaunchedAt = &begun
		row.count([]spell{{begun, r.Until, row.Running}}, known.PerNode(), r)
	}
	return row
}

func newRow(c cluster.Cluster) Row {
	return Row{
		Cluster: c.Name, Generation: c.Generation, Cloud: c.Cloud, Region: c.Region, InstanceType: c.InstanceType,
		Accelerators: c.Accelerators, Market: c.Market, Priced: c.HourlyUSD > 0,
	}
}

// count sums the spells up.
func (row *Row) count(spells []spell, perMachine float64, r Report) {
	row.Total, row.Window = sum(spells, time.Time{}, perMachine), sum(spells, r.Since, perMachine)
	row.HourlyUSD = float64(row.Running) * perMachine
}

// sum is what the spells have since a time.
func sum(spells []spell, since time.Time, perMachine float64) Sum {
	var s Sum
	for _, p := range spells {
		from := p.from
		if from.Before(since) {
			from = since
		}
		if p.to.After(from) {
			s.Hours += p.to.Sub(from).Hours() * float64(p.machines)
		}
	}
	s.USD = s.Hours * perMachine
	if perMachine == 0 {
		s.Unpriced = s.Hours
	}
	return s
}

func lastCluster(h []journal.Moment) *cluster.Cluster {
	for _, m := range slices.Backward(h) {
		if m.Cluster != nil {
			return m.Cluster
		}
	}
	return &cluster.Cluster{}
}

// billed is how many machines of a cluster were billed as a record has it.
func billed(c cluster.Cluster) int {
	if c.Status == cluster.StatusTerminated {
		return 0
	}
	n := 0
	for _, node := range c.Nodes {
		if node.State != cloud.StateStopped && node.State != cloud.StateTerminated {
			n++
		}
	}
	return n
}

func running(machines []cloud.Instance) int {
	n := 0
	for _, m := range machines {
		if m.State != cloud.StateStopped && m.State != cloud.StateTerminated {
			n++
		}
	}
	return n
}
