// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// resources are what Bootstrap finds or makes, for Create.
type resources struct {
	image, firewall, network, subnet string
	diskGiB                          int
	disk                             string
}

// diskTiers are the profiles of boot volumes by the names that all clouds share.
func diskTiers() map[string]string {
	return map[string]string{"low": "general-purpose", "medium": "5iops-tier", "high": "10iops-tier"}
}

func diskTierNames() []string { return []string{"low", "medium", "high"} }

// checkSpec refuses what IBM Cloud cannot launch.
func checkSpec(spec cloud.ClusterSpec, at cloud.Placement) error {
	switch {
	case at.Offer.Zone == "":
		return fleet.ConfigErrorf(cloud.ScopeRegion, "the placement names no zone")
	case spec.DiskGiB > maxDiskGiB:
		return fleet.ConfigErrorf(cloud.ScopeCloud, "the disk is to have %d GiB; boot volumes of IBM Cloud have %d at most", spec.DiskGiB, maxDiskGiB)
	case !tellsAll(spec.Ref):
		return fleet.ConfigErrorf(cloud.ScopeCloud, "the owner id %q is too long for IBM Cloud, where names say whose floating addresses are: use one of at most 20 small letters, digits and dashes", spec.Ref.Owner)
	case at.Offer.Market == cloud.Spot:
		return fleet.ConfigErrorf(cloud.ScopeCloud, "IBM Cloud tells no price of spot machines, so that none are launched")
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Labels)) {
		if _, err := tagWords(map[string]string{key: spec.Labels[key]}); err != nil {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "label %q: keys on IBM Cloud have %d characters, of which capitals and signs take three each", key, maxTagKey)
		}
	}
	return nil
}

// Bootstrap implements cloud.Provisioner. Nothing in it costs money.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	err := d.Check(spec, at)
	own := struct{ image, vpc string }{vpc: d.vpc}
	res := resources{disk: diskTiers()[spec.DiskTier]}
	if err == nil {
		err = fleet.NodeConfig{"image": fleet.Into(&own.image), "vpc": fleet.Into(&own.vpc)}.Decode("IBM Cloud", spec.NodeConfig)
	}
	if err == nil {
		_, err = d.c.regionsOf(ctx, cloud.ClusterRef{Region: at.Offer.Region})
	}
	if err == nil {
		spec.AllowedCIDRs, err = d.sources(ctx, spec)
	}
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.Image != "" {
		own.image = spec.Image
	}
	region, zone := at.Offer.Region, at.Offer.Zone
	im, err := d.image(ctx, own.image, region)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	res.image, res.diskGiB = im.ID, spec.DiskGiB
	if res.diskGiB == 0 {
		res.diskGiB = max(defaultDiskGiB, im.MinGiB)
	} else if res.diskGiB < im.MinGiB {
		return cloud.RunConfig{}, fleet.ConfigErrorf(cloud.ScopeRegion, "the disk is to have %d GiB; image %s needs %d", res.diskGiB, im.Name, im.MinGiB)
	}
	net, err := d.ensureNetwork(ctx, region, own.vpc)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	res.network = net.ID
	if res.subnet, err = d.ensureSubnet(ctx, region, zone, net, own.vpc == "", len(spec.Nodes)); err != nil {
		return cloud.RunConfig{}, err
	}
	if res.firewall, err = d.ensureFirewall(ctx, spec, region, net.ID); err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, nil
}

// sources are who may reach the machines.
func (d *driver) sources(ctx context.Context, spec cloud.ClusterSpec) ([]netip.Prefix, error) {
	all, err := d.AllowedCIDRs(ctx, spec, fleet.Firewall{})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what to set
	}
	for _, p := range all {
		if !p.Addr().Is4() {
			return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "allowed_cidrs: %s is not IPv4, which is all that IBM Cloud's security groups know", p)
		}
	}
	return all, nil
}

type object = map[string]any

// Create implements fleet.Calls. What says whose the machine is goes with the call:
// the tags of its boot volume, and its name.
func (d *driver) Create(ctx context.Context, order fleet.Order[resources]) (machine, error) {
	id, spec, res, offer := order.Node.Identity, order.Spec, order.Resources, order.Placement.Offer
	words, err := tagWords(tags.Merge(spec.Labels, spec.Marks(id), id.Tags()))
	if err != nil {
		return machine{}, fleet.ConfigErrorf(cloud.ScopeCloud, "%v", err)
	}
	disk := object{"name": order.Name, "capacity": res.diskGiB, "profile": object{"name": cmp.Or(res.disk, "general-purpose")}, "user_tags": words}
	body := d.grouped(object{
		"name": order.Name, "profile": object{"name": offer.InstanceType.Name}, "zone": object{"name": offer.Zone}, "vpc": object{"id": res.network},
		"image": object{"id": res.image}, "user_data": string(order.Node.UserData),
		"boot_volume_attachment": object{"name": mark(spec.Deadline), "delete_volume_on_instance_delete": true, "volume": disk},
		"primary_network_attachment": object{"name": "sky-eth0", "virtual_network_interface": object{
			"name": order.Name, "auto_delete": true, "subnet": object{"id": res.subnet}, "security_groups": []object{{"id": res.firewall}},
		}},
		"metadata_service": object{"enabled": true, "protocol": "http"},
	})
	asked := machine{Name: order.Name, Instance: cloud.Instance{Identity: id, Region: offer.Region, Zone: offer.Zone}}
	var in instance
	err = d.c.do(ctx, offer.Region, http.MethodPost, "/instances", nil, body, &in)
	if hasStatus(err, http.StatusConflict) || isTaken(err) {
		return d.taken(ctx, asked, id, err)
	}
	if err != nil {
		return asked, err
	}
	// What the volume shows counts, not what was sent.
	if kept, kerr := d.tagsOf(ctx, offer.Region, in, refOf(id)); kerr == nil {
		words = kept
	}
	return d.machine(offer.Region, in, words, ""), nil
}

// taken is the machine that has the name of a new one already: that of this identity,
// made by another session or by a call whose answer was lost. Lists may lag.
func (d *driver) taken(ctx context.Context, asked machine, id cloud.Identity, refusal error) (machine, error) {
	looks := d.Poll
	looks.Attempts = 2 * addressTries
	var there machine
	err := retry.Poll(ctx, looks, func(ctx context.Context) (bool, error) {
		var sight fleet.Sight
		var err error
		there, sight, err = d.find(ctx, asked)
		return err == nil && sight == fleet.SightHere, err
	})
	switch {
	case err != nil:
		return asked, refusal
	case there.Identity != id:
		return machine{}, fleet.ConfigErrorf(cloud.ScopeRegion, "the name %s is taken by a machine that is not this cluster's", asked.Name)
	}
	return there, nil
}
