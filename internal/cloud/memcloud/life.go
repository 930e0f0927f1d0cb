// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Commit implements cloud.Provisioner. It looks at the marks it made.
func (d *Driver) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	leave, err := d.enter("commit", ref.Zone)
	if err != nil {
		return err
	}
	return leave(d.commit(ctx, d.At("commit"), ref))
}

func (d *Driver) commit(ctx context.Context, c *Client, ref cloud.ClusterRef) error {
	const looks = 3
	for range looks {
		now, err := d.look(ctx, c, ref)
		if err != nil {
			return err
		}
		if len(now) == 0 || len(now) < len(ref.Instances) {
			return fmt.Errorf("%d machines: %w", len(now), cloud.ErrNotFound)
		}
		done := true
		for _, in := range now {
			if in.Committed && (d.Careless || in.Deadline.IsZero()) {
				continue
			}
			done = false
			if err := d.mark(ctx, c, in.ID); err != nil {
				return err
			}
		}
		if done || d.Trusting {
			return nil
		}
	}
	return fmt.Errorf("the marks of a commit do not stay: %w", ErrServer)
}

func (d *Driver) mark(ctx context.Context, c *Client, id string) error {
	err := d.again(ctx, func(ctx context.Context) error {
		return c.change(ctx, "tag", id, func(m *Machine) { m.Committed = true })
	})
	if err != nil {
		return err
	}
	return d.again(ctx, func(ctx context.Context) error {
		return c.change(ctx, "disarm", id, func(m *Machine) { m.Deadline = time.Time{} })
	})
}

// Stop implements cloud.Provisioner.
func (d *Driver) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	leave, err := d.enter("stop", ref.Zone)
	if err != nil {
		return err
	}
	c, missing := d.At("stop"), 0
	return leave(d.poll(ctx, c, ref, func(now []cloud.Instance) (bool, error) {
		if len(now) < max(len(ref.Instances), 1) {
			if missing++; missing > 4 {
				return false, cloud.ErrNotFound
			}
			return false, nil
		}
		done := true
		for _, in := range now {
			if why := d.Caps.CannotStop(cloud.Offer{Cloud: Name, Market: in.Market, InstanceType: cloud.InstanceType{Name: in.Type}}); why != "" {
				return false, fmt.Errorf("%s: %w", why, ErrConfig)
			}
			done = done && in.State == cloud.StateStopped
			if in.State == cloud.StateRunning || in.State == cloud.StatePending {
				if err := c.stop(ctx, in.ID); err != nil && Classify(err).Kind != cloud.KindTransient {
					return false, err
				}
			}
		}
		return done, nil
	}))
}

// Terminate implements cloud.Provisioner.
func (d *Driver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	leave, err := d.enter("terminate", ref.Zone)
	if err != nil {
		return err
	}
	c := d.At("terminate")
	err = d.quiet(ctx, c, ref, d.terminator(ctx, c))
	if err == nil && c.Addresses {
		err = d.again(ctx, func(ctx context.Context) error { return c.release(ctx, ref) })
	}
	if err == nil && ref.Instances == nil { // disks and addresses that outlived their machines
		d.Mu.Lock()
		d.Things = slices.DeleteFunc(d.Things, func(t cloud.Thing) bool { return t.Kind.Paid() && ref.Owns(t.Ref.Tags()) })
		d.Mu.Unlock()
	}
	return leave(err)
}

func (d *Driver) terminator(ctx context.Context, c *Client) func(cloud.Instance) error {
	return func(in cloud.Instance) error {
		if in.State == cloud.StateTerminating {
			return nil
		}
		err := d.again(ctx, func(ctx context.Context) error { return c.terminate(ctx, in.ID) })
		if errors.Is(err, cloud.ErrNotFound) {
			return nil
		}
		return err
	}
}

// OpenPorts implements cloud.Provisioner.
func (d *Driver) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	leave, err := d.enter("ports", ref.Zone)
	if err != nil {
		return err
	}
	c := d.At("ports")
	return leave(d.again(ctx, func(ctx context.Context) error { return c.setRules(ctx, ref, cfg.Spec, ports) }))
}

// PortDrift implements cloud.Auditor.
func (d *Driver) PortDrift(_ context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	want := openings(prefixes, ports)
	for _, g := range d.Groups {
		if g.Kind == kindFirewall && g.Owner == groupOf(ref) {
			have := openings(g.From, g.Ports)
			return append(beyond(have, want, "open"), beyond(want, have, "closed")...), nil
		}
	}
	return nil, ErrConfig
}

func openings(from []netip.Prefix, ports []cloud.PortRange) []string {
	var out []string
	for _, f := range from {
		out = append(out, "22 from "+f.String())
		for _, p := range ports {
			out = append(out, p.String()+" from "+f.String())
		}
	}
	return out
}

// beyond are the lines of a that b lacks.
func beyond(a, b []string, are string) []string {
	var out []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, line+" is "+are)
		}
	}
	return out
}

// CleanupPorts implements cloud.Provisioner.
func (d *Driver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	leave, err := d.enter("cleanup", ref.Zone)
	if err == nil {
		err = owned(ref)
	}
	if err != nil {
		return err
	}
	c := d.At("cleanup")
	var errs []error
	for _, kind := range []string{kindFirewall, kindKey} {
		errs = append(errs, d.again(ctx, func(ctx context.Context) error { return c.dropGroup(ctx, kind, ref) }))
	}
	return leave(errors.Join(errs...))
}

// Survey implements cloud.Surveyor. Of machines it shows what lists show.
func (d *Driver) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	leave, err := d.enter("survey", ref.Zone)
	if err != nil {
		return nil, err
	}
	c := d.At("survey")
	var out []cloud.Thing
	err = d.again(ctx, func(ctx context.Context) error {
		return c.Call(ctx, "things", "", func(*Fault) error {
			out = c.things(ref)
			return nil
		})
	})
	return out, leave(err)
}

func (s *Cloud) things(ref cloud.ClusterRef) []cloud.Thing {
	var out []cloud.Thing
	add := func(t cloud.Thing, region string, owner cloud.Identity) {
		if shown, ok := ref.ThingOf(t.Kind, t.ID, t.Name, owner.Tags(), region); ok {
			shown.CreatedAt, shown.Committed, shown.Deadline = t.CreatedAt, t.Committed, t.Deadline
			out = append(out, shown)
		}
	}
	for _, t := range s.Things {
		add(t, t.Ref.Region, groupOf(t.Ref))
	}
	if s.Reticent && len(s.Things) == 0 {
		return out
	}
	now := time.Now()
	for _, m := range s.Machines {
		if m.Alive(now) && !now.Before(m.Visible) {
			add(cloud.Thing{Kind: cloud.ThingMachine, ID: m.ID, CreatedAt: m.CreatedAt, Committed: m.Committed, Deadline: m.Deadline}, m.Region, m.Identity)
		}
	}
	for _, g := range s.Groups {
		if s.Reticent {
			break
		}
		add(cloud.Thing{Kind: cloud.ThingKind(g.Kind), ID: g.Kind + " of " + g.Owner.Generation}, g.Region, g.Owner)
	}
	return out
}
