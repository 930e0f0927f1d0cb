// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// growth is what a cluster is to get.
type growth struct {
	spec  cloud.ClusterSpec
	hosts []clusterconfig.HostKey
	// created are the ids the cloud answered, whatever it lists.
	created []string
	// committing are the ids of the new nodes, once their commit is about to begin.
	committing []string
	// settled is when a machine that nobody has named would be listed at last.
	settled time.Time
}

// dropGrowth removes what a failed growth made, also what its commit reached
// already and what is not listed yet: the cluster's record does not hold it.
func (b *Broker) dropGrowth(ctx context.Context, session cloud.Session, c cluster.Cluster, g *growth) error {
	if err := retry.Pause(ctx, max(b.cfg.Timeouts.Gone, g.settled.Sub(b.cfg.Now()))); err != nil {
		return err
	}
	alive, err := session.Query(ctx, c.Ref())
	if err != nil {
		return err
	}
	doomed := c.Uncommitted(alive)
	for _, inst := range alive {
		if inst.Committed && inst.Identity.Attempt == g.spec.Attempt && !slices.Contains(c.InstanceIDs(), inst.ID) {
			doomed = append(doomed, inst.ID)
		}
	}
	return b.removeNodes(ctx, session, c, union(union(doomed, g.created), g.committing))
}

// addRanks makes the machines of these ranks, so that the cluster has size of
// them. What was made is removed again where it does not come to that.
func (b *Broker) addRanks(ctx context.Context, session cloud.Session, c cluster.Cluster, spec Spec, ranks []int, size int) (cluster.Cluster, error) {
	cs, hosts, err := b.growthSpec(ctx, session, c, spec, ranks, size)
	if err != nil {
		return c, err
	}
	g := &growth{spec: cs, hosts: hosts}
	fresh, err := b.addNodes(ctx, session, c, spec, g)
	if err == nil {
		return fresh, nil
	}
	cleanup, cancel := teardown.Detached(ctx, b.cfg.Timeouts.Cleanup)
	defer cancel()
	if len(g.committing) > 0 {
		b.noteUndone(cleanup, c, g.committing)
	}
	if cerr := b.dropGrowth(cleanup, session, c, g); cerr != nil {
		err = errors.Join(err, fmt.Errorf("and the nodes that were added could not be removed: %w", cerr))
	}
	have := size - len(ranks)
	return c, fmt.Errorf("add nodes to cluster %q (%s); it stays at %d nodes: %w", c.Name, session.Classify(rootCause(err)), have, err)
}

// growthSpec is the cluster's spec with the new ranks, journaled. The others
// must all be there.
func (b *Broker) growthSpec(ctx context.Context, session cloud.Session, c cluster.Cluster, spec Spec, ranks []int, size int) (cloud.ClusterSpec, []clusterconfig.HostKey, error) {
	cs, err := b.presentNodes(ctx, session, c, size-len(ranks))
	if err != nil {
		return cs, nil, err
	}
	spec.Request.Nodes = size
	served, err := servedBy(c, spec.Request)
	if err != nil {
		return cs, nil, err
	}
	keys, err := b.reach().MoreKeys(ctx, c, size)
	if err != nil {
		return cs, nil, fmt.Errorf("ssh keys: %w", err)
	}
	l := &launch{Broker: b, spec: spec, gen: c.Generation, keys: keys}
	cs.Attempt, cs.Deadline = b.nextAttempt(c), l.deadline(ctx)
	cs.OnShutdown = b.onShutdown(c.Placement().Offer, c.Autostop)
	cs.Ports, cs.Labels, cs.AuthorizedKeys = spec.Ports, spec.Labels, keys.Authorized
	if len(spec.AllowedCIDRs) > 0 {
		cs.AllowedCIDRs = spec.AllowedCIDRs
	}
	tmpl, err := clusterconfig.Load(templates.FS, b.cfg.TemplateDir, c.Cloud)
	if err != nil {
		return cs, nil, err
	}
	cs.Image, cs.DiskGiB, cs.DiskTier = served.Image, served.DiskGiB, served.DiskTier
	cs.MaxMachineUSD = perMachine(served, size)
	if b.cfg.Images != nil {
		if cs.Image, err = b.cfg.Images(ctx, c.Cloud, served.Image, c.Region, archOf(c, spec.Offers)); err != nil {
			return cs, nil, err
		}
	}
	vars := nodes.VarsOf(c)
	vars.Image, vars.Nodes, vars.AuthorizedKeys = cs.Image, size, keys.Authorized
	for _, rank := range ranks {
		vars.Rank, vars.HostKey = rank, keys.Hosts[rank]
		cfg, err := tmpl.Render(vars)
		if err != nil {
			return cs, nil, err
		}
		id := cloud.Identity{Owner: c.Owner, Cluster: c.Name, Generation: c.Generation, Attempt: cs.Attempt, Rank: rank}
		cs.Nodes = append(cs.Nodes, cloud.NodeSpec{Identity: id, UserData: []byte(cfg.UserData), HostKey: keys.Hosts[rank].Public})
		cs.NodeConfig = cfg.NodeConfig
	}
	ref := c.Ref()
	return cs, keys.Hosts, b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventAttempt, Generation: c.Generation, Attempt: cs.Attempt, Ref: &ref, Account: c.Account, Nodes: len(ranks), Deadline: &cs.Deadline})
	})
}

// archOf is that of the cluster's instance type, by the catalogs; empty where they
// do not say.
func archOf(c cluster.Cluster, offers []cloud.Offer) string {
	for _, o := range offers {
		if o.Cloud == c.Cloud && o.InstanceType.Name == c.InstanceType {
			return o.InstanceType.Arch
		}
	}
	return ""
}

// servedBy is the alternative of the request that the cluster was launched for,
// as far as its place, its machines and its price tell. A price with so many
// nodes that is above the bound of each is an error.
func servedBy(c cluster.Cluster, req optimizer.Request) (cloud.Requirement, error) {
	fitting := slices.DeleteFunc(slices.Clone(req.Alternatives), func(r cloud.Requirement) bool { return !fitsCluster(c, r) })
	if len(fitting) == 0 { // an imported cluster, in other words than the request's
		fitting = []cloud.Requirement{{MaxHourlyUSD: loosest(req.Alternatives)}}
	}
	usd := optimizer.HourlyUSD(req, c.Placement().Offer)
	for _, r := range fitting {
		if optimizer.Within(r, usd) {
			return r, nil
		}
	}
	return cloud.Requirement{}, fmt.Errorf("%d nodes would cost $%.4f an hour, at the price of the launch, and max_hourly_cost allows $%.4f", req.Nodes, usd, loosest(fitting))
}

// fitsCluster reports whether the cluster may have been launched for the alternative.
func fitsCluster(c cluster.Cluster, r cloud.Requirement) bool {
	same := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	accelerator := len(r.Accelerators) == 0 || slices.ContainsFunc(r.Accelerators, func(a cloud.Accelerator) bool {
		return strings.EqualFold(a.Name, c.Devices().Name)
	})
	market := slices.Contains(r.Markets, c.Market) || (len(r.Markets) == 0 && c.Market != cloud.Spot)
	return accelerator && market &&
		same(r.Cloud, c.Cloud) && same(r.Region, c.Region) && same(r.Zone, c.Zone) && same(r.InstanceType, c.InstanceType)
}

// loosest is the highest bound of the alternatives, 0 where one has none.
func loosest(all []cloud.Requirement) float64 {
	bound := 0.0
	for _, r := range all {
		if r.MaxHourlyUSD == 0 {
			return 0
		}
		bound = max(bound, r.MaxHourlyUSD)
	}
	return bound
}

// nextAttempt is a number that no machine of the generation has carried.
func (b *Broker) nextAttempt(c cluster.Cluster) int {
	j, err := b.folderOf(c).ReadJournal()
	if err == nil { // else withJournal will say so before anything is made
		if n, ok := j.NextAttempt(c.Generation); ok {
			return n
		}
	}
	return int(b.cfg.Now().Unix())
}

// addNodes makes the new machines, sets them up and commits them.
func (b *Broker) addNodes(ctx context.Context, session cloud.Session, c cluster.Cluster, spec Spec, g *growth) (cluster.Cluster, error) {
	cs := g.spec
	placement := c.Placement()
	placement.Nodes = len(cs.Nodes)
	cfg, err := session.Bootstrap(ctx, cs, placement)
	if err != nil {
		return c, errors.Join(err, b.journalCreated(c, cs.Attempt, nil))
	}
	bounded, cancel := context.WithTimeout(ctx, b.cfg.Timeouts.Boot)
	defer cancel()
	graceful, stop := withGrace(bounded)
	defer stop()
	record, err := session.Run(graceful, cs.Ref, cfg)
	g.created = record.Created
	if err != nil && (len(g.created) > 0 || !refused(session, err)) {
		g.settled = b.cfg.Now().Add(b.cfg.Timeouts.ListDelay)
	}
	if jerr := b.journalCreated(c, cs.Attempt, record.Created); err != nil || jerr != nil {
		return c, errors.Join(err, jerr)
	}
	all := cs.Ref // by id: a list may not show the new machines yet
	all.Instances = slices.Concat(record.Adopted, record.Resumed, record.Created)
	if err := session.Wait(bounded, all, cloud.StateRunning); err != nil {
		return c, err
	}
	info, err := session.Describe(bounded, all)
	if err != nil {
		return c, err
	}
	fresh, added, err := grown(c, info, g.hosts, len(cs.Nodes))
	if err != nil {
		return c, err
	}
	if err := b.setUpAdded(ctx, fresh, added, spec); err != nil {
		return c, err
	}
	if fresh.Autostop != nil { // before they count: it must end them, too
		if err := b.reach().Rearm(ctx, fresh); err != nil {
			return c, err
		}
	}
	g.committing = added.InstanceIDs()
	err = b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventCommitting, Generation: c.Generation, Attempt: cs.Attempt, Cluster: &fresh})
	})
	if err != nil {
		return c, err
	}
	commit, stopCommit := withGrace(ctx)
	defer stopCommit()
	return fresh, session.Commit(commit, all)
}

// journalCreated notes that the create call of a growth has ended, and the ids
// of the machines that it made.
func (b *Broker) journalCreated(c cluster.Cluster, attempt int, created []string) error {
	return b.folderOf(c).WithJournal(func(j *journal.Journal) error {
		return j.Append(journal.Entry{Event: journal.EventCreated, Generation: c.Generation, Attempt: attempt, Instances: created})
	})
}

// grown is the cluster with the machines of all ranks, and the new ones alone.
func grown(c cluster.Cluster, info cloud.ClusterInfo, hosts []clusterconfig.HostKey, nodes int) (fresh, added cluster.Cluster, err error) {
	fresh, added = c, c
	fresh.Nodes, added.Nodes = nil, nil
	for _, inst := range info.Instances {
		rank := inst.Identity.Rank
		if rank < 0 || rank >= nodes || slices.ContainsFunc(fresh.Nodes, func(n cluster.Node) bool { return n.Rank == rank }) {
			return c, c, &cloud.ExtraNodesError{Cluster: c.Name, Want: nodes, Extra: []string{inst.ID}}
		}
		if i := slices.IndexFunc(c.Nodes, func(n cluster.Node) bool { return n.InstanceID == inst.ID }); i >= 0 {
			fresh.Nodes = append(fresh.Nodes, cluster.NodeOf(inst, c.Nodes[i].HostKey))
			continue
		}
		n := cluster.NodeOf(inst, hosts[rank].Public)
		fresh.Nodes, added.Nodes = append(fresh.Nodes, n), append(added.Nodes, n)
	}
	if len(fresh.Nodes) != nodes {
		return c, c, fmt.Errorf("%d of %d machines run", len(fresh.Nodes), nodes)
	}
	slices.SortFunc(fresh.Nodes, func(x, y cluster.Node) int { return x.Rank - y.Rank })
	fresh.HourlyUSD = c.PerNode() * float64(nodes)
	fresh.Size = nodes
	fresh.Judge()
	return fresh, added, nil
}

// setUpAdded brings files and setup to the new nodes only.
func (b *Broker) setUpAdded(ctx context.Context, fresh, added cluster.Cluster, spec Spec) error {
	log, closeLog, err := b.folderOf(fresh).OpenLog()
	if err != nil {
		return err
	}
	defer closeLog()
	clients, err := b.reach().DialAll(ctx, added)
	if err != nil {
		return err
	}
	defer nodes.CloseAll(clients)
	prepare, err := b.reach().PrepareScript(fresh)
	if err != nil {
		return err
	}
	whole := fresh
	whole.Nodes = slices.Clone(added.Nodes)
	for _, n := range fresh.Nodes {
		if !slices.ContainsFunc(added.Nodes, func(a cluster.Node) bool { return a.Rank == n.Rank }) {
			whole.Nodes = append(whole.Nodes, n)
		}
	}
	err = b.reach().SetUpNodes(ctx, log, clients, whole, spec.work(prepare))
	if setup := (*nodes.SetupError)(nil); errors.As(err, &setup) {
		setup.Running = true
	}
	return err
}
