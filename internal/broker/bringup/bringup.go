// SPDX-License-Identifier: MPL-2.0

package broker

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
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
)

// bringUp makes the machines of some ranks of a cluster, sets them up and commits
// them. What is about to happen is in the journal before it happens. A launch
// brings up all ranks of a cluster that has no machine yet, a growth those that a
// cluster lacks.
type bringUp struct {
	session  cloud.Session
	reach    nodes.Reach
	timeouts Timeouts
	now      func() time.Time
	log      *slog.Logger
	// record writes an entry into the cluster's journal.
	record func(journal.Entry) error
	images func(ctx context.Context, cloudName, image, region, arch string) (string, error)
	spec   Spec
	// before is the cluster as it is; that of a launch has no nodes. base is the spec
	// of the machines that it has.
	before cluster.Cluster
	base   cloud.ClusterSpec
	// ranks are those to be made, so that the cluster has size of them.
	ranks []int
	size  int
	// number is that of the attempt: no machine of the generation has carried it.
	number    int
	placement cloud.Placement
	// requirement is the alternative of the request that the placement is taken for,
	// paid how many of the machines are paid for.
	requirement cloud.Requirement
	paid        int
	keys        statedir.Keyring
	onShutdown  cloud.Shutdown
	// portsLater says that the cloud opens ports once machines are there.
	portsLater bool
	started    time.Time
	// deadline is the dead-man timer of the machines.
	deadline time.Time
	// ready is called when all is set up, before the commit; it may refuse that.
	ready func(ctx context.Context) error

	bringUpResult
}

// bringUpResult is what has come of it so far.
type bringUpResult struct {
	step      string
	config    clusterconfig.Config
	runConfig cloud.RunConfig
	// all are the ids of the cluster's machines, created those of the new ones, as
	// the cloud answered, whatever it lists.
	all, created []string
	// asked says that a create call was made.
	asked bool
	// definite says that the create call was refused before anything was made.
	definite bool
	// lostAnswer is when a create call ended without saying what it made; zero
	// where every machine asked for was named.
	lostAnswer time.Time
	// reached says that every new node answered over SSH: what fails from then on is
	// not the place's fault.
	reached bool
	// committing says that the commit was about to begin.
	committing bool
	cluster    cluster.Cluster
	// added are the new nodes.
	added []cluster.Node
}

// graceAfterCancel is how long a create call that is under way may still run
// after an interrupt, so that its answer, and thereby its machines, are known.
const graceAfterCancel = 20 * time.Second

// grows reports whether the cluster has machines already.
func (u *bringUp) grows() bool { return len(u.before.Nodes) > 0 }

// ref finds the machines of the generation at the placement.
func (u *bringUp) ref() cloud.ClusterRef {
	ref := u.before.Ref()
	ref.Zone = u.placement.Offer.Zone
	return ref
}

// intend writes what is about to be made into the journal.
func (u *bringUp) intend() error {
	ref := u.ref()
	return u.record(journal.Entry{
		Event: journal.EventAttempt, Generation: u.before.Generation, Attempt: u.number, Ref: &ref, Account: u.session.Account,
		Nodes: len(u.ranks), Deadline: &u.deadline,
	})
}

// bounded is run that comes to its end before the machines' own end.
func (u *bringUp) bounded(ctx context.Context) (cluster.Cluster, error) {
	end := u.deadline.Add(-u.timeouts.margin())
	if d, ok := ctx.Deadline(); ok && d.Before(end.Add(time.Second)) {
		return u.run(ctx)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, end, fmt.Errorf("the attempt was not complete after %s", end.Sub(u.started).Round(time.Second)))
	defer cancel()
	return u.run(ctx)
}

// run goes through the steps, of which each begins when the one before is done.
func (u *bringUp) run(ctx context.Context) (cluster.Cluster, error) {
	u.log.InfoContext(ctx, "attempt", "number", u.number, "placement", u.placement.String(), "hourly_usd", u.placement.HourlyUSD())
	machines := fmt.Sprintf("%d machines of %s", len(u.ranks), u.placement.Offer.InstanceType.Name)
	boot := u.timeouts.Boot
	steps := []struct {
		name  string
		do    func(context.Context) error
		phase nodes.Phase
	}{
		{"bootstrap", u.bootstrap, nodes.Phase{From: 0, To: 5, Waiting: "network, rules and keys"}},
		{"run", u.create, nodes.Phase{From: 5, To: 15, Waiting: machines + " to be made", Bound: boot}},
		{"wait", u.wait, nodes.Phase{From: 15, To: 50, Waiting: machines + " to run", Bound: boot}},
		{"ports", u.openPorts, nodes.Phase{From: 50, To: 55, Waiting: "ports to be opened"}},
		{"ssh", u.connectAndSetUp, nodes.Phase{}}, // two phases of its own
		{"commit", u.commit, nodes.Phase{From: 98, To: 100, Waiting: "the cluster to be recorded"}},
	}
	for _, s := range steps {
		if ctx.Err() != nil {
			return cluster.Cluster{}, context.Cause(ctx)
		}
		u.step = s.name
		begun := u.now()
		end := func() {}
		if s.phase.Waiting != "" {
			_, end = nodes.Begin(ctx, u.log, u.now, s.phase, 0)
		}
		err := s.do(ctx)
		if end(); err != nil {
			return cluster.Cluster{}, err
		}
		u.log.InfoContext(ctx, "step done", "step", s.name, "took", u.now().Sub(begun).Round(time.Millisecond))
	}
	return u.cluster, nil
}

func (u *bringUp) bootstrap(ctx context.Context) error {
	spec, err := u.clusterSpec(ctx)
	if err != nil {
		return err
	}
	u.runConfig, err = u.session.Bootstrap(ctx, spec, u.placement)
	return u.wrap(err)
}

// create makes the machines. An interrupt does not cut the call short at once:
// a call that is cut may have made machines that nobody has heard of.
func (u *bringUp) create(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, u.timeouts.Boot)
	defer cancel()
	graceful, stop := withGrace(bounded)
	defer stop()
	u.asked = true
	made, err := u.session.Run(graceful, u.runConfig.Spec.Ref, u.runConfig)
	u.all = slices.Concat(made.Created, made.Resumed, made.Adopted)
	u.created = journal.Without(u.all, u.before.InstanceIDs())
	if err != nil {
		u.definite = len(u.created) == 0 && refused(u.session, err)
		if !u.definite {
			u.lostAnswer = u.now()
		}
	}
	if len(u.created) > 0 || u.grows() {
		if jerr := u.noteCreated(); jerr != nil {
			return errors.Join(jerr, err)
		}
	}
	return u.wrap(err)
}

// noteCreated notes that the create call has ended, and which machines it made.
func (u *bringUp) noteCreated() error {
	return u.record(journal.Entry{Event: journal.EventCreated, Generation: u.before.Generation, Attempt: u.number, Instances: u.created})
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
func (u *bringUp) machines() cloud.ClusterRef {
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

func (u *bringUp) wait(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, u.timeouts.Boot,
		fmt.Errorf("the machines were not running after %s", u.timeouts.Boot))
	defer cancel()
	if err := u.session.Wait(bounded, u.machines(), cloud.StateRunning); err != nil {
		if cause := context.Cause(bounded); cause != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return u.wrap(err)
	}
	info, err := u.session.Describe(bounded, u.machines())
	if err != nil {
		return u.wrap(err)
	}
	return u.describe(info)
}

// describe fills in the cluster from what the cloud lists; every rank must be
// there once.
func (u *bringUp) describe(info cloud.ClusterInfo) error {
	all := make([]cluster.Node, u.size)
	seen := make([]bool, u.size)
	u.added = nil
	for _, inst := range info.Instances {
		rank := inst.Identity.Rank
		if rank < 0 || rank >= u.size || seen[rank] {
			return &cloud.ExtraNodesError{Cluster: u.before.Name, Want: u.size, Extra: []string{inst.ID}}
		}
		seen[rank] = true
		if slices.Contains(u.before.InstanceIDs(), inst.ID) {
			all[rank] = cluster.NodeOf(inst, u.before.HostKeyOf(inst))
			continue
		}
		all[rank] = cluster.NodeOf(inst, u.keys.Hosts[rank].Public)
		u.added = append(u.added, all[rank])
	}
	if rank := slices.Index(seen, false); rank >= 0 {
		return fmt.Errorf("rank %d is not among the %d running machines", rank, len(info.Instances))
	}
	slices.SortFunc(u.added, func(x, y cluster.Node) int { return x.Rank - y.Rank })
	c := u.known(u.before)
	c.HourlyUSD = u.before.PerNode() * float64(u.size)
	c.Size, c.Nodes = u.size, all
	if c.Zone == "" && !u.grows() { // the offer named none, the cloud chose
		c.Zone = commonZone(info.Instances)
	}
	u.cluster = c
	return nil
}

// known is the cluster with what is known of how to use it, once its template was
// rendered.
func (u *bringUp) known(c cluster.Cluster) cluster.Cluster {
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

func (u *bringUp) openPorts(ctx context.Context) error {
	if len(u.spec.Ports) == 0 || !u.portsLater || u.grows() {
		return nil
	}
	return u.wrap(u.session.OpenPorts(ctx, u.runConfig.Spec.Ref, u.runConfig, u.spec.Ports))
}

// commit disarms the dead-man timers and records the cluster, in the order
// that leaves a record for every machine whose timer is gone.
func (u *bringUp) commit(ctx context.Context) error {
	if strings.HasPrefix(u.cluster.StatusReason, cluster.SetupFailed) {
		u.cluster.Status = cluster.StatusInit
	} else { // every machine was waited for
		u.cluster.Status, u.cluster.StatusReason = cluster.StatusUp, ""
	}
	if u.ready != nil {
		if err := u.ready(ctx); err != nil {
			return err
		}
	}
	u.committing = true
	if err := u.record(journal.Entry{Event: journal.EventCommitting, Generation: u.before.Generation, Attempt: u.number, Cluster: &u.cluster}); err != nil {
		return err
	}
	graceful, stop := withGrace(ctx)
	defer stop()
	if err := u.session.Commit(graceful, u.machines()); err != nil {
		return u.wrap(err)
	}
	// Without this entry it is not a success, even on a full disk: the next one
	// could not tell a cluster in state from one that was cut off.
	return u.record(journal.Entry{Event: journal.EventCommitted, Generation: u.before.Generation, Attempt: u.number, Cluster: &u.cluster})
}

// wrap gives a driver's error its meaning, once.
func (u *bringUp) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &cloud.Error{Fault: u.session.Classify(err), Op: u.step, Placement: u.placement, Err: err}
}
