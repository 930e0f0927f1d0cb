// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Bootstrap implements cloud.Provisioner.
func (d *Driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	leave, err := d.enter("bootstrap", at.Offer.Zone)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	for k := range spec.Labels {
		if strings.HasPrefix(k, cloud.TagPrefix) {
			return cloud.RunConfig{}, fmt.Errorf("the label %s is reserved: %w", k, ErrConfig)
		}
	}
	if spec.Image != "" && spec.Image != DefaultImage && spec.Image != OtherImage {
		return cloud.RunConfig{}, fmt.Errorf("there is no image %s: %w", spec.Image, ErrConfig)
	}
	if len(spec.AllowedCIDRs) == 0 {
		spec.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // where the caller is
	}
	c, owner := d.At("bootstrap"), groupOf(spec.Ref)
	for _, g := range []Group{
		{Kind: kindKey, SSHUser: spec.SSHUser, AuthorizedKeys: spec.AuthorizedKeys},
		{Kind: kindFirewall, Ports: spec.Ports, From: spec.AllowedCIDRs, SSH: true, Inside: true, Outside: true},
	} {
		g.Owner, g.Region = owner, at.Offer.Region
		if err := d.again(ctx, func(ctx context.Context) error { return c.ensureGroup(ctx, g) }); err != nil {
			return cloud.RunConfig{}, fmt.Errorf("make the %s: %w", g.Kind, err)
		}
	}
	return cloud.RunConfig{Spec: spec, Placement: at}, leave(nil)
}

// Run implements cloud.Provisioner.
func (d *Driver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	if d.OnRun != nil {
		d.OnRun(cfg)
	}
	leave, err := d.enter("run", ref.Zone)
	if err != nil {
		return cloud.RunRecord{}, err
	}
	record, err := d.run(ctx, d.At("run"), ref, cfg)
	if lost := leave(nil); lost != nil {
		return cloud.RunRecord{}, lost
	}
	return record, err
}

func (d *Driver) run(ctx context.Context, c *Client, ref cloud.ClusterRef, cfg cloud.RunConfig) (rec cloud.RunRecord, err error) {
	ref.Instances = nil
	have, err := d.look(ctx, c, ref)
	if err != nil {
		return rec, err
	}
	if err := extras(ref, cfg, have); err != nil {
		return rec, err
	}
	for _, n := range cfg.Spec.Nodes {
		if err := d.node(ctx, c, n, have, cfg, &rec); err != nil {
			return rec, fmt.Errorf("rank %d: %w", n.Identity.Rank, err)
		}
	}
	if c.Repeats && !d.Stubborn && len(rec.Created) > 0 {
		if err := d.yield(ctx, c, ref, &rec); err != nil {
			return rec, err
		}
	}
	after, err := d.look(ctx, c, ref)
	for _, in := range after {
		if all := slices.Concat(rec.Created, rec.Adopted, rec.Resumed); err == nil && !slices.Contains(all, in.ID) && in.State != cloud.StateTerminating {
			return rec, &cloud.ExtraNodesError{Cluster: ref.Cluster, Want: len(all), Extra: []string{in.ID}}
		}
	}
	return rec, err
}

// extras are machines of other identities than those wanted.
func extras(ref cloud.ClusterRef, cfg cloud.RunConfig, have []cloud.Instance) error {
	var extra []string
	for _, in := range have {
		wanted := slices.ContainsFunc(cfg.Spec.Nodes, func(n cloud.NodeSpec) bool { return n.Identity == in.Identity })
		if !wanted && in.State != cloud.StateTerminating {
			extra = append(extra, in.ID)
		}
	}
	if len(extra) > 0 {
		return &cloud.ExtraNodesError{Cluster: ref.Cluster, Want: len(cfg.Spec.Nodes), Extra: extra}
	}
	return nil
}

// node takes the machine of a rank or makes one.
func (d *Driver) node(ctx context.Context, c *Client, n cloud.NodeSpec, have []cloud.Instance, cfg cloud.RunConfig, rec *cloud.RunRecord) error {
	i := slices.IndexFunc(have, func(i cloud.Instance) bool { return i.Identity == n.Identity })
	if i < 0 {
		return d.launch(ctx, c, n, cfg, rec)
	}
	in := have[i]
	if outdated(in, cfg.Spec) {
		err := d.again(ctx, func(ctx context.Context) error {
			return c.change(ctx, "label", in.ID, func(m *Machine) { m.relabel(cfg.Spec) })
		})
		if err != nil {
			return err
		}
	}
	if in.State != cloud.StateStopped || cfg.Spec.LeaveStopped {
		rec.Adopted = append(rec.Adopted, in.ID)
		return nil
	}
	if err := d.again(ctx, func(ctx context.Context) error { return c.start(ctx, in.ID) }); err != nil {
		return err
	}
	rec.Resumed = append(rec.Resumed, in.ID)
	return nil
}

func (d *Driver) launch(ctx context.Context, c *Client, n cloud.NodeSpec, cfg cloud.RunConfig, rec *cloud.RunRecord) error {
	if err := wait(ctx, d.early()); err != nil {
		return err
	}
	return d.again(ctx, func(ctx context.Context) error {
		id, err := c.create(ctx, n, cfg)
		if err == nil {
			d.remember(id, true)
			rec.Created = append(rec.Created, id)
		}
		if c.Repeats && !d.Stubborn && errors.Is(err, ErrTimeout) {
			return d.settleLost(ctx, c, n, rec, err)
		}
		return err
	})
}

// early is how much too early another launch would be.
func (d *Driver) early() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	next := now
	if d.Pace > 0 && d.next.After(now) {
		next = d.next
	}
	d.next = next.Add(d.Pace)
	return next.Sub(now)
}

// listDelay is how long a machine may be missing from lists on a cloud that makes
// another one when it is asked again.
const listDelay = 10 * time.Second

// settleLost looks for what came of a create whose answer was lost, where
// asking again would make another machine.
func (d *Driver) settleLost(ctx context.Context, c *Client, n cloud.NodeSpec, rec *cloud.RunRecord, lost error) error {
	if err := wait(ctx, listDelay); err != nil {
		return err
	}
	now, err := d.look(ctx, c, cloud.ClusterRef{Owner: n.Identity.Owner, Cluster: n.Identity.Cluster, Generation: n.Identity.Generation})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(now, func(in cloud.Instance) bool { return in.Identity == n.Identity }); i >= 0 {
		rec.Created = append(rec.Created, now[i].ID)
		return nil
	}
	return lost
}

// yield looks again after a launch and removes what this call made where
// another session made a machine of the same identity before. All look after
// all created, so that of several sessions one keeps its machine; that one
// waits a while for the others to give way.
func (d *Driver) yield(ctx context.Context, c *Client, ref cloud.ClusterRef, rec *cloud.RunRecord) error {
	const looks = 6
	for range looks {
		if err := wait(ctx, listDelay); err != nil {
			return err
		}
		now, err := d.look(ctx, c, ref)
		if err != nil {
			return err
		}
		eldest, rivals := map[cloud.Identity]cloud.Instance{}, 0
		slices.SortFunc(now, func(a, b cloud.Instance) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
		for _, in := range now {
			first, ok := eldest[in.Identity]
			if !ok {
				eldest[in.Identity] = in
				continue
			}
			rivals++
			if err := d.giveWay(ctx, c, in, first, rec); err != nil {
				return err
			}
		}
		if rivals == 0 {
			return nil
		}
	}
	return nil // the caller's own look says what is too many
}

// giveWay removes a machine, if this call made it, for an elder one.
func (d *Driver) giveWay(ctx context.Context, c *Client, own, elder cloud.Instance, rec *cloud.RunRecord) error {
	i := slices.Index(rec.Created, own.ID)
	if i < 0 {
		return nil
	}
	if err := d.quiet(ctx, c, cloud.ClusterRef{Owner: own.Identity.Owner, Instances: []string{own.ID}}, d.terminator(ctx, c)); err != nil {
		return fmt.Errorf("give way to %s: %w", elder.ID, err)
	}
	rec.Created = slices.Delete(rec.Created, i, i+1)
	rec.Adopted = append(rec.Adopted, elder.ID)
	d.remember(own.ID, false)
	if c.Addresses {
		return d.again(ctx, func(ctx context.Context) error {
			return c.release(ctx, cloud.ClusterRef{Owner: own.Identity.Owner, Instances: []string{own.ID}})
		})
	}
	return nil
}

// outdated reports whether a Run has something to change on a machine.
func outdated(in cloud.Instance, spec cloud.ClusterSpec) bool {
	marks := spec.Marks(in.Identity)
	key := marks[cloud.TagHostKey]
	if (key != "" && key != in.HostKey) || !maps.Equal(in.Labels, spec.Labels) || spec.OnShutdown != "" {
		return true
	}
	for k, v := range cloud.NotesFromTags(marks) {
		if in.Notes[k] != v {
			return true
		}
	}
	return false
}

// wait is retry.Pause, and nothing where there is nothing to wait for.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	return retry.Pause(ctx, d) //nolint:wrapcheck // the context's own error
}
