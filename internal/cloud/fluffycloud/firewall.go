// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// sshPort is where machines listen for SSH.
const sshPort = 2222

func (d *driver) ensureFirewall(ctx context.Context, ref cloud.ClusterRef, region string) (fleet.Firewall, error) {
	want := firewall{Name: ref.Name(maxNameLength, "firewall"), Region: region, Tags: ref.Tags(), Rules: []rule{}}
	find := func(ctx context.Context) (fleet.Firewall, bool, error) {
		all, err := d.c.firewalls(ctx)
		if err != nil {
			return fleet.Firewall{}, false, fmt.Errorf("list firewalls: %w", err)
		}
		i := slices.IndexFunc(all, func(f firewall) bool { return f.Name == want.Name && f.Region == region })
		switch {
		case i < 0:
			return fleet.Firewall{}, false, nil
		case !ref.Owns(all[i].Tags):
			return fleet.Firewall{}, false, fleet.ConfigErrorf(cloud.ScopeCloud, "a firewall named %s exists and is not this cluster's", want.Name)
		}
		return portable(all[i]), true, nil
	}
	return fleet.FindOrMake(ctx, d.Poll, "firewall "+want.Name, find, func(ctx context.Context) error {
		return unlessDone(d.c.createFirewall(ctx, want))
	})
}

func portable(f firewall) fleet.Firewall {
	out := fleet.Firewall{ID: f.ID, Name: f.Name, Region: f.Region, Native: f.Rules}
	for _, r := range f.Rules {
		for _, cidr := range r.CIDRs {
			out.Open = append(out.Open, fleet.Opening{Ports: cloud.PortRange{First: r.FromPort, Last: r.ToPort}, From: cidr})
		}
	}
	return out
}

// Firewalls implements fleet.Firewalls.
func (d *driver) Firewalls(ctx context.Context, ref cloud.ClusterRef) ([]fleet.Firewall, error) {
	all, err := d.c.firewalls(ctx)
	var own []fleet.Firewall
	for _, f := range all {
		if ref.Owns(f.Tags) && (ref.Region == "" || f.Region == ref.Region) {
			own = append(own, portable(f))
		}
	}
	return own, err
}

// rules let this in, sorted by ports.
func rules(open []fleet.Opening) []rule {
	var out []rule
	for _, o := range open {
		i := slices.IndexFunc(out, func(r rule) bool { return r.FromPort == o.Ports.First && r.ToPort == o.Ports.Last })
		if i < 0 {
			i, out = len(out), append(out, rule{FromPort: o.Ports.First, ToPort: o.Ports.Last})
		}
		if !slices.Contains(out[i].CIDRs, o.From) {
			out[i].CIDRs = append(out[i].CIDRs, o.From)
		}
	}
	return out
}

// SetOpenings implements fleet.Firewalls, and sees that the rules are kept.
func (d *driver) SetOpenings(ctx context.Context, f fleet.Firewall, open []fleet.Opening) error {
	want := rules(open)
	if reflect.DeepEqual(f.Native, want) {
		return nil
	}
	policy := d.Poll
	policy.Attempts = d.MissingLooks
	return retry.Do(ctx, policy, func(ctx context.Context) error {
		now, err := d.c.setRules(ctx, f.ID, want)
		if err != nil {
			return retry.Stop(err)
		}
		if !reflect.DeepEqual(now.Rules, want) {
			return fmt.Errorf("the cloud keeps the rules %v", now.Rules)
		}
		return nil
	})
}

// Kinds implements fleet.Things.
func (*driver) Kinds() []cloud.ThingKind {
	return []cloud.ThingKind{cloud.ThingFirewall, cloud.ThingKey}
}

// Things implements fleet.Things.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	var out []cloud.Thing
	add := func(t cloud.Thing, own bool) {
		if own {
			out = append(out, t)
		}
	}
	if kind == cloud.ThingFirewall {
		all, err := d.c.firewalls(ctx)
		for _, f := range all {
			t, own := ref.ThingOf(kind, f.ID, f.Name, f.Tags, f.Region)
			t.CreatedAt = f.CreatedAt
			add(t, own)
		}
		return out, err
	}
	all, err := d.c.sshKeys(ctx)
	for _, k := range all {
		t, own := ref.ThingOf(kind, k.ID, k.Name, k.Tags, "")
		t.CreatedAt = k.CreatedAt
		add(t, own)
	}
	return out, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	if t.Kind == cloud.ThingFirewall {
		return unlessDone(d.c.deleteFirewall(ctx, t.ID))
	}
	return unlessDone(d.c.deleteSSHKey(ctx, t.ID))
}
