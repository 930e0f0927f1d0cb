// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// resources are the ids of what Bootstrap found or made.
type resources struct {
	image, firewall string
	keys            []string
}

// Bootstrap implements cloud.Provisioner: it finds the image, and finds or
// makes the cluster's SSH keys and the cluster's firewall in the region.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := d.Check(spec, at); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what is wrong
	}
	img, err := d.image(ctx, spec.Image, at.Offer.InstanceType)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if len(spec.AllowedCIDRs) == 0 {
		spec.AllowedCIDRs = thisComputer()
	}
	res := resources{image: img.ID}
	if res.keys, err = d.ensureSSHKeys(ctx, spec); err != nil {
		return cloud.RunConfig{}, err
	}
	fw, err := d.ensureFirewall(ctx, spec.Ref, at.Offer.Region)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	res.firewall = fw.ID
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, d.OpenFirewall(ctx, spec, fw)
}

// Create implements fleet.Calls.
func (d *driver) Create(ctx context.Context, o fleet.Order[resources]) (machine, error) {
	in, err := d.c.launch(ctx, request(o))
	if err != nil {
		return machine{}, err
	}
	return newMachine(in), checkPrice(in, o)
}

func request(o fleet.Order[resources]) launchRequest {
	offer, id := o.Placement.Offer, o.Node.Identity
	req := launchRequest{
		Name:         id.Name(maxNameLength),
		ClientToken:  id.Token(),
		Region:       offer.Region,
		Zone:         offer.Zone,
		InstanceType: offer.InstanceType.Name,
		Image:        o.Resources.image,
		Market:       string(offer.Market),
		DiskGiB:      o.Spec.DiskGiB,
		UserData:     o.Node.UserData,
		SSHKeyIDs:    append([]string{}, o.Resources.keys...),
		FirewallID:   o.Resources.firewall,
		Tags:         tags.Merge(o.Spec.Labels, o.Spec.Marks(id), id.Tags()),
	}
	if offer.Market == cloud.Spot {
		req.MaxPriceUSD = o.Spec.MaxMachineUSD
	}
	if !o.Spec.Deadline.IsZero() {
		deadline := o.Spec.Deadline.UTC().Truncate(time.Second)
		req.ExpiresAt = &deadline
	}
	return req
}

// priceError says that a machine costs more than it may.
type priceError struct {
	id         string
	got, limit float64
}

func (e *priceError) Error() string {
	return fmt.Sprintf("machine %s costs $%.4f an hour, which is more than $%.4f", e.id, e.got, e.limit)
}

// Fault is what it means: elsewhere it may cost less.
func (e *priceError) Fault() cloud.Fault {
	return cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
}

// checkPrice refuses a machine above the spec's bound, or, where there is no
// bound, one that costs more than a fixed price was said to be.
func checkPrice(in instance, o fleet.Order[resources]) error {
	const slack = 1.0001
	limit := o.Spec.MaxMachineUSD
	if offer := o.Placement.Offer; limit <= 0 && offer.Market != cloud.Spot {
		limit = offer.HourlyUSD
	}
	if limit > 0 && in.HourlyUSD > limit*slack {
		return &priceError{id: in.ID, got: in.HourlyUSD, limit: limit}
	}
	return nil
}
