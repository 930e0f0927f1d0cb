// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
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
		if err := d.c.setRules(ctx, f.ID, rules(cfg.Spec.AllowedCIDRs, ports)); err != nil {
			return fmt.Errorf("set the rules of firewall %s: %w", f.Name, err)
		}
	}
	return nil
}

// CleanupPorts implements cloud.Provisioner. A firewall is in use until the
// last machine behind it is gone, so a refusal is repeated, unless the machine
// is alive and well.
func (d *driver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	if ref.Owner == "" {
		return configError("the cluster reference names no owner")
	}
	return errors.Join(d.cleanupFirewalls(ctx, ref), d.cleanupSSHKeys(ctx, ref))
}

func (d *driver) ownFirewalls(ctx context.Context, ref cloud.ClusterRef) ([]firewall, error) {
	all, err := d.c.firewalls(ctx)
	if err != nil {
		return nil, fmt.Errorf("list firewalls: %w", err)
	}
	var own []firewall
	for _, f := range all {
		if ownsGroup(ref, f.Tags) && (ref.Region == "" || f.Region == ref.Region) {
			own = append(own, f)
		}
	}
	return own, nil
}

func (d *driver) cleanupFirewalls(ctx context.Context, ref cloud.ClusterRef) error {
	own, err := d.ownFirewalls(ctx, ref)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range own {
		if err := d.deleteFirewall(ctx, ref, f); err != nil {
			errs = append(errs, fmt.Errorf("delete firewall %s: %w", f.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (d *driver) deleteFirewall(ctx context.Context, ref cloud.ClusterRef, f firewall) error {
	refused := 0
	return retry.Poll(ctx, d.poll, func(ctx context.Context) (bool, error) {
		err := d.c.deleteFirewall(ctx, f.ID)
		switch {
		case err == nil || errors.Is(err, cloud.ErrNotFound):
			return true, nil
		case !hasCode(err, codeInUse):
			return false, retry.Stop(err)
		}
		// A listing may lag behind a termination, so one look does not count.
		if user := d.user(ctx, ref, f.ID); user == "" {
			refused = 0
		} else if refused++; refused >= d.missingLooks {
			return false, retry.Stop(fmt.Errorf("machine %s still runs behind it: %w", user, err))
		}
		return false, err
	})
}

// user returns a machine behind the firewall that nobody is removing.
func (d *driver) user(ctx context.Context, ref cloud.ClusterRef, firewallID string) string {
	ref.Instances = nil
	found, err := d.look(ctx, ref)
	if err != nil {
		return ""
	}
	for _, m := range found.live() {
		if m.FirewallID == firewallID && m.state() != cloud.StateTerminating {
			return m.ID
		}
	}
	return ""
}

func (d *driver) cleanupSSHKeys(ctx context.Context, ref cloud.ClusterRef) error {
	keys, err := d.c.sshKeys(ctx)
	if err != nil {
		return fmt.Errorf("list SSH keys: %w", err)
	}
	var errs []error
	for _, k := range keys {
		if !ownsGroup(ref, k.Tags) {
			continue
		}
		if err := d.c.deleteSSHKey(ctx, k.ID); err != nil && !errors.Is(err, cloud.ErrNotFound) {
			errs = append(errs, fmt.Errorf("delete SSH key %s: %w", k.Name, err))
		}
	}
	return errors.Join(errs...)
}
