// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"context"
	"errors"
	"net/http"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Kinds implements fleet.Things.
func (*driver) Kinds() []cloud.ThingKind {
	return []cloud.ThingKind{cloud.ThingAddress, cloud.ThingDisk, cloud.ThingFirewall}
}

// Things implements fleet.Things.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	regions, err := d.c.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	list := map[cloud.ThingKind]func(context.Context, string, cloud.ClusterRef) ([]cloud.Thing, error){
		cloud.ThingAddress: d.addressThings, cloud.ThingDisk: d.diskThings, cloud.ThingFirewall: d.firewallThings,
	}[kind]
	return fleet.Across(d.Parallel, regions, func(region string) ([]cloud.Thing, error) { return list(ctx, region, ref) }) //nolint:wrapcheck // it names the call
}

// target is what an address leads to; virtualInterface is the kind that machines have.
type target struct {
	ID   string
	Kind string `json:"resource_type"`
}

const virtualInterface = "virtual_network_interface"

// addressThings are the addresses of machines, known by their names.
func (d *driver) addressThings(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	all, err := listed[address](ctx, d.c, region, "floating_ips", nil)
	var own []cloud.Thing
	for _, a := range all {
		_, id, ok := named(a.Name, ref)
		if !ok || id == nil || a.Status == "deleting" {
			continue
		}
		t, ok := ref.ThingOf(cloud.ThingAddress, a.ID, a.Name, id.Tags(), region)
		if !ok {
			continue
		}
		t.Ref.Zone, t.CreatedAt = a.Zone.Name, a.CreatedAt
		if a.Target != nil && a.Target.Kind != "" && a.Target.Kind != virtualInterface {
			t.InUse = true // somebody has given it to something else
		} else if a.Target != nil { // an interface, which may have lost its machine
			var ierr error
			if t.InUse, ierr = d.inUse(ctx, region, a.Target.ID); ierr != nil {
				return nil, ierr
			}
		}
		own = append(own, t)
	}
	return own, err
}

// inUse reports whether an interface is a machine's.
func (d *driver) inUse(ctx context.Context, region, nic string) (bool, error) {
	var out struct{ Target *byID }
	err := d.c.do(ctx, region, http.MethodGet, "/virtual_network_interfaces/"+nic, nil, nil, &out)
	if errors.Is(err, cloud.ErrNotFound) {
		return false, nil
	}
	return out.Target != nil, err
}

// diskThings are boot volumes. They go with their machines, but for those of launches
// that failed halfway.
func (d *driver) diskThings(ctx context.Context, region string, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	all, err := d.volumes(ctx, region, ref)
	var own []cloud.Thing
	for _, v := range all {
		t, ok := ref.ThingOf(cloud.ThingDisk, v.ID, v.Name, tagsOf(v.Tags), region)
		if ok && v.Status != "pending_deletion" {
			t.Ref.Zone, t.CreatedAt, t.InUse = v.Zone.Name, v.CreatedAt, len(v.Attachments) > 0
			own = append(own, t)
		}
	}
	return own, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	path := map[cloud.ThingKind]string{cloud.ThingAddress: "/floating_ips/", cloud.ThingDisk: "/volumes/", cloud.ThingFirewall: "/security_groups/"}[t.Kind]
	err := d.c.do(ctx, t.Ref.Region, http.MethodDelete, path+t.ID, nil, nil, nil)
	if t.Kind == cloud.ThingFirewall && hasStatus(err, http.StatusConflict) {
		err = errors.Join(err, d.removeInterfaces(ctx, t))
	}
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err
}

// removeInterfaces removes the interfaces that launches of this cluster which failed
// halfway left behind its firewall, by their names. They cost nothing, and keep it
// from going.
func (d *driver) removeInterfaces(ctx context.Context, t cloud.Thing) error {
	behind, err := listedAt[struct {
		ID, Name string
		Kind     string `json:"resource_type"`
	}](ctx, d.c, t.Ref.Region, "/security_groups/"+t.ID+"/targets", "targets")
	if err != nil {
		return err
	}
	for _, b := range behind {
		if _, ours := t.Ref.IdentityOf(b.Name, maxName); b.Kind != virtualInterface || !ours {
			continue
		}
		used, err := d.inUse(ctx, t.Ref.Region, b.ID)
		if err == nil && !used {
			err = d.c.do(ctx, t.Ref.Region, http.MethodDelete, "/virtual_network_interfaces/"+b.ID, nil, nil, nil)
		}
		if err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
	}
	return nil
}
