// SPDX-License-Identifier: MPL-2.0

// Package launch makes new clusters: it decides about what earlier launches left,
// tries placement after placement, removes what failed, and says why nothing worked.
package launch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/held"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// Launcher launches clusters.
type Launcher struct {
	Down   teardown.Teardown
	Make   bringup.Maker
	Memory *held.Memory
	// Blocks are shared by all launches of the process.
	Blocks *Blocklist
}

// launch is one call of Launch.
type launch struct {
	down    teardown.Teardown
	make    bringup.Maker
	memory  *held.Memory
	blocks  *Blocklist
	folder  statedir.Folder
	spec    spec.Spec
	journal *journal.Journal
	log     *slog.Logger
	digest  string // of spec
	gen     string
	keys    statedir.Keyring
	caps    map[string]cloud.Capabilities
	blocked []optimizer.Block
	// leftOut are the clouds that could not be opened, with their reasons.
	leftOut  []string
	attempts []Attempt
	// asked says that an attempt made a create call.
	asked bool
	// made is how many machines the attempts made, or may have made.
	made int
	// strikes count the attempts that failed for a reason that says little about
	// their place; see unexplained.
	strikes map[string]int
	// replaced are the living clusters that this launch takes for the one that it
	// replaces; held counts those that its state is known to hold.
	replaced []cluster.Replaced
	held     int
	// loss is why this launch is one; nil where it is not to replace what was lost.
	loss *Loss
}

// Launch brings the cluster up on the best placement that works. Placements
// are tried in the optimizer's order; a failed one is removed, observed gone
// and avoided before the next. A removal that fails ends the launch.
//
// What an earlier, killed launch of the same name left is cleaned up first. A
// complete cluster of that name is returned as the result if it was launched
// from the same Home for an equal spec and Terraform was never seen to hold
// it, as after a crash between launch and state; otherwise it is an error.
//
// With an error, a Cluster that has a Generation must be kept in state: some
// of its machines are alive.
func (la Launcher) Launch(ctx context.Context, spec spec.Spec) (cluster.Cluster, error) {
	release, err := la.Down.Folder(spec.Name).Lock(ctx, "launching")
	if err != nil {
		return cluster.Cluster{}, err
	}
	defer release()
	l, closeLaunch, err := la.newLaunch(spec)
	if err != nil {
		return cluster.Cluster{}, err
	}
	defer closeLaunch()
	if err := l.journal.Compact(); err != nil {
		l.log.WarnContext(ctx, "the cluster's journal is not compacted", "error", err)
	}
	l.openClouds(ctx)
	if ctx.Err() != nil {
		return cluster.Cluster{}, l.fail(fmt.Errorf("interrupted before anything was launched: %w", context.Cause(ctx)))
	}
	adopted, err := l.reconcile(ctx)
	if err != nil || adopted != nil {
		return deref(adopted), err
	}
	if l.loss = LossOf(l.down.State.Path, l.down.Owner, spec.Name, spec.Recovery, l.down.Now()); l.loss != nil {
		l.log.InfoContext(ctx, "the cluster was lost and is launched again", "lost_in", l.loss.Cloud+"/"+l.loss.Region, "recovery", l.loss.How)
	}
	c, err := l.failover(ctx)
	switch {
	case err == nil:
		l.down.ClearUnused(context.WithoutCancel(ctx), l.journal, spec.Name, l.openCandidates(ctx)...)
	case c.Generation == "":
		l.dropKeys(ctx)
	}
	c.Replaced = l.replaced
	return c, err
}

// dropKeys deletes the keys of a launch that left nothing behind.
func (l *launch) dropKeys(ctx context.Context) {
	if err := l.folder.RemoveKeys(l.gen); err != nil {
		l.log.WarnContext(ctx, "the keys of a failed launch could not be deleted", "generation", l.gen, "error", err)
	}
}

func deref(c *cluster.Cluster) cluster.Cluster {
	if c == nil {
		return cluster.Cluster{}
	}
	return *c
}

func (la Launcher) newLaunch(spec spec.Spec) (*launch, func(), error) {
	digest, err := spec.Digest()
	if err != nil {
		return nil, nil, err
	}
	f := la.Down.Folder(spec.Name)
	j, err := f.Journal()
	if err != nil {
		return nil, nil, fmt.Errorf("the cluster's journal cannot be used, so nothing was launched: %w", err)
	}
	log, closeLog, err := f.OpenLog()
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	l := &launch{
		down: la.Down, make: la.Make, memory: la.Memory, blocks: la.Blocks,
		folder: f, spec: spec, digest: digest, journal: j, log: log, caps: map[string]cloud.Capabilities{},
	}
	return l, func() {
		closeLog()
		_ = j.Close()
	}, nil
}

// openClouds opens the clouds of the offers. One that is not enabled, or whose
// bastion does not work, is blocked with its reason, and the launch goes on with
// the others.
func (l *launch) openClouds(ctx context.Context) {
	for _, name := range l.candidateClouds() {
		if caps, ok := l.down.Clouds.Capabilities(name); ok {
			l.caps[name] = caps
		}
		_, err := l.down.Clouds.Open(ctx, name)
		if err == nil {
			err = l.make.Reach.TryBastion(ctx, name)
		}
		if err != nil {
			l.log.WarnContext(ctx, "cloud left out", "cloud", name, "reason", err)
			l.blocked = append(l.blocked, optimizer.Block{Cloud: name, Reason: err.Error()})
			l.leftOut = append(l.leftOut, err.Error())
		}
	}
}

func (l *launch) candidateClouds() []string {
	var names []string
	for _, o := range l.spec.Offers {
		if !slices.Contains(names, o.Cloud) {
			names = append(names, o.Cloud)
		}
	}
	return names
}

// failover tries placement after placement.
func (l *launch) failover(ctx context.Context) (cluster.Cluster, error) {
	if err := l.beginGeneration(); err != nil {
		return cluster.Cluster{}, err
	}
	for n := 1; ; n++ {
		choice, err := l.next()
		if err != nil {
			return cluster.Cluster{}, l.fail(err)
		}
		if err := ctx.Err(); err != nil {
			return cluster.Cluster{}, l.fail(fmt.Errorf("interrupted before the next attempt: %w", context.Cause(ctx)))
		}
		if err := l.affords(choice.Placement.Nodes); err != nil {
			return cluster.Cluster{}, l.fail(err)
		}
		u, err := l.attempt(ctx, n, choice)
		if err == nil {
			err = u.Intend()
		}
		if err != nil {
			return cluster.Cluster{}, l.fail(err)
		}
		c, err := u.Run(ctx)
		if err == nil {
			return c, nil
		}
		if done, c, err := l.afterFailure(ctx, u, err); done {
			return c, err
		}
	}
}

// beginGeneration names the generation and makes its keys, on the disk before
// any machine exists. The journal comes first: a crash leaves no keys that
// nobody knows of.
func (l *launch) beginGeneration() error {
	l.gen = durable.RandomHex(6)
	err := l.journal.Append(journal.Entry{
		Event: journal.EventLaunch, Generation: l.gen, Owner: l.down.Owner, Home: l.down.State.Home, Digest: l.digest,
		Ref: &cloud.ClusterRef{Owner: l.down.Owner, Cluster: l.spec.Name}, Nodes: l.spec.Request.Nodes,
	})
	if err != nil {
		return err
	}
	if l.keys, err = l.folder.MakeKeys(l.gen, l.spec.KeyPath, l.spec.Request.Nodes); err != nil {
		return fmt.Errorf("ssh keys: %w", err)
	}
	return nil
}

// next ranks what is not blocked and returns the best.
func (l *launch) next() (optimizer.Choice, error) {
	blocked := append(slices.Clone(l.blocked), l.blocks.current()...)
	plan, err := l.loss.Rank(l.spec.Request, optimizer.Each(l.spec.Offers), l.caps, blocked)
	if err != nil {
		return optimizer.Choice{}, err
	}
	return plan.Choices[0], nil
}

// attempt is the bringing up of the whole cluster at one placement.
func (l *launch) attempt(ctx context.Context, number int, choice optimizer.Choice) (*bringup.BringUp, error) {
	p := choice.Placement
	session, err := l.down.Clouds.Open(ctx, p.Offer.Cloud)
	if err != nil {
		return nil, err
	}
	started := l.down.Now()
	draft := l.draft(p, started)
	draft.Account, draft.LaunchedBy = session.Account, session.Identity
	u := l.make.New(ctx, session, draft, l.spec)
	u.Log, u.Record, u.Started = l.log, l.journal.Append, started
	u.Base.Ref = draft.Ref()
	u.Base.Ref.Zone = p.Offer.Zone
	u.Number, u.Placement, u.Ranks, u.Size = number, p, bringup.RanksFrom(0, p.Nodes), p.Nodes
	u.Requirement, u.Paid = requirementOf(l.spec.Request, choice), p.Nodes-choice.Reserved
	u.OnShutdown = l.down.Clouds.OnShutdown(p.Offer, l.spec.Autostop)
	u.Keys, u.PortsLater = l.keys, l.caps[p.Offer.Cloud].PortsLater
	u.Ready = func(ctx context.Context) error { return l.beforeCommit(ctx, u) }
	return u, nil
}

// requirementOf is the alternative of the request that a placement was taken
// for. Others may fit the machine as well, with another bound, disk or image.
func requirementOf(req optimizer.Request, choice optimizer.Choice) cloud.Requirement {
	if choice.Alternative < len(req.Alternatives) {
		return req.Alternatives[choice.Alternative]
	}
	return cloud.Requirement{}
}

// draft is the cluster at a placement, before it has machines.
func (l *launch) draft(p cloud.Placement, started time.Time) cluster.Cluster {
	o := p.Offer
	return cluster.Cluster{
		ID: o.Cloud + "/" + o.Region + "/" + l.spec.Name, Name: l.spec.Name, Owner: l.down.Owner, Generation: l.gen,
		Cloud: o.Cloud, Region: o.Region, Zone: o.Zone, InstanceType: o.InstanceType.Name,
		Accelerators: o.InstanceType.Accelerator.String(), Market: o.Market, HourlyUSD: p.HourlyUSD(),
		Status: cluster.StatusInit, KeyPath: l.keys.Path, Runtime: l.spec.Runtime, Size: p.Nodes,
		LaunchedAt: started.UTC().Format(time.RFC3339), Autostop: l.spec.Autostop,
	}
}

// beforeCommit removes machines of earlier attempts that came late. It is an error
// where another launch of the name goes first.
func (l *launch) beforeCommit(ctx context.Context, u *bringup.BringUp) error {
	if err := l.folder.WriteSSHFiles(u.Cluster); err != nil {
		return fmt.Errorf("write the files for SSH on this computer: %w", err)
	}
	late, err := l.sweep(ctx, u)
	if errors.As(err, new(*concurrentLaunchError)) {
		return err
	}
	if err != nil {
		// The journal names their place, so that the removal of the cluster, the
		// next launch and gc look there again.
		l.log.WarnContext(ctx, "machines of failed attempts that came late are not removed", "instances", clouds.AllIDs(late), "error", err)
	}
	l.memory.NoteLaunched(l.gen, l.spec.Name)
	return nil
}

// afterFailure deals with a failed attempt. It reports whether the launch is over.
func (l *launch) afterFailure(ctx context.Context, u *bringup.BringUp, failure error) (bool, cluster.Cluster, error) {
	var setup *nodes.SetupError
	if errors.As(failure, &setup) && setup.Kept {
		return true, u.Cluster, failure
	}
	fault := u.Fault(failure)
	row := Attempt{Placement: u.Placement, Fault: fault, Step: u.Step, Err: failure}
	l.log.ErrorContext(ctx, "attempt failed", "placement", u.Placement.String(), "step", u.Step, "fault", fault.String(), "error", failure)
	survivors, cleanupErr := l.remove(ctx, u)
	l.asked = l.asked || u.Asked
	l.made += u.Made()
	var late []clouds.Machines
	if cleanupErr == nil && l.asked {
		late, cleanupErr = l.sweep(ctx, nil)
		survivors = clouds.AllIDs(late)
	}
	row.Removed = cleanupErr == nil
	row.Took = l.down.Now().Sub(u.Started)
	l.attempts = append(l.attempts, row)
	if cleanupErr != nil {
		err := l.fail(fmt.Errorf("the removal of a failed attempt failed, so no other placement was tried: %w", cleanupErr))
		err.Survivors = survivors
		return true, l.wreck(ctx, u, survivors, late), err
	}
	switch {
	case ctx.Err() != nil:
		return true, cluster.Cluster{}, l.fail(fmt.Errorf("interrupted: %w", context.Cause(ctx)))
	case setup != nil:
		return true, cluster.Cluster{}, failure
	case errors.As(failure, new(*journal.Error)), errors.As(failure, new(*concurrentLaunchError)), u.Reached && !errors.As(failure, new(*cloud.Error)):
		return true, cluster.Cluster{}, l.fail(failure)
	}
	if err := l.strike(u, fault); err != nil {
		return true, cluster.Cluster{}, l.fail(err)
	}
	l.block(fault, u.Placement, failure)
	return false, cluster.Cluster{}, nil
}

func (l *launch) block(fault cloud.Fault, p cloud.Placement, failure error) {
	block := blockFor(fault, p, fmt.Sprintf("%s: %v", fault, bringup.RootCause(failure)))
	l.blocked = append(l.blocked, block)
	if shared(fault) {
		l.blocks.add(block)
	}
}

func (l *launch) fail(err error) *Error {
	return &Error{Cluster: l.spec.Name, Attempts: l.attempts, LeftOut: l.leftOut, Err: err, LogPath: l.folder.LogPath()}
}
