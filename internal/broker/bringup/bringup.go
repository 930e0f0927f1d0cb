// SPDX-License-Identifier: MPL-2.0

// Package bringup makes the machines of some ranks of a cluster, sets them up and
// commits them, for launches and for growths.
package bringup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
)

// BringUp makes the machines of some ranks of a cluster, sets them up and commits
// them. What is about to happen is in the journal before it happens. A launch
// brings up all ranks of a cluster that has no machine yet, a growth those that a
// cluster lacks.
type BringUp struct {
	Session cloud.Session
	// Before is the cluster as it is; that of a launch has no nodes.
	Before cluster.Cluster
	Plan
	Outcome

	reach    nodes.Reach
	timeouts Timeouts
	now      func() time.Time
	images   func(ctx context.Context, cloudName, image, region, arch string) (string, error)
	spec     spec.Spec
	// deadline is the dead-man timer of the machines.
	deadline time.Time

	config    clusterconfig.Config
	runConfig cloud.RunConfig
	// queue is who else launches; launchEvery is the pace of that, as the cloud has it.
	queue       *Queue
	launchEvery time.Duration
	// birthShown says that machines make a host key of their own at first contact.
	birthShown bool
	// all are the ids of the cluster's machines, as the cloud answered, whatever it
	// lists.
	all []string
	// lostAnswer is when a create call ended without saying what it made; zero
	// where every machine asked for was named.
	lostAnswer time.Time
}

// Plan is what a bring-up is to do.
type Plan struct {
	Log *slog.Logger
	// Record writes an entry into the cluster's journal.
	Record func(journal.Entry) error
	// Base is the spec of the machines that the cluster has.
	Base cloud.ClusterSpec
	// Ranks are those to be made, so that the cluster has Size of them.
	Ranks []int
	Size  int
	// Number is that of the attempt: no machine of the generation has carried it.
	Number    int
	Placement cloud.Placement
	// Requirement is the alternative of the request that the placement is taken for,
	// Paid how many of the machines are paid for.
	Requirement cloud.Requirement
	Paid        int
	Keys        statedir.Keyring
	OnShutdown  cloud.Shutdown
	// PortsLater says that the cloud opens ports once machines are there.
	PortsLater bool
	Started    time.Time
	// Ready is called when all is set up, before the commit; it may refuse that.
	Ready func(ctx context.Context) error
}

// Outcome is what has come of a bring-up so far.
type Outcome struct {
	// Step is the one that is being done, or was when it failed.
	Step string
	// Created are the ids of the new machines, as the cloud answered.
	Created []string
	// Asked says that a create call was made.
	Asked bool
	// Definite says that the create call was refused before anything was made.
	Definite bool
	// Reached says that every new node answered over SSH: what fails from then on is
	// not the place's fault.
	Reached bool
	// Committing says that the commit was about to begin.
	Committing bool
	Cluster    cluster.Cluster
	// Added are the new nodes.
	Added []cluster.Node
}

// graceAfterCancel is how long a create call that is under way may still run
// after an interrupt, so that its answer, which names the machines, is known.
const graceAfterCancel = 20 * time.Second

// grows reports whether the cluster has machines already.
func (u *BringUp) grows() bool { return len(u.Before.Nodes) > 0 }

// Ref finds the machines of the generation at the placement.
func (u *BringUp) Ref() cloud.ClusterRef {
	ref := u.Before.Ref()
	ref.Zone = u.Placement.Offer.Zone
	return ref
}

// Intend writes what is about to be made into the journal.
func (u *BringUp) Intend() error {
	ref := u.Ref()
	return u.Record(journal.Entry{
		Event: journal.EventAttempt, Generation: u.Before.Generation, Attempt: u.Number, Ref: &ref, Account: u.Session.Account,
		Nodes: len(u.Ranks), Deadline: &u.deadline,
	})
}

// Run goes through the steps, and comes to its end before the machines' own end.
func (u *BringUp) Run(ctx context.Context) (cluster.Cluster, error) {
	end := u.deadline.Add(-u.timeouts.margin())
	if d, ok := ctx.Deadline(); ok && d.Before(end.Add(time.Second)) {
		return u.runSteps(ctx)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, end, fmt.Errorf("the attempt was not complete after %s", end.Sub(u.Started).Round(time.Second)))
	defer cancel()
	return u.runSteps(ctx)
}

// runSteps goes through the steps. Each begins when the one before it is done.
func (u *BringUp) runSteps(ctx context.Context) (cluster.Cluster, error) {
	u.Log.InfoContext(ctx, "attempt", "number", u.Number, "placement", u.Placement.String(), "hourly_usd", u.Placement.HourlyUSD())
	machines := fmt.Sprintf("%d machines of %s", len(u.Ranks), u.Placement.Offer.InstanceType.Name)
	boot := u.timeouts.Boot
	steps := []struct {
		name  string
		do    func(context.Context) error
		phase nodes.Phase
	}{
		{"bootstrap", u.bootstrap, nodes.Phase{From: 0, To: 5, Waiting: "network, rules and keys"}},
		{"run", u.create, nodes.Phase{From: 5, To: 15, Waiting: machines + " to be made", Bound: boot + u.launchTime()}},
		{"wait", u.wait, nodes.Phase{From: 15, To: 50, Waiting: machines + " to run", Bound: boot}},
		{"ports", u.openPorts, nodes.Phase{From: 50, To: 55, Waiting: "ports to be opened"}},
		{"ssh", u.connectAndSetUp, nodes.Phase{}}, // two phases of its own
		{"commit", u.commit, nodes.Phase{From: 98, To: 100, Waiting: "the cluster to be recorded"}},
	}
	for _, s := range steps {
		if ctx.Err() != nil {
			return cluster.Cluster{}, context.Cause(ctx)
		}
		u.Step = s.name
		begun := u.now()
		end := func() {}
		if s.phase.Waiting != "" {
			_, end = nodes.Begin(ctx, u.Log, u.now, s.phase, 0)
		}
		err := s.do(ctx)
		if end(); err != nil {
			return cluster.Cluster{}, err
		}
		u.Log.InfoContext(ctx, "step done", "step", s.name, "took", u.now().Sub(begun).Round(time.Millisecond))
	}
	return u.Cluster, nil
}

func (u *BringUp) bootstrap(ctx context.Context) error {
	spec, err := u.clusterSpec(ctx)
	if err != nil {
		return err
	}
	u.runConfig, err = u.Session.Bootstrap(ctx, spec, u.Placement)
	return u.wrap(err)
}

// create makes the machines. An interrupt does not end the call immediately: a call
// that is ended early may have made machines whose ids nobody knows.
func (u *BringUp) create(ctx context.Context) error {
	bounded, cancel := u.queue.bound(ctx, u.Before.Cloud, u.launchTime(), u.timeouts.Boot)
	defer cancel()
	graceful, stop := withGrace(bounded)
	defer stop()
	u.Asked = true
	made, err := u.Session.Run(graceful, u.runConfig.Spec.Ref, u.runConfig)
	u.all = slices.Concat(made.Created, made.Resumed, made.Adopted)
	u.Created = journal.Without(u.all, u.Before.InstanceIDs())
	if err != nil {
		u.Definite = len(u.Created) == 0 && refused(u.Session, err)
		if !u.Definite {
			u.lostAnswer = u.now()
		}
	}
	if len(u.Created) > 0 || u.grows() {
		if jerr := u.NoteCreated(); jerr != nil {
			return errors.Join(jerr, err)
		}
	}
	return u.wrap(err)
}

// launchTime is how long the cloud's pace makes the launches of this bring-up.
func (u *BringUp) launchTime() time.Duration {
	return time.Duration(len(u.Ranks)) * u.launchEvery
}

// NoteCreated notes that the create call has ended, and which machines it made.
func (u *BringUp) NoteCreated() error {
	return u.Record(journal.Entry{Event: journal.EventCreated, Generation: u.Before.Generation, Attempt: u.Number, Instances: u.Created})
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

// machines is the ref of the cluster's machines, by id since all are known and a
// list may not show the new ones yet.
func (u *BringUp) machines() cloud.ClusterRef {
	ref := u.runConfig.Spec.Ref
	ref.Instances = u.all
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

func (u *BringUp) wait(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, u.timeouts.Boot,
		fmt.Errorf("the machines were not running after %s", u.timeouts.Boot))
	defer cancel()
	if err := u.Session.Wait(bounded, u.machines(), cloud.StateRunning); err != nil {
		if cause := context.Cause(bounded); cause != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return u.wrap(err)
	}
	info, err := u.Session.Describe(bounded, u.machines())
	if err != nil {
		return u.wrap(err)
	}
	return u.describe(info)
}

// describe fills in the cluster from what the cloud lists; every rank must be
// there once.
func (u *BringUp) describe(info cloud.ClusterInfo) error {
	all := make([]cluster.Node, u.Size)
	seen := make([]bool, u.Size)
	u.Added = nil
	for _, inst := range info.Instances {
		rank := inst.Identity.Rank
		if rank < 0 || rank >= u.Size || seen[rank] {
			return &cloud.ExtraNodesError{Cluster: u.Before.Name, Want: u.Size, Extra: []string{inst.ID}}
		}
		seen[rank] = true
		if slices.Contains(u.Before.InstanceIDs(), inst.ID) {
			all[rank] = cluster.NodeOf(inst, u.Before.HostKeyOf(inst))
			continue
		}
		all[rank] = cluster.NodeOf(inst, u.Keys.Hosts[rank].Public)
		u.Added = append(u.Added, all[rank])
	}
	if rank := slices.Index(seen, false); rank >= 0 {
		return fmt.Errorf("rank %d is not among the %d running machines", rank, len(info.Instances))
	}
	slices.SortFunc(u.Added, func(x, y cluster.Node) int { return x.Rank - y.Rank })
	c := u.Known(u.Before)
	c.HourlyUSD = u.Before.PerNode() * float64(u.Size)
	c.Size, c.Nodes = u.Size, all
	if c.Zone == "" && !u.grows() { // the offer named none, the cloud chose
		c.Zone = commonZone(info.Instances)
	}
	u.Cluster = c
	return nil
}

// Known is the cluster with what is known of how to use it, once its template was
// rendered.
func (u *BringUp) Known(c cluster.Cluster) cluster.Cluster {
	if !u.grows() {
		c.SSHUser, c.ProcessManager = u.config.SSHUser, string(u.config.ProcessManager)
		c.AllowedCIDRs = cluster.PrefixTexts(u.runConfig.Spec.AllowedCIDRs)
	}
	return c
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

func (u *BringUp) openPorts(ctx context.Context) error {
	if len(u.spec.Ports) == 0 || !u.PortsLater || u.grows() {
		return nil
	}
	return u.wrap(u.Session.OpenPorts(ctx, u.runConfig.Spec.Ref, u.runConfig, u.spec.Ports))
}

// commit disarms the dead-man timers and records the cluster, in the order
// that leaves a record for every machine whose timer is gone.
func (u *BringUp) commit(ctx context.Context) error {
	if strings.HasPrefix(u.Cluster.StatusReason, cluster.SetupFailed) {
		u.Cluster.Status = cluster.StatusInit
	} else { // every machine was waited for
		u.Cluster.Status, u.Cluster.StatusReason = cluster.StatusUp, ""
	}
	if u.Ready != nil {
		if err := u.Ready(ctx); err != nil {
			return err
		}
	}
	u.Committing = true
	if err := u.Record(journal.Entry{Event: journal.EventCommitting, Generation: u.Before.Generation, Attempt: u.Number, Cluster: &u.Cluster}); err != nil {
		return err
	}
	graceful, stop := withGrace(ctx)
	defer stop()
	if err := u.Session.Commit(graceful, u.machines()); err != nil {
		return u.wrap(err)
	}
	// Without this entry it is not a success, even on a full disk: the next one
	// could not tell a cluster in state from one that was cut off.
	return u.Record(journal.Entry{Event: journal.EventCommitted, Generation: u.Before.Generation, Attempt: u.Number, Cluster: &u.Cluster})
}

// wrap gives a driver's error its meaning, once.
func (u *BringUp) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &cloud.Error{Fault: u.Session.Classify(err), Op: u.Step, Placement: u.Placement, Err: err}
}

// ListedBy is when a machine that the cloud has not named would be listed at last;
// zero where every one was named.
func (u *BringUp) ListedBy() time.Time {
	if u.lostAnswer.IsZero() {
		return time.Time{}
	}
	return u.lostAnswer.Add(u.timeouts.ListDelay)
}
