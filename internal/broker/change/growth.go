// SPDX-License-Identifier: MPL-2.0

package change

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// addRanks makes the machines of these ranks, so that the cluster has size of
// them. What was made is removed again where it does not come to that.
func (ch Changer) addRanks(ctx context.Context, session cloud.Session, c cluster.Cluster, spec spec.Spec, ranks []int, size int) (cluster.Cluster, error) {
	log, closeLog, err := ch.Down.FolderOf(c).OpenLog()
	if err != nil {
		return c, err
	}
	defer closeLog()
	u, err := ch.growth(ctx, session, c, spec, ranks, size)
	if err != nil {
		return c, err
	}
	u.Log = log
	if err := u.Intend(); err != nil {
		return c, err
	}
	fresh, err := u.Run(ctx)
	if err == nil {
		return fresh, nil
	}
	fault := session.Classify(bringup.RootCause(err))
	if ce := (*cloud.Error)(nil); errors.As(err, &ce) {
		fault = ce.Fault
	}
	if uerr := ch.undoGrowth(ctx, u); uerr != nil {
		err = errors.Join(err, fmt.Errorf("and the nodes that were added could not be removed: %w", uerr))
	}
	return c, fmt.Errorf("add nodes to cluster %q (%s); it stays at %d nodes: %w", c.Name, fault, size-len(ranks), err)
}

// growth is the bringing up of ranks that a cluster lacks. The others must all be
// there.
func (ch Changer) growth(ctx context.Context, session cloud.Session, c cluster.Cluster, spec spec.Spec, ranks []int, size int) (*bringup.BringUp, error) {
	base, err := ch.Observer.PresentNodes(ctx, session, c, size-len(ranks))
	if err != nil {
		return nil, err
	}
	spec.Request.Nodes = size
	served, err := servedBy(c, spec.Request)
	if err != nil {
		return nil, err
	}
	keys, err := ch.Make.Reach.MoreKeys(ctx, c, size)
	if err != nil {
		return nil, fmt.Errorf("ssh keys: %w", err)
	}
	u := ch.Make.New(ctx, session, c, spec)
	u.Base, u.Ranks, u.Size, u.Number, u.Keys = base, ranks, size, ch.nextAttempt(c), keys
	u.Placement = c.Placement()
	u.Placement.Nodes = size
	u.Placement.Offer.InstanceType.Arch = archOf(c, spec.Offers)
	u.Requirement, u.Paid = served, size
	u.Record = func(e journal.Entry) error {
		return ch.Down.FolderOf(c).WithJournal(func(j *journal.Journal) error { return j.Append(e) })
	}
	return u, nil
}

// undoGrowth removes what a failed growth made, also what its commit reached
// already and what is not listed yet: the cluster's record does not hold it.
func (ch Changer) undoGrowth(ctx context.Context, u *bringup.BringUp) error {
	ctx, cancel := teardown.Detached(ctx, ch.Make.Timeouts.Cleanup)
	defer cancel()
	c := u.Before
	if !u.Asked { // so that nobody waits for its machines
		if err := u.NoteCreated(); err != nil {
			ch.Down.Log.ErrorContext(ctx, "the journal cannot be written", "error", err)
		}
	}
	doomed := u.Created
	if u.Committing {
		for _, n := range u.Added {
			doomed = union(doomed, []string{n.InstanceID})
		}
		ch.Down.NoteFailedGrowth(ctx, c, doomed)
	}
	if err := retry.Pause(ctx, max(ch.Make.Timeouts.Gone, u.ListedBy().Sub(ch.Down.Now()))); err != nil {
		return err
	}
	alive, err := u.Session.Query(ctx, c.Ref())
	if err != nil {
		return err
	}
	doomed = union(doomed, c.Uncommitted(alive))
	for _, inst := range alive {
		if inst.Committed && inst.Identity.Attempt == u.Number && !slices.Contains(c.InstanceIDs(), inst.ID) {
			doomed = union(doomed, []string{inst.ID})
		}
	}
	return ch.Down.RemoveNodes(ctx, u.Session, c, doomed)
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
func (ch Changer) nextAttempt(c cluster.Cluster) int {
	j, err := ch.Down.FolderOf(c).ReadJournal()
	if err == nil { // else withJournal will say so before anything is made
		if n, ok := j.NextAttempt(c.Generation); ok {
			return n
		}
	}
	return int(ch.Down.Now().Unix())
}

// union is x with what y has besides.
func union(x, y []string) []string {
	for _, s := range y {
		if !slices.Contains(x, s) {
			x = append(x, s)
		}
	}
	return x
}
