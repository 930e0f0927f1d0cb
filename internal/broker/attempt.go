// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// attempt is one try at one placement.
type attempt struct {
	*launch
	number    int
	placement cloud.Placement
	// choice is why the placement was taken: for which alternative above all.
	choice  optimizer.Choice
	started time.Time
	// deadline is the dead-man timer of the machines.
	deadline  time.Time
	step      string
	config    clusterconfig.Config
	runConfig cloud.RunConfig
	// created are the ids the cloud answered, whatever it lists.
	created []string
	// asked says that a create call was made.
	asked bool
	// definite says that the create call was refused before anything was made.
	definite bool
	// lostAnswer is when a create call ended without saying what it made; zero
	// where every machine asked for was named.
	lostAnswer time.Time
	// reached says that every node answered over SSH: what fails from then on is
	// not the place's fault.
	reached bool
	cluster cluster.Cluster
}

// graceAfterCancel is how long a create call that is under way may still run
// after an interrupt, so that its answer, and thereby its machines, are known.
const graceAfterCancel = 20 * time.Second

// bounded runs the attempt to its end before the machines' own end.
func (a *attempt) bounded(ctx context.Context) (cluster.Cluster, error) {
	end := a.deadline.Add(-a.margin())
	if d, ok := ctx.Deadline(); ok && d.Before(end.Add(time.Second)) {
		return a.run(ctx)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, end, fmt.Errorf("the attempt was not complete after %s", end.Sub(a.started).Round(time.Second)))
	defer cancel()
	return a.run(ctx)
}

// run goes through the steps of a launch at one placement.
func (a *attempt) run(ctx context.Context) (cluster.Cluster, error) {
	a.log.InfoContext(ctx, "attempt", "number", a.number, "placement", a.placement.String(), "hourly_usd", a.placement.HourlyUSD())
	session, err := a.clouds.Open(ctx, a.placement.Offer.Cloud)
	if err != nil {
		return cluster.Cluster{}, err
	}
	machines := fmt.Sprintf("%d machines of %s", a.placement.Nodes, a.placement.Offer.InstanceType.Name)
	steps := []struct {
		name  string
		do    func(context.Context, cloud.Session) error
		phase nodes.Phase
	}{
		{"bootstrap", a.bootstrap, nodes.Phase{From: 0, To: 5, Waiting: "network, rules and keys"}},
		{"run", a.create, nodes.Phase{From: 5, To: 15, Waiting: machines + " to be made", Bound: a.cfg.Timeouts.Boot}},
		{"wait", a.wait, nodes.Phase{From: 15, To: 50, Waiting: machines + " to run", Bound: a.cfg.Timeouts.Boot}},
		{"ports", a.openPorts, nodes.Phase{From: 50, To: 55, Waiting: "ports to be opened"}},
		{"ssh", a.connectAndSetUp, nodes.Phase{}}, // two phases of its own
		{"commit", a.commit, nodes.Phase{From: 98, To: 100, Waiting: "the cluster to be recorded"}},
	}
	for _, s := range steps {
		if ctx.Err() != nil {
			return cluster.Cluster{}, context.Cause(ctx)
		}
		a.step = s.name
		begun := a.cfg.Now()
		end := func() {}
		if s.phase.Waiting != "" {
			_, end = nodes.Begin(ctx, a.log, a.cfg.Now, s.phase, 0)
		}
		err := s.do(ctx, session)
		if end(); err != nil {
			return cluster.Cluster{}, err
		}
		a.log.InfoContext(ctx, "step done", "step", s.name, "took", a.cfg.Now().Sub(begun).Round(time.Millisecond))
	}
	return a.cluster, nil
}

func (a *attempt) bootstrap(ctx context.Context, session cloud.Session) error {
	spec, err := a.clusterSpec(ctx)
	if err != nil {
		return err
	}
	a.runConfig, err = session.Bootstrap(ctx, spec, a.placement)
	return a.wrap(session, err)
}

// clusterSpec renders the template for every rank.
func (a *attempt) clusterSpec(ctx context.Context) (cloud.ClusterSpec, error) {
	offer := a.placement.Offer
	tmpl, err := clusterconfig.Load(templates.FS, a.cfg.TemplateDir, offer.Cloud)
	if err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	req := a.requirement()
	image := req.Image
	if a.cfg.Images != nil {
		if image, err = a.cfg.Images(ctx, offer.Cloud, image, offer.Region, offer.InstanceType.Arch); err != nil {
			return cloud.ClusterSpec{}, &localError{cloud.ScopeRegion, err}
		}
	}
	spec := cloud.ClusterSpec{
		Ref: a.ref(a.placement), Attempt: a.number, Image: image, DiskGiB: req.DiskGiB, DiskTier: req.DiskTier,
		Ports: a.spec.Ports, AllowedCIDRs: a.spec.AllowedCIDRs, Labels: a.spec.Labels, MaxMachineUSD: perMachine(req, a.placement.Nodes-a.choice.Reserved),
		AuthorizedKeys: a.keys.Authorized, Deadline: a.deadline,
		OnShutdown: a.onShutdown(offer, a.spec.Autostop),
	}
	for rank := range a.placement.Nodes {
		cfg, err := tmpl.Render(clusterconfig.Vars{
			ClusterName: a.spec.Name, Cloud: offer.Cloud, Region: offer.Region, Zone: offer.Zone,
			InstanceType: offer.InstanceType.Name, Accelerator: offer.InstanceType.Accelerator, Image: image,
			Nodes: a.placement.Nodes, Rank: rank, AuthorizedKeys: a.keys.Authorized, HostKey: a.keys.Hosts[rank],
		})
		if err != nil {
			return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
		}
		a.config = cfg
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{Identity: a.identity(rank), UserData: []byte(cfg.UserData), HostKey: a.keys.Hosts[rank].Public})
	}
	spec.Notes = cluster.NotesOf(a.spec.Runtime, offer.InstanceType.Accelerator.String())
	spec.SSHUser, spec.NodeConfig = a.config.SSHUser, a.config.NodeConfig
	if err := a.checkConfig(); err != nil {
		return cloud.ClusterSpec{}, &localError{cloud.ScopeCloud, err}
	}
	return spec, nil
}

// checkConfig sees that the template has what the cluster is to do, before there
// is a machine.
func (a *attempt) checkConfig() error {
	if a.spec.Runtime == cluster.RuntimeRay && a.config.Ray.Script == "" {
		return nodes.NoRay(a.placement.Offer.Cloud)
	}
	if a.spec.Autostop == nil {
		return nil
	}
	_, err := nodes.EndCommand(a.config, a.placement.Offer.Cloud, *a.spec.Autostop)
	return err
}

// requirement is the alternative of the request that the placement was taken
// for. Others may fit the machine as well, with another bound, disk or image.
func (a *attempt) requirement() cloud.Requirement {
	if all := a.spec.Request.Alternatives; a.choice.Alternative < len(all) {
		return all[a.choice.Alternative]
	}
	return cloud.Requirement{}
}

// perMachine is what each of the machines that are paid for may cost an hour;
// 0 is no bound.
func perMachine(req cloud.Requirement, machines int) float64 {
	if machines <= 0 {
		return 0
	}
	return req.MaxHourlyUSD / float64(machines)
}

func (a *attempt) identity(rank int) cloud.Identity {
	return cloud.Identity{Owner: a.owner, Cluster: a.spec.Name, Generation: a.gen, Attempt: a.number, Rank: rank}
}

// create makes the machines. An interrupt does not cut the call short at once:
// a call that is cut may have made machines that nobody has heard of.
func (a *attempt) create(ctx context.Context, session cloud.Session) error {
	bounded, cancel := context.WithTimeout(ctx, a.cfg.Timeouts.Boot)
	defer cancel()
	graceful, stop := withGrace(bounded)
	defer stop()
	a.asked = true
	record, err := session.Run(graceful, a.runConfig.Spec.Ref, a.runConfig)
	a.created = slices.Concat(record.Created, record.Resumed, record.Adopted)
	if err != nil {
		a.definite = len(a.created) == 0 && refused(session, err)
		if !a.definite {
			a.lostAnswer = a.cfg.Now()
		}
	}
	if len(a.created) > 0 {
		if jerr := a.journal.Append(journal.Entry{Event: journal.EventCreated, Generation: a.gen, Attempt: a.number, Instances: a.created}); jerr != nil {
			return errors.Join(jerr, err)
		}
	}
	return a.wrap(session, err)
}

// refused reports whether err says that nothing was made. The error of several
// machines is one of each, and all of them must say so.
func refused(session cloud.Session, err error) bool {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if many, ok := e.(interface{ Unwrap() []error }); ok {
			return !slices.ContainsFunc(many.Unwrap(), func(one error) bool { return !refused(session, one) })
		}
	}
	kind := session.Classify(err).Kind
	return kind != cloud.KindTransient && kind != cloud.KindUnknown
}

// own is the ref of the attempt's machines, by id since all are known.
func (a *attempt) own() cloud.ClusterRef {
	ref := a.runConfig.Spec.Ref
	ref.Instances = a.created
	return ref
}

// withGrace returns a context that ends graceAfterCancel after parent does.
func withGrace(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.AfterFunc(graceAfterCancel, func() { cancel(context.Cause(parent)) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() { stop(); cancel(context.Canceled) }
}

func (a *attempt) wait(ctx context.Context, session cloud.Session) error {
	bounded, cancel := context.WithTimeoutCause(ctx, a.cfg.Timeouts.Boot,
		fmt.Errorf("the machines were not running after %s", a.cfg.Timeouts.Boot))
	defer cancel()
	if err := session.Wait(bounded, a.own(), cloud.StateRunning); err != nil {
		if cause := context.Cause(bounded); cause != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return a.wrap(session, err)
	}
	info, err := session.Describe(bounded, a.own())
	if err != nil {
		return a.wrap(session, err)
	}
	return a.describe(info, session)
}

// describe fills in the cluster from what the cloud lists; every rank must be
// there once.
func (a *attempt) describe(info cloud.ClusterInfo, session cloud.Session) error {
	nodes := make([]cluster.Node, a.placement.Nodes)
	seen := make([]bool, a.placement.Nodes)
	for _, inst := range info.Instances {
		rank := inst.Identity.Rank
		if rank < 0 || rank >= len(nodes) || seen[rank] {
			return &cloud.ExtraNodesError{Cluster: a.spec.Name, Want: len(nodes), Extra: []string{inst.ID}}
		}
		seen[rank] = true
		nodes[rank] = cluster.NodeOf(inst, a.keys.Hosts[rank].Public)
	}
	for rank, ok := range seen {
		if !ok {
			return fmt.Errorf("rank %d is not among the %d running machines", rank, len(info.Instances))
		}
	}
	a.cluster = a.newCluster(session.Account)
	a.cluster.LaunchedBy = session.Identity
	a.cluster.Nodes = nodes
	if a.cluster.Zone == "" { // the offer named none, the cloud chose
		a.cluster.Zone = commonZone(info.Instances)
	}
	return nil
}

// commonZone is the zone of all instances, empty where they differ.
func commonZone(instances []cloud.Instance) string {
	zone := instances[0].Zone
	for _, inst := range instances {
		if inst.Zone != zone {
			return ""
		}
	}
	return zone
}

// newCluster is the cluster without its nodes.
func (a *attempt) newCluster(account string) cluster.Cluster {
	o := a.placement.Offer
	return cluster.Cluster{
		ID: o.Cloud + "/" + o.Region + "/" + a.spec.Name, Name: a.spec.Name, Owner: a.owner, Generation: a.gen, Account: account,
		Cloud: o.Cloud, Region: o.Region, Zone: o.Zone, InstanceType: o.InstanceType.Name,
		Accelerators: o.InstanceType.Accelerator.String(), Market: o.Market, HourlyUSD: a.placement.HourlyUSD(),
		Status: cluster.StatusInit, SSHUser: a.config.SSHUser, KeyPath: a.keys.Path,
		ProcessManager: string(a.config.ProcessManager), Runtime: a.spec.Runtime, Size: a.placement.Nodes,
		LaunchedAt: a.started.UTC().Format(time.RFC3339), AllowedCIDRs: cluster.PrefixTexts(a.runConfig.Spec.AllowedCIDRs),
		Autostop: a.spec.Autostop,
	}
}

func (a *attempt) openPorts(ctx context.Context, session cloud.Session) error {
	if len(a.spec.Ports) == 0 || !a.caps[a.placement.Offer.Cloud].PortsLater {
		return nil
	}
	return a.wrap(session, session.OpenPorts(ctx, a.runConfig.Spec.Ref, a.runConfig, a.spec.Ports))
}

// commit disarms the dead-man timers and records the cluster, in the order
// that leaves a record for every machine whose timer is gone.
func (a *attempt) commit(ctx context.Context, session cloud.Session) error {
	if a.cluster.Status == cluster.StatusInit && a.cluster.StatusReason == "" {
		a.cluster.Status = cluster.StatusUp
	}
	if err := a.folder.WriteSSHFiles(a.cluster); err != nil {
		return fmt.Errorf("write the files for SSH on this computer: %w", err)
	}
	late, err := a.sweep(ctx, a)
	if errors.As(err, new(*rivalError)) {
		return err
	}
	if err != nil {
		// The journal names their place, so that the removal of the cluster, the
		// next launch and gc look there again.
		a.log.WarnContext(ctx, "machines of failed attempts that came late are not removed", "instances", clouds.AllIDs(late), "error", err)
	}
	if err := a.journal.Append(journal.Entry{Event: journal.EventCommitting, Generation: a.gen, Attempt: a.number, Cluster: &a.cluster}); err != nil {
		return err
	}
	graceful, stop := withGrace(ctx)
	defer stop()
	if err := session.Commit(graceful, a.own()); err != nil {
		return a.wrap(session, err)
	}
	a.remember(a.gen)
	// Without this entry the launch is not a success, even on a full disk: the
	// next one could not tell a cluster in state from one that was cut off.
	return a.journal.Append(journal.Entry{Event: journal.EventCommitted, Generation: a.gen, Attempt: a.number, Cluster: &a.cluster})
}

// wrap gives a driver's error its meaning, once.
func (a *attempt) wrap(session cloud.Session, err error) error {
	if err == nil {
		return nil
	}
	return &cloud.Error{Fault: session.Classify(err), Op: a.step, Placement: a.placement, Err: err}
}
