// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

var _ cloud.Surveyor = (*driver)(nil)

// Survey implements cloud.Surveyor.
func (d *driver) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	machines, err := d.c.instances(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	firewalls, err := d.c.firewalls(ctx)
	if err != nil {
		return nil, fmt.Errorf("list firewalls: %w", err)
	}
	keys, err := d.c.sshKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list SSH keys: %w", err)
	}
	var out []cloud.Thing
	for _, in := range machines {
		t, ok := ref.ThingOf(cloud.ThingMachine, in.ID, in.Name, in.Tags, in.Region)
		if !ok || in.state() == cloud.StateTerminated {
			continue
		}
		t.Ref.Zone, t.CreatedAt, t.Committed = in.Zone, in.CreatedAt, in.Tags[cloud.TagCommitted] != ""
		if in.ExpiresAt != nil {
			t.Deadline = *in.ExpiresAt
		}
		out = append(out, t)
	}
	for _, f := range firewalls {
		if t, ok := ref.ThingOf(cloud.ThingFirewall, f.ID, f.Name, f.Tags, f.Region); ok {
			t.CreatedAt = f.CreatedAt
			out = append(out, t)
		}
	}
	for _, k := range keys {
		if t, ok := ref.ThingOf(cloud.ThingKey, k.ID, k.Name, k.Tags, ""); ok {
			t.CreatedAt = k.CreatedAt
			out = append(out, t)
		}
	}
	return out, nil
}
