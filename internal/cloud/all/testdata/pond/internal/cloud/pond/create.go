// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// defaultImage runs where nothing else is asked for.
const defaultImage = "ubuntu-24-04-x64"

// guide: create

// resources are what Bootstrap finds or makes, for Create.
type resources struct {
	image, firewall string
}

// Bootstrap implements cloud.Provisioner. Nothing in it costs money.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := d.Check(spec, at); err != nil {
		return cloud.RunConfig{}, err
	}
	res := resources{image: cmp.Or(spec.Image, defaultImage)}
	config := fleet.NodeConfig{"image": fleet.Into(&res.image)}
	if err := config.Decode("Pond", spec.NodeConfig); err != nil {
		return cloud.RunConfig{}, err
	}
	var err error
	if spec.AllowedCIDRs, err = d.AllowedCIDRs(ctx, spec, fleet.Firewall{}); err != nil {
		return cloud.RunConfig{}, err
	}
	if res.firewall, err = d.ensureFirewall(ctx, spec); err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, nil
}

// Create implements fleet.Calls. All that says whose the machine is goes with
// the call: what comes after it may never come.
func (d *driver) Create(ctx context.Context, order fleet.Order[resources]) (machine, error) {
	id, spec := order.Node.Identity, order.Spec
	words := []string{order.Resources.firewall}
	for key, value := range tags.Merge(spec.Labels, spec.Marks(id), id.Tags()) {
		words = append(words, tag(key, value))
	}
	slices.Sort(words)
	var out struct{ Droplet droplet }
	err := d.c.Do(ctx, http.MethodPost, "/v2/droplets", nil, map[string]any{
		"name": id.Name(Factory{}.Capabilities().MaxNameLength), "region": order.Placement.Offer.Region, "size": order.Placement.Offer.InstanceType.Name,
		"image": order.Resources.image, "user_data": string(order.Node.UserData), "tags": words,
	}, &out)
	if err != nil {
		return machine{}, err
	}
	return newMachine(out.Droplet), nil
}

// guide: end

// guide: ensure

// ensureFirewall finds or makes the cluster's firewall, lets in whom the spec
// says, and returns the tag of the machines behind it.
func (d *driver) ensureFirewall(ctx context.Context, spec cloud.ClusterSpec) (string, error) {
	name := firewallName(spec.Ref)
	have, err := fleet.FindOrMake(ctx, d.Poll, "firewall "+name, func(ctx context.Context) (fleet.Firewall, bool, error) {
		own, err := d.Firewalls(ctx, spec.Ref)
		if err != nil || len(own) == 0 {
			return fleet.Firewall{}, false, err
		}
		return own[0], true, nil
	}, func(ctx context.Context) error {
		err := d.c.Do(ctx, http.MethodPost, "/v2/firewalls", nil, firewallOf(name, d.Openings(spec.AllowedCIDRs, spec.Ports)), nil)
		if table().HasCode(err, "conflict") {
			return nil // another session was faster
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return name, d.OpenFirewall(ctx, spec, have)
}

// guide: end
