// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// OpenPorts implements cloud.Provisioner. SSH always stays open.
func (d *driver) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	own, err := d.ownFirewalls(ctx, ref)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return fmt.Errorf("cluster %q has no firewall: %w", ref.Cluster, cloud.ErrNotFound)
	}
	for _, f := range own {
		if err := d.setRules(ctx, f, rules(cfg.Spec.AllowedCIDRs, ports)); err != nil {
			return err
		}
	}
	return nil
}

// PortDrift implements cloud.Auditor.
func (d *driver) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	own, err := d.ownFirewalls(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return []string{"the firewall is gone"}, nil
	}
	var out []string
	for _, f := range own {
		out = append(out, fleet.Drift(openings(f.Rules), openings(rules(prefixes, ports)))...)
	}
	return out, nil
}

func openings(rules []rule) []string {
	var out []string
	for _, r := range rules {
		for _, cidr := range r.CIDRs {
			out = append(out, fleet.OpeningLine(cloud.PortRange{First: r.FromPort, Last: r.ToPort}.String(), cidr))
		}
	}
	return out
}

// setRules makes the firewall's rules these, and sees that they are.
func (d *driver) setRules(ctx context.Context, f firewall, want []rule) error {
	policy := d.poll
	policy.Attempts = d.missingLooks
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		now, err := d.c.setRules(ctx, f.ID, want)
		if err != nil {
			return retry.Stop(err)
		}
		if !reflect.DeepEqual(now.Rules, want) {
			return fmt.Errorf("the cloud keeps the rules %v", now.Rules)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set the rules of firewall %s: %w", f.Name, err)
	}
	return nil
}

// CleanupPorts implements cloud.Provisioner. It looks again after it deleted,
// until it sees nothing twice.
func (d *driver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	if ref.Owner == "" {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	quiet, refused := 0, 0
	return retry.Poll(ctx, d.poll, func(ctx context.Context) (bool, error) {
		left, inUse, err := d.deleteGroups(ctx, ref)
		switch {
		case err != nil:
			return false, retry.Stop(err)
		case left == 0:
			quiet++
			return quiet >= d.quietLooks, nil
		case inUse == nil:
			return false, nil
		}
		// A firewall is in use until the last machine behind it is gone. That
		// will come, unless the machine is alive and well; one look may lag.
		if user := d.user(ctx, ref); user == "" {
			refused = 0
		} else if refused++; refused >= d.missingLooks {
			return false, retry.Stop(fmt.Errorf("machine %s still runs: %w", user, inUse))
		}
		return false, inUse
	})
}

// deleteGroups deletes the cluster's firewalls and keys and returns how many
// there were to delete. Refusals because of use come apart from other errors.
func (d *driver) deleteGroups(ctx context.Context, ref cloud.ClusterRef) (left int, inUse, err error) {
	firewalls, err := d.ownFirewalls(ctx, ref)
	if err != nil {
		return 0, nil, err
	}
	keys, err := d.ownSSHKeys(ctx, ref)
	if err != nil {
		return 0, nil, err
	}
	var errs []error
	note := func(name string, err error) {
		switch {
		case err == nil || errors.Is(err, cloud.ErrNotFound):
		case hasCode(err, codeInUse):
			inUse = fmt.Errorf("delete %s: %w", name, err)
		default:
			errs = append(errs, fmt.Errorf("delete %s: %w", name, err))
		}
	}
	for _, f := range firewalls {
		note("firewall "+f.Name, d.c.deleteFirewall(ctx, f.ID))
	}
	for _, k := range keys {
		note("SSH key "+k.Name, d.c.deleteSSHKey(ctx, k.ID))
	}
	return len(firewalls) + len(keys), inUse, errors.Join(errs...)
}

func (d *driver) ownFirewalls(ctx context.Context, ref cloud.ClusterRef) ([]firewall, error) {
	all, err := d.c.firewalls(ctx)
	if err != nil {
		return nil, fmt.Errorf("list firewalls: %w", err)
	}
	var own []firewall
	for _, f := range all {
		if ref.Owns(f.Tags) && (ref.Region == "" || f.Region == ref.Region) {
			own = append(own, f)
		}
	}
	return own, nil
}

func (d *driver) ownSSHKeys(ctx context.Context, ref cloud.ClusterRef) ([]sshKey, error) {
	all, err := d.c.sshKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list SSH keys: %w", err)
	}
	return slices.DeleteFunc(all, func(k sshKey) bool { return !ref.Owns(k.Tags) }), nil
}

// user returns a machine of the cluster that nobody is removing.
func (d *driver) user(ctx context.Context, ref cloud.ClusterRef) string {
	ref.Instances = nil
	found, err := d.look(ctx, ref)
	if err != nil {
		return ""
	}
	for _, m := range found.live() {
		if m.state() != cloud.StateTerminating {
			return m.ID
		}
	}
	return ""
}
