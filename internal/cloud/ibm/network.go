// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// networkName is that of the VPC which the driver makes where none is named, and the
// begin of its subnets' names. One serves all clusters of an account and stays: an
// account may have few, and they cost nothing.
const networkName = "terraform-provider-sky"

// subnetSize is how many addresses a subnet of ours has.
const subnetSize = 4096

type (
	network struct{ ID, Name, Status string }
	subnet  struct {
		ID, Name, Status string
		Zone             byName
		VPC              byID
		Free             int `json:"available_ipv4_address_count"`
	}
)

// ready is what a VPC or a subnet is once things can be put in it.
const ready = "available"

// ensureNetwork finds the VPC that is named, or finds or makes ours.
func (d *driver) ensureNetwork(ctx context.Context, region, asked string) (network, error) {
	name := cmp.Or(asked, networkName)
	find := func(ctx context.Context) (network, bool, error) {
		all, err := listed[network](ctx, d.c, region, "vpcs", nil)
		i := slices.IndexFunc(all, func(n network) bool { return n.Name == name || n.ID == name })
		if err != nil || i < 0 {
			return network{}, false, err
		}
		return all[i], all[i].Status == ready, nil
	}
	if asked != "" {
		found, ok, err := find(ctx)
		if err == nil && !ok {
			err = fleet.ConfigErrorf(cloud.ScopeRegion, "there is no VPC %q in %s: make it, with a subnet in each zone that is to be used, or leave vpc out", asked, region)
		}
		return found, err
	}
	return fleet.FindOrMake(ctx, d.Poll, "VPC "+name, find, func(ctx context.Context) error { //nolint:wrapcheck // it names the VPC
		return d.unlessThere(ctx, func(ctx context.Context) (bool, error) { n, _, err := find(ctx); return n.ID != "", err },
			d.c.do(ctx, region, http.MethodPost, "/vpcs", nil, d.grouped(map[string]any{"name": name}), nil))
	})
}

// unlessThere is the error of a call that was to make a thing, unless it is there:
// it takes a while to be ready, another session may have been faster, and an
// answer may have been lost.
func (d *driver) unlessThere(ctx context.Context, there func(context.Context) (bool, error), err error) error {
	if err == nil {
		return nil
	}
	if ok, lerr := there(ctx); lerr == nil && ok {
		return nil
	}
	if hasStatus(err, http.StatusConflict) || d.Classify(err).Kind == cloud.KindTransient {
		return nil // lists may lag; who looks for it finds out
	}
	return err
}

// ensureSubnet finds a subnet of the VPC in the zone that has room; in our own VPC it
// makes one.
func (d *driver) ensureSubnet(ctx context.Context, region, zone string, in network, own bool, nodes int) (string, error) {
	var there []subnet
	find := func(ctx context.Context) (subnet, bool, error) {
		all, err := listed[subnet](ctx, d.c, region, "subnets", url.Values{"vpc.id": {in.ID}})
		there = slices.DeleteFunc(all, func(s subnet) bool { return s.Zone.Name != zone || s.VPC.ID != in.ID })
		i := slices.IndexFunc(there, func(s subnet) bool { return s.Status == ready && s.Free >= nodes })
		if err != nil || i < 0 {
			return subnet{}, false, err
		}
		return there[i], true, nil
	}
	found, ok, err := find(ctx)
	full := slices.ContainsFunc(there, func(s subnet) bool { return s.Status == ready })
	switch {
	case err != nil || ok:
		return found.ID, err
	case full:
		return "", fleet.ConfigErrorf(cloud.ScopeZone, "the subnets of VPC %q in %s have no %d addresses left", in.Name, zone, nodes)
	case !own:
		return "", fleet.ConfigErrorf(cloud.ScopeZone, "VPC %q has no subnet in %s: make one", in.Name, zone)
	}
	name := networkName + "-" + zone
	found, err = fleet.FindOrMake(ctx, d.Poll, "subnet "+name, find, func(ctx context.Context) error {
		return d.unlessThere(ctx, func(ctx context.Context) (bool, error) { _, _, err := find(ctx); return len(there) > 0, err },
			d.c.do(ctx, region, http.MethodPost, "/subnets", nil, d.grouped(map[string]any{
				"name": name, "vpc": map[string]string{"id": in.ID}, "zone": map[string]string{"name": zone}, "total_ipv4_address_count": subnetSize,
			}), nil))
	})
	return found.ID, err //nolint:wrapcheck // it names the subnet
}

// grouped puts what is made into the resource group.
func (d *driver) grouped(body map[string]any) map[string]any {
	if d.group != "" {
		body["resource_group"] = map[string]string{"id": d.group}
	}
	return body
}
