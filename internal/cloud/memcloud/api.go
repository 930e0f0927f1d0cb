// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Client is one process's connection to the cloud, during one method of the driver.
type Client struct {
	*Cloud
	Process *Process
	// Owner and Cluster say whose machines a fault's Vanish ends.
	Owner, Cluster string
	Phase          string
}

// Call runs one call of the API through kill points and faults. apply takes
// effect under the cloud's lock.
func (c *Client) Call(ctx context.Context, op, zone string, apply func(f *Fault) error) error {
	name := c.Phase + "/" + op
	if err := c.Process.Point(name + " before"); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	if err := wait(ctx, c.Latency); err != nil {
		return err
	}
	f := c.match("", c.Phase, op, zone)
	if f != nil && f.Hook != nil {
		f.Hook()
	}
	err := c.answer(f, apply)
	if kerr := c.Process.Point(name + " after"); kerr != nil {
		return kerr
	}
	if err == nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, ctx.Err()) // done, but nobody waited for the answer
	}
	return err
}

func (c *Client) answer(f *Fault, apply func(f *Fault) error) error {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.Calls++
	c.FireTimers(time.Now())
	if c.Expired && c.Phase != "ssh" && c.Phase != "setup" {
		return ErrAuth
	}
	if f == nil {
		return apply(nil)
	}
	if f.Vanish != nil {
		c.Vanish(c.Owner, c.Cluster, *f.Vanish)
	}
	if f.Cut > 0 {
		for _, m := range c.Machines {
			m.CutUntil = time.Now().Add(f.Cut)
		}
	}
	if f.Silent {
		return nil
	}
	if f.Err == nil || f.Applied || f.Late > 0 {
		if err := apply(f); err != nil {
			return err
		}
	}
	return f.Err
}

// create makes a machine; what came of an earlier call of the identity is
// answered instead, unless the cloud Repeats.
func (c *Client) create(ctx context.Context, n cloud.NodeSpec, cfg cloud.RunConfig) (string, error) {
	var made string
	err := c.Call(ctx, "create", cfg.Placement.Offer.Zone, func(f *Fault) error {
		m, err := c.earlier(n.Identity)
		switch {
		case err != nil:
			return err
		case m != nil:
			made = m.ID
			return nil
		case c.Pace > 0 && !c.lastLaunch.IsZero() && time.Since(c.lastLaunch) < c.Pace:
			return ErrThrottle
		}
		if c.Watch != nil {
			c.Watch(n.Identity)
		}
		c.lastLaunch = time.Now()
		c.noteDuplicates(n.Identity)
		m = c.make(n, cfg, f)
		made = m.ID
		if f != nil && f.Twice {
			c.make(n, cfg, f).Twin = true
		}
		return nil
	})
	if err != nil {
		made = ""
	}
	return made, err
}

// earlier is the machine that the identity stands for; a spent one is an error.
func (c *Client) earlier(id cloud.Identity) (*Machine, error) {
	now := time.Now()
	for _, m := range c.Machines {
		switch {
		case c.Repeats || m.Identity != id || m.Twin:
		case m.Alive(now), now.Before(m.Exists):
			return m, nil
		case !m.Gone.IsZero():
			return nil, fmt.Errorf("machine %s: %w", m.ID, cloud.ErrSpent)
		}
	}
	return nil, nil //nolint:nilnil // there was none
}

func (c *Client) noteDuplicates(id cloud.Identity) {
	for _, m := range c.Machines {
		if m.Identity.Owner == id.Owner && m.Identity.Cluster == id.Cluster && m.Identity.Rank == id.Rank && m.Alive(time.Now()) {
			c.Duplicates = append(c.Duplicates, fmt.Sprintf("%+v beside %+v (%s)", id, m.Identity, m.ID))
		}
	}
}

func (c *Client) make(n cloud.NodeSpec, cfg cloud.RunConfig, f *Fault) *Machine {
	spec := cfg.Spec
	var late time.Duration
	if f != nil {
		late = f.Late
	}
	m := c.Add(n.Identity, cfg.Placement, spec.Deadline, late)
	m.relabel(spec)
	m.Sent = Sent{UserData: n.UserData, SSHUser: spec.SSHUser, AuthorizedKeys: spec.AuthorizedKeys, Image: spec.Image, DiskGiB: spec.DiskGiB}
	if m.Sent.Image == "" {
		m.Sent.Image = DefaultImage
	}
	if f != nil {
		m.Addressed = m.Runs.Add(f.Unaddressed)
		if f.Dies {
			m.Gone = m.Exists.Add(c.Boot / 2)
		}
	}
	return m
}

// relabel brings up to date what a Run may change of a machine.
func (m *Machine) relabel(spec cloud.ClusterSpec) {
	marks := spec.Marks(m.Identity)
	if key := marks[cloud.TagHostKey]; key != "" {
		m.HostKey = key
	}
	notes := cloneMap(m.Notes)
	maps.Copy(notes, cloud.NotesFromTags(marks))
	m.Notes, m.Labels = notes, cloneMap(spec.Labels)
	if spec.OnShutdown != "" {
		m.OnShutdown = spec.OnShutdown
	}
}

func (c *Client) list(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	var out []cloud.Instance
	err := c.Call(ctx, "list", ref.Zone, func(f *Fault) error {
		now := time.Now()
		for _, m := range c.Machines {
			if m.Alive(now) && !now.Before(m.Visible) && ref.Matches(m.Identity, m.Region, m.Zone) && (f == nil || !f.Empty) {
				out = append(out, m.View(now))
			}
		}
		return nil
	})
	return out, err
}

func (c *Client) get(ctx context.Context, id string) (cloud.Instance, error) {
	var out cloud.Instance
	err := c.Call(ctx, "get", "", func(f *Fault) error {
		m := c.Find(id)
		if m == nil || (f != nil && f.Empty) {
			return fmt.Errorf("machine %s: %w", id, cloud.ErrNotFound)
		}
		out = m.View(time.Now())
		return nil
	})
	return out, err
}

// change calls f on a living machine.
func (c *Client) change(ctx context.Context, op, id string, f func(m *Machine)) error {
	return c.Call(ctx, op, "", func(*Fault) error {
		m := c.Find(id)
		if m == nil {
			return fmt.Errorf("machine %s: %w", id, cloud.ErrNotFound)
		}
		f(m)
		return nil
	})
}

func (c *Client) terminate(ctx context.Context, id string) error {
	return c.change(ctx, "terminate", id, func(m *Machine) {
		if m.Gone.IsZero() {
			m.Gone, m.State = time.Now().Add(c.Going), ""
		}
	})
}

func (c *Client) start(ctx context.Context, id string) error {
	return c.change(ctx, "start", id, func(m *Machine) {
		m.StoppedAt, m.Runs, m.State = time.Time{}, time.Now().Add(c.Boot), ""
		c.serial++
		m.ExternalIP = fmt.Sprintf("192.0.2.%d", c.serial) // another one after every stop
	})
}

func (c *Client) stop(ctx context.Context, id string) error {
	return c.change(ctx, "stop", id, func(m *Machine) {
		m.StoppedAt, m.State = time.Now().Add(c.Stopping), ""
	})
}

// release gives back the addresses of machines that are gone.
func (c *Client) release(ctx context.Context, ref cloud.ClusterRef) error {
	return c.Call(ctx, "release", "", func(*Fault) error {
		for _, m := range c.Machines {
			if !m.Alive(time.Now()) && ref.Matches(m.Identity, m.Region, m.Zone) && (ref.Instances == nil || slices.Contains(ref.Instances, m.ID)) {
				m.Address = false
			}
		}
		return nil
	})
}

// group is the cluster's firewall or key in a region; nil is none. The caller
// holds Mu.
func (s *Cloud) group(kind, region string, owner cloud.Identity) *Group {
	i := slices.IndexFunc(s.Groups, func(g *Group) bool { return g.Kind == kind && g.Region == region && g.Owner == owner })
	if i < 0 {
		return nil
	}
	return s.Groups[i]
}

// ensureGroup makes a firewall or a key unless it is there.
func (c *Client) ensureGroup(ctx context.Context, want Group) error {
	return c.Call(ctx, want.Kind+".create", "", func(*Fault) error {
		have := c.group(want.Kind, want.Region, want.Owner)
		if have == nil {
			c.Groups = append(c.Groups, &want)
			return nil
		}
		have.From = want.From
		for _, p := range want.Ports { // it closes nothing
			if !slices.Contains(have.Ports, p) {
				have.Ports = append(have.Ports, p)
			}
		}
		return nil
	})
}

// setRules says what a cluster's firewall lets in.
func (c *Client) setRules(ctx context.Context, ref cloud.ClusterRef, spec cloud.ClusterSpec, ports []cloud.PortRange) error {
	return c.Call(ctx, "firewall.update", "", func(*Fault) error {
		for _, g := range c.Groups {
			if g.Kind == kindFirewall && g.Owner == groupOf(ref) {
				g.From, g.Ports, g.SSH = spec.AllowedCIDRs, slices.Clone(ports), true
			}
		}
		return nil
	})
}

// dropGroup deletes firewalls or keys of a ref.
func (c *Client) dropGroup(ctx context.Context, kind string, ref cloud.ClusterRef) error {
	return c.Call(ctx, kind+".delete", "", func(*Fault) error {
		mine := func(g *Group) bool { return g.Kind == kind && ref.Matches(g.Owner, g.Region, ref.Zone) }
		for _, m := range c.Machines {
			if kind == kindFirewall && !c.Loose && m.Alive(time.Now()) && slices.ContainsFunc(c.Groups, func(g *Group) bool {
				return mine(g) && g.Owner.Generation == m.Identity.Generation && g.Owner.Cluster == m.Identity.Cluster && g.Owner.Owner == m.Identity.Owner && g.Region == m.Region
			}) {
				return fmt.Errorf("firewall of %s: %w", m.ID, ErrInUse)
			}
		}
		c.Groups = slices.DeleteFunc(c.Groups, mine)
		c.Things = slices.DeleteFunc(c.Things, func(t cloud.Thing) bool {
			return !t.Kind.Paid() && kind == kindKey && ref.Owns(t.Ref.Tags())
		})
		return nil
	})
}
