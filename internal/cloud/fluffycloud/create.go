// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// priceError says that a machine costs more than it may.
type priceError struct {
	id         string
	got, limit float64
}

func (e *priceError) Error() string {
	return fmt.Sprintf("machine %s costs $%.4f an hour, which is more than $%.4f", e.id, e.got, e.limit)
}

// Run implements cloud.Provisioner.
func (d *driver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	var record cloud.RunRecord
	if err := fleet.CheckSpec(Name, cfg.Spec, cfg.Placement); err != nil {
		return record, err //nolint:wrapcheck // it says what is wrong
	}
	ref.Instances = nil
	found, err := d.look(ctx, ref)
	if err != nil {
		return record, err
	}
	plan, err := fleet.Sort(ref, cfg.Spec.Nodes, found.live(), machine.portable,
		func(m machine) error { return m.stuck(cloud.StateRunning) })
	if err != nil {
		return record, err
	}
	for _, m := range plan.Adopt {
		if err := d.adopt(ctx, m, cfg, &record); err != nil {
			return record, err
		}
	}
	if err := d.create(ctx, plan.Create, cfg, &record); err != nil {
		return record, err
	}
	return record, d.checkSingle(ctx, ref, cfg.Spec.Nodes, record)
}

// stuck is the error for a machine that cannot get to state want.
func (m machine) stuck(want cloud.State) error {
	reason := m.StateReason
	if m.state() == cloud.StateUnknown {
		reason = strings.TrimSuffix(fmt.Sprintf("the cloud says %q: %s", m.State, reason), ": ")
	}
	return &fleet.MachineError{ID: m.ID, Rank: m.identity.Rank, State: m.state(), Reason: reason, Want: want}
}

// adopt takes a machine that is there: it resumes it where it is stopped and
// brings its labels up to date.
func (d *driver) adopt(ctx context.Context, m machine, cfg cloud.RunConfig, record *cloud.RunRecord) error {
	if err := checkPlace(m, cfg.Placement); err != nil {
		return err
	}
	if set, remove := labelChanges(m.Tags, cfg.Spec.Labels, cfg.Spec.Marks(m.identity)); len(set)+len(remove) > 0 {
		if err := d.c.tag(ctx, m.ID, set, remove); err != nil {
			return fmt.Errorf("label machine %s: %w", m.ID, err)
		}
	}
	s := m.state()
	if left := cfg.Spec.LeaveStopped && (s == cloud.StateStopped || s == cloud.StateStopping); left || s == cloud.StatePending || s == cloud.StateRunning {
		record.Adopted = append(record.Adopted, m.ID)
		return nil
	}
	if err := d.resume(ctx, m); err != nil {
		return fmt.Errorf("start machine %s (rank %d): %w", m.ID, m.identity.Rank, err)
	}
	record.Resumed = append(record.Resumed, m.ID)
	return nil
}

// resume starts a stopped machine, once it is stopped, and sees it leave that state.
func (d *driver) resume(ctx context.Context, m machine) error {
	return d.watch(ctx, m.ref(), func(ctx context.Context, c census) (bool, error) {
		if len(c.machines) == 0 {
			return false, nil
		}
		switch now := c.machines[0]; now.state() {
		case cloud.StatePending, cloud.StateRunning:
			return true, nil
		case cloud.StateStopped:
			if err := d.c.start(ctx, m.ID); err != nil && !hasCode(err, codeConflict) {
				return false, err
			}
			return false, nil
		case cloud.StateTerminating, cloud.StateTerminated:
			return false, now.stuck(cloud.StateRunning)
		case cloud.StateStopping, cloud.StateUnknown:
		}
		return false, nil
	})
}

// ref refers to this machine alone.
func (m machine) ref() cloud.ClusterRef {
	return cloud.ClusterRef{
		Owner: m.identity.Owner, Cluster: m.identity.Cluster, Generation: m.identity.Generation,
		Cloud: Name, Region: m.Region, Zone: m.Zone, Instances: []string{m.ID},
	}
}

// labelChanges leads from a machine's tags to the wanted labels and marks. Other
// reserved tags are never touched.
func labelChanges(tags, labels, marks map[string]string) (set map[string]string, remove []string) {
	set, remove = map[string]string{}, []string{}
	want := map[string]string{}
	maps.Copy(want, labels)
	maps.Copy(want, marks)
	for k, v := range want {
		if have, ok := tags[k]; !ok || have != v {
			set[k] = v
		}
	}
	for k := range tags {
		if _, ok := want[k]; !ok && !strings.HasPrefix(k, cloud.TagPrefix) {
			remove = append(remove, k)
		}
	}
	slices.Sort(remove)
	return set, remove
}

// create launches the nodes in rank order.
func (d *driver) create(ctx context.Context, nodes []cloud.NodeSpec, cfg cloud.RunConfig, record *cloud.RunRecord) error {
	made, errs := fleet.Launch(parallel, nodes, func(n cloud.NodeSpec) (string, error) { return d.createOne(ctx, n, cfg) })
	record.Created = made
	return errors.Join(errs...)
}

// createOne launches one machine. The id may come together with an error: the
// machine is there, but not as asked for.
func (d *driver) createOne(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig) (string, error) {
	rank := n.Identity.Rank
	in, err := d.c.launch(ctx, request(n, cfg))
	if err != nil {
		return "", fmt.Errorf("launch rank %d: %w", rank, err)
	}
	m := machine{in, n.Identity}
	switch m.state() {
	case cloud.StateTerminating, cloud.StateTerminated:
		return "", fmt.Errorf("launch rank %d: %w: %w", rank, m.stuck(cloud.StateRunning), cloud.ErrSpent)
	case cloud.StatePending, cloud.StateRunning, cloud.StateStopping, cloud.StateStopped, cloud.StateUnknown:
	}
	d.recent.Add(m.ID, m)
	if err := d.ensureTags(ctx, m); err != nil {
		return m.ID, err
	}
	return m.ID, errors.Join(checkPlace(m, cfg.Placement), checkPrice(m, cfg))
}

func request(n cloud.NodeSpec, cfg cloud.RunConfig) launchRequest {
	offer := cfg.Placement.Offer
	tags := map[string]string{}
	maps.Copy(tags, cfg.Spec.Labels)
	maps.Copy(tags, cfg.Spec.Marks(n.Identity))
	maps.Copy(tags, n.Identity.Tags())
	req := launchRequest{
		Name:         n.Identity.Name(maxNameLength),
		ClientToken:  n.Identity.Token(),
		Region:       offer.Region,
		Zone:         offer.Zone,
		InstanceType: offer.InstanceType.Name,
		Image:        found(cfg)[resourceImage],
		Market:       string(offer.Market),
		DiskGiB:      cfg.Spec.DiskGiB,
		UserData:     n.UserData,
		SSHKeyIDs:    []string{},
		FirewallID:   found(cfg)[resourceFirewall],
		Tags:         tags,
	}
	if offer.Market == cloud.Spot {
		req.MaxPriceUSD = cfg.Spec.MaxMachineUSD
	}
	if keys := found(cfg)[resourceSSHKeys]; keys != "" {
		req.SSHKeyIDs = strings.Split(keys, ",")
	}
	if !cfg.Spec.Deadline.IsZero() {
		deadline := cfg.Spec.Deadline.UTC().Truncate(time.Second)
		req.ExpiresAt = &deadline
	}
	return req
}

// ensureTags sees to it that the machine can be found again. One that cannot
// is removed at once, since nobody else ever would.
func (d *driver) ensureTags(ctx context.Context, m machine) error {
	if got, ok := cloud.IdentityFromTags(m.Tags); ok && got == m.identity {
		return nil
	}
	err := d.c.tag(ctx, m.ID, m.identity.Tags(), nil)
	if err == nil {
		var now instance
		if now, err = d.c.instance(ctx, m.ID); err == nil {
			if got, ok := cloud.IdentityFromTags(now.Tags); ok && got == m.identity {
				return nil
			}
		}
	}
	err = errors.Join(err, d.c.terminate(context.WithoutCancel(ctx), m.ID))
	return errors.Join(fmt.Errorf("machine %s does not keep its ownership tags and was removed", m.ID), err)
}

// checkPlace refuses a machine that is not what the placement says.
func checkPlace(m machine, at cloud.Placement) error {
	o := at.Offer
	if m.Region == o.Region && (o.Zone == "" || m.Zone == o.Zone) &&
		m.InstanceType == o.InstanceType.Name && (o.Market == "" || m.Market == string(o.Market)) {
		return nil
	}
	return fleet.ConfigErrorf(cloud.ScopeCloud, "machine %s (rank %d) is a %s %s in %s/%s, not %s",
		m.ID, m.identity.Rank, m.Market, m.InstanceType, m.Region, m.Zone, at)
}

// checkPrice refuses a machine above the spec's bound, or, where there is no
// bound, one that costs more than a fixed price was said to be.
func checkPrice(m machine, cfg cloud.RunConfig) error {
	const slack = 1.0001
	limit := cfg.Spec.MaxMachineUSD
	if offer := cfg.Placement.Offer; limit <= 0 && offer.Market != cloud.Spot {
		limit = offer.HourlyUSD
	}
	if limit > 0 && m.HourlyUSD > limit*slack {
		return &priceError{id: m.ID, got: m.HourlyUSD, limit: limit}
	}
	return nil
}

// checkSingle looks once more after launches: a cloud that took one request
// twice has made a machine nobody knows of.
func (d *driver) checkSingle(ctx context.Context, ref cloud.ClusterRef, nodes []cloud.NodeSpec, record cloud.RunRecord) error {
	if len(record.Created) == 0 {
		return nil
	}
	found, err := d.look(ctx, ref)
	if err != nil {
		return fmt.Errorf("look again after launching: %w", err)
	}
	return fleet.CheckSingle(ref, nodes, record, ids(found.staying())) //nolint:wrapcheck // it names the cluster
}
