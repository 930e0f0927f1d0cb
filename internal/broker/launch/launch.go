// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// launch is one call of Launch.
type launch struct {
	*Broker
	folder  statedir.Folder
	spec    Spec
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
func (b *Broker) Launch(ctx context.Context, spec Spec) (cluster.Cluster, error) {
	if err := b.owned(); err != nil {
		return cluster.Cluster{}, fmt.Errorf("nothing was launched: %w", err)
	}
	release, err := b.folder(spec.Name).Lock(ctx, "launching")
	if err != nil {
		return cluster.Cluster{}, err
	}
	defer release()
	l, closeLaunch, err := b.newLaunch(spec)
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
	if l.loss = LossOf(l.cfg.StateDir, l.owner, spec.Name, spec.Recovery, l.cfg.Now()); l.loss != nil {
		l.log.InfoContext(ctx, "the cluster was lost and is launched again", "lost_in", l.loss.Cloud+"/"+l.loss.Region, "recovery", l.loss.How)
	}
	c, err := l.failover(ctx)
	switch {
	case err == nil:
		l.down().ClearUnused(context.WithoutCancel(ctx), l.journal, spec.Name, l.openCandidates(ctx)...)
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

func (b *Broker) newLaunch(spec Spec) (*launch, func(), error) {
	digest, err := spec.digest()
	if err != nil {
		return nil, nil, err
	}
	f := b.folder(spec.Name)
	j, err := f.Journal()
	if err != nil {
		return nil, nil, fmt.Errorf("the cluster's journal cannot be used, so nothing was launched: %w", err)
	}
	log, closeLog, err := f.OpenLog()
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	l := &launch{Broker: b, folder: f, spec: spec, digest: digest, journal: j, log: log, caps: map[string]cloud.Capabilities{}}
	return l, func() {
		closeLog()
		_ = j.Close()
	}, nil
}

// openClouds opens the clouds of the offers; one that is not enabled, or whose
// nodes could not be reached for want of their bastion, is blocked with its
// reason, and the launch goes on with the others.
func (l *launch) openClouds(ctx context.Context) {
	for _, name := range l.candidateClouds() {
		if caps, ok := l.clouds.Capabilities(name); ok {
			l.caps[name] = caps
		}
		_, err := l.clouds.Open(ctx, name)
		if err == nil {
			err = l.reach().TryBastion(ctx, name)
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
			err = u.intend()
		}
		if err != nil {
			return cluster.Cluster{}, l.fail(err)
		}
		c, err := u.bounded(ctx)
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
		Event: journal.EventLaunch, Generation: l.gen, Owner: l.owner, Home: l.cfg.Home, Digest: l.digest,
		Ref: &cloud.ClusterRef{Owner: l.owner, Cluster: l.spec.Name}, Nodes: l.spec.Request.Nodes,
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
func (l *launch) attempt(ctx context.Context, number int, choice optimizer.Choice) (*bringUp, error) {
	p := choice.Placement
	session, err := l.clouds.Open(ctx, p.Offer.Cloud)
	if err != nil {
		return nil, err
	}
	started := l.cfg.Now()
	draft := l.draft(p, started)
	draft.Account, draft.LaunchedBy = session.Account, session.Identity
	u := l.newBringUp(ctx, session, draft, l.spec)
	u.log, u.record, u.started = l.log, l.journal.Append, started
	u.base.Ref = draft.Ref()
	u.base.Ref.Zone = p.Offer.Zone
	u.number, u.placement, u.ranks, u.size = number, p, ranksFrom(0, p.Nodes), p.Nodes
	u.requirement, u.paid = requirementOf(l.spec.Request, choice), p.Nodes-choice.Reserved
	u.onShutdown = l.onShutdown(p.Offer, l.spec.Autostop)
	u.keys, u.portsLater = l.keys, l.caps[p.Offer.Cloud].PortsLater
	u.ready = func(ctx context.Context) error { return l.beforeCommit(ctx, u) }
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
		ID: o.Cloud + "/" + o.Region + "/" + l.spec.Name, Name: l.spec.Name, Owner: l.owner, Generation: l.gen,
		Cloud: o.Cloud, Region: o.Region, Zone: o.Zone, InstanceType: o.InstanceType.Name,
		Accelerators: o.InstanceType.Accelerator.String(), Market: o.Market, HourlyUSD: p.HourlyUSD(),
		Status: cluster.StatusInit, KeyPath: l.keys.Path, Runtime: l.spec.Runtime, Size: p.Nodes,
		LaunchedAt: started.UTC().Format(time.RFC3339), Autostop: l.spec.Autostop,
	}
}

// beforeCommit removes what came late of earlier attempts, and gives way to a
// launch of the name that goes first.
func (l *launch) beforeCommit(ctx context.Context, u *bringUp) error {
	if err := l.folder.WriteSSHFiles(u.cluster); err != nil {
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
	l.remember(l.gen)
	return nil
}

// newBringUp is a bringing up with what all of them have.
func (b *Broker) newBringUp(ctx context.Context, session cloud.Session, c cluster.Cluster, spec Spec) *bringUp {
	return &bringUp{
		session: session, reach: b.reach(), timeouts: b.cfg.Timeouts, now: b.cfg.Now, log: b.log, images: b.cfg.Images, spec: spec, before: c,
		started: b.cfg.Now(), deadline: b.deadline(ctx), onShutdown: b.onShutdown(c.Placement().Offer, c.Autostop),
	}
}

// deadline is when an uncommitted machine removes itself: later than everything
// that may still be done with it, the clean-up included.
func (b *Broker) deadline(ctx context.Context) time.Time {
	t := b.cfg.Timeouts
	if d, ok := ctx.Deadline(); ok {
		return d.Add(t.margin()).UTC().Truncate(time.Second)
	}
	return b.cfg.Now().Add(2*t.Boot + t.SSH + setupAllowance + t.margin()).UTC().Truncate(time.Second)
}

// setupAllowance is how long setup may take where the caller sets no deadline.
const setupAllowance = time.Hour

// margin is what the dead-man timer leaves between the end of an attempt and
// the end of its machines: time to finish a call that is under way and to
// clean up.
func (t Timeouts) margin() time.Duration {
	return max(t.Margin, graceAfterCancel+t.ListDelay+t.Cleanup)
}

// afterFailure deals with a failed attempt. It reports whether the launch is over.
func (l *launch) afterFailure(ctx context.Context, u *bringUp, failure error) (bool, cluster.Cluster, error) {
	var setup *nodes.SetupError
	if errors.As(failure, &setup) && setup.Kept {
		return true, u.cluster, failure
	}
	fault := u.fault(failure)
	row := Attempt{Placement: u.placement, Fault: fault, Step: u.step, Err: failure}
	l.log.ErrorContext(ctx, "attempt failed", "placement", u.placement.String(), "step", u.step, "fault", fault.String(), "error", failure)
	survivors, cleanupErr := l.remove(ctx, u)
	l.asked = l.asked || u.asked
	l.made += u.made()
	var late []clouds.Machines
	if cleanupErr == nil && l.asked {
		late, cleanupErr = l.sweep(ctx, nil)
		survivors = clouds.AllIDs(late)
	}
	row.Removed = cleanupErr == nil
	row.Took = l.cfg.Now().Sub(u.started)
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
	case errors.As(failure, new(*journal.Error)), errors.As(failure, new(*concurrentLaunchError)), u.reached && !errors.As(failure, new(*cloud.Error)):
		return true, cluster.Cluster{}, l.fail(failure)
	}
	if err := l.strike(u, fault); err != nil {
		return true, cluster.Cluster{}, l.fail(err)
	}
	l.block(fault, u.placement, failure)
	return false, cluster.Cluster{}, nil
}

func (l *launch) block(fault cloud.Fault, p cloud.Placement, failure error) {
	block := blockFor(fault, p, fmt.Sprintf("%s: %v", fault, rootCause(failure)))
	l.blocked = append(l.blocked, block)
	if shared(fault) {
		l.blocks.add(block)
	}
}

func (l *launch) fail(err error) *LaunchError {
	return &LaunchError{Cluster: l.spec.Name, Attempts: l.attempts, LeftOut: l.leftOut, Err: err, LogPath: l.folder.LogPath()}
}

// digest identifies what was asked for, without the catalog's answers to it.
func (s Spec) digest() (string, error) {
	s.Offers = nil
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("identify the request: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
