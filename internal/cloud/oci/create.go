// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/core"
	"github.com/oracle/oci-go-sdk/v65/identity"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// resources are what Bootstrap finds or makes, for Create.
type resources struct {
	settings
	shape  shape
	image  string
	subnet string
	// group is the cluster's network security group.
	group string
	// places are the availability domains to be tried in turn.
	places []fleet.Place
}

// Bootstrap implements cloud.Provisioner. Nothing in it costs money.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := d.Check(spec, at); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what is wrong
	}
	res, offer := resources{}, at.Offer
	var err error
	if res.settings, err = d.defaults.of(spec); err != nil {
		return cloud.RunConfig{}, err
	}
	if len(d.c.regions(offer.Region)) == 0 {
		return cloud.RunConfig{}, notSubscribed(offer.Region)
	}
	if res.shape, err = shapeOf(offer.InstanceType.Name); err != nil {
		return cloud.RunConfig{}, err
	}
	if err = d.chooseImage(ctx, spec, offer, &res); err != nil {
		return cloud.RunConfig{}, err
	}
	net, err := d.network(ctx, offer.Region, res.settings)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	res.subnet = net.subnet
	if res.places, err = d.places(ctx, offer, net); err != nil {
		return cloud.RunConfig{}, err
	}
	if res.places, err = d.withRoom(ctx, spec, offer, res); err != nil {
		return cloud.RunConfig{}, err
	}
	fw, err := d.ensureGroup(ctx, spec.Ref, offer.Region, net)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	res.group = fw.ID
	if spec.AllowedCIDRs, err = d.AllowedCIDRs(ctx, spec, fw); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what would help
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, d.OpenFirewall(ctx, spec, fw)
}

// chooseImage finds the image, and refuses a disk that is too small for it.
func (d *driver) chooseImage(ctx context.Context, spec cloud.ClusterSpec, offer cloud.Offer, res *resources) error {
	im, err := d.image(ctx, spec.Image, offer, res.shape)
	if err != nil {
		return err
	}
	res.image = value(im.Id)
	if gib := (value(im.SizeInMBs) + 1023) / 1024; spec.DiskGiB != 0 && int64(spec.DiskGiB) < gib {
		return fleet.ConfigErrorf(cloud.ScopeRegion, "disk_size is %d GiB, and image %s needs %d", spec.DiskGiB, value(im.DisplayName), gib)
	}
	return nil
}

// availabilityDomains are those of a region, by the names they have in this tenancy.
func (d *driver) availabilityDomains(ctx context.Context, region string) ([]string, error) {
	d.c.mu.Lock()
	known := d.c.domains[region]
	d.c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	out, err := call(ctx, d.c, "list availability domains", region, func(ctx context.Context, r *regional) (identity.ListAvailabilityDomainsResponse, error) {
		return r.ident.ListAvailabilityDomains(ctx, identity.ListAvailabilityDomainsRequest{CompartmentId: &d.c.creds.tenancy})
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(out.Items))
	for _, one := range out.Items {
		names = append(names, value(one.Name))
	}
	slices.Sort(names)
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	d.c.domains[region] = names
	return names, nil
}

// isDomain reports that a catalog's zone is this domain: catalogs leave out what a
// tenancy has before the colon.
func isDomain(domain, zone string) bool {
	_, rest, _ := strings.Cut(domain, ":")
	return strings.EqualFold(domain, zone) || strings.EqualFold(rest, zone) || strings.HasSuffix(strings.ToLower(domain), "-"+strings.ToLower(zone))
}

// zone implements fleet.Hooks.Zone.
func (d *driver) zone(ctx context.Context, region, zone string) (string, error) {
	if len(d.c.regions(region)) == 0 {
		return zone, nil
	}
	names, err := d.availabilityDomains(ctx, region)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(names, func(name string) bool { return isDomain(name, zone) }); i >= 0 {
		return names[i], nil
	}
	return zone, nil
}

// places are the availability domains that an offer and a subnet leave.
func (d *driver) places(ctx context.Context, offer cloud.Offer, net network) ([]fleet.Place, error) {
	names, err := d.availabilityDomains(ctx, offer.Region)
	if err != nil {
		return nil, err
	}
	var out []fleet.Place
	for _, name := range names {
		if (offer.Zone == "" || isDomain(name, offer.Zone)) && (net.domain == "" || net.domain == name) {
			out = append(out, fleet.Place{ID: name, Zone: name})
		}
	}
	if len(out) == 0 {
		return nil, fleet.ConfigErrorf(cloud.ScopeZone, "there is no availability domain %q in %s for subnet %s; there are %s", offer.Zone, offer.Region, net.subnet, joined(names))
	}
	return out, nil
}

// withRoom leaves out the domains that have no room by Oracle's report; to ask is
// free. Machines that are there need none. A question that is not answered, for a
// shape that reports do not know or a user who may not ask, says nothing.
func (d *driver) withRoom(ctx context.Context, spec cloud.ClusterSpec, offer cloud.Offer, res resources) ([]fleet.Place, error) {
	ref := spec.Ref
	ref.Region = offer.Region
	found, err := d.Look(ctx, ref)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what was looked for
	}
	there := found.Staying()
	if !slices.ContainsFunc(spec.Nodes, func(n cloud.NodeSpec) bool {
		return !slices.ContainsFunc(there, func(m machine) bool { return m.Identity == n.Identity })
	}) {
		return res.places, nil
	}
	var with []fleet.Place
	var without []string
	for _, p := range res.places {
		switch full, err := d.isFull(ctx, offer.Region, p.Zone, res.shape); {
		case ctx.Err() != nil:
			return nil, err
		case err == nil && full != "":
			without = append(without, p.Zone+" ("+full+")")
		default:
			with = append(with, p)
		}
	}
	if len(with) == 0 {
		return nil, &noRoomError{fmt.Sprintf("Oracle has no room for %s, it reports, in %s", offer.InstanceType.Name, joined(without))}
	}
	return with, nil
}

// isFull is Oracle's word for it that a domain has no room for a shape.
func (d *driver) isFull(ctx context.Context, region, domain string, s shape) (string, error) {
	ask := core.CreateCapacityReportShapeAvailabilityDetails{InstanceShape: &s.name}
	if s.ocpus > 0 {
		ask.InstanceShapeConfig = &core.CapacityReportInstanceShapeConfig{Ocpus: &s.ocpus, MemoryInGBs: &s.memoryGiB}
	}
	out, err := call(ctx, d.c, "report capacity for "+s.name, region, func(ctx context.Context, r *regional) (core.CreateComputeCapacityReportResponse, error) {
		// Reports are made in the tenancy's root.
		return r.compute.CreateComputeCapacityReport(ctx, core.CreateComputeCapacityReportRequest{
			CreateComputeCapacityReportDetails: core.CreateComputeCapacityReportDetails{
				CompartmentId: &d.c.creds.tenancy, AvailabilityDomain: &domain, ShapeAvailabilities: []core.CreateCapacityReportShapeAvailabilityDetails{ask},
			},
			OpcRetryToken: common.String(common.RetryToken()),
		})
	})
	full := ""
	for _, one := range out.ShapeAvailabilities {
		if one.AvailabilityStatus == core.CapacityReportShapeAvailabilityAvailabilityStatusAvailable {
			return "", err
		}
		full = string(one.AvailabilityStatus)
	}
	return full, err
}

// Create implements fleet.Calls. The retry token makes it safe to ask again; what
// says whose the machine is goes with the call.
func (d *driver) Create(ctx context.Context, order fleet.Order[resources]) (machine, error) {
	id, region := order.Node.Identity, order.Placement.Offer.Region
	details, err := d.details(order)
	if err != nil {
		return machine{}, err
	}
	// A token is of one domain: a machine that was made in another and taken back must
	// not stand in the way of this one.
	once := token(0, id.Token(), order.Place.Zone)
	var doubt error
	out, err := call(ctx, d.c, "launch "+order.Name, region, func(ctx context.Context, r *regional) (core.LaunchInstanceResponse, error) {
		out, err := r.compute.LaunchInstance(ctx, core.LaunchInstanceRequest{LaunchInstanceDetails: details, OpcRetryToken: once})
		if err != nil && !d.Refused(plain(err)) {
			doubt = err
		}
		return out, err //nolint:wrapcheck // call does
	})
	if err != nil && doubt != nil && d.Refused(err) && !table().HasCode(err, codeSpent) {
		err = &unsettledError{first: plain(doubt), last: err}
	}
	if table().HasCode(err, codeSpent) {
		return machine{}, fmt.Errorf("%w: %w", cloud.ErrSpent, err)
	}
	if err != nil {
		return machine{}, err
	}
	return d.machine(region, out.Instance), nil
}

// details are the body of a launch.
func (d *driver) details(order fleet.Order[resources]) (core.LaunchInstanceDetails, error) {
	spec, res, name := order.Spec, order.Resources, order.Name+unrecorded
	own := ownTags(spec, order.Node.Identity)
	if res.internalIPs {
		own[tagInternal] = "true"
	}
	held, err := encodeTags(own)
	if err != nil {
		return core.LaunchInstanceDetails{}, err
	}
	disk := int64(defaultDiskGiB)
	if spec.DiskGiB != 0 {
		disk = int64(spec.DiskGiB)
	}
	in := core.LaunchInstanceDetails{
		AvailabilityDomain: &order.Place.Zone, CompartmentId: &d.c.compartment, DisplayName: &name, FreeformTags: held, Shape: &res.shape.name,
		SourceDetails:     core.InstanceSourceViaImageDetails{ImageId: &res.image, BootVolumeSizeInGBs: &disk, BootVolumeVpusPerGB: common.Int64(diskTiers()[res.diskTier])},
		CreateVnicDetails: &core.CreateVnicDetails{SubnetId: &res.subnet, NsgIds: []string{res.group}, AssignPublicIp: common.Bool(!res.internalIPs)},
		Metadata:          metadata(spec, order.Node.UserData),
		InstanceOptions:   &core.InstanceOptions{AreLegacyImdsEndpointsDisabled: common.Bool(true)},
	}
	if res.shape.ocpus > 0 {
		in.ShapeConfig = &core.LaunchInstanceShapeConfigDetails{Ocpus: &res.shape.ocpus, MemoryInGBs: &res.shape.memoryGiB}
	}
	if order.Placement.Offer.Market == cloud.Spot {
		in.PreemptibleInstanceConfig = &core.PreemptibleInstanceConfigDetails{PreemptionAction: core.TerminatePreemptionAction{PreserveBootVolume: common.Bool(false)}}
	}
	return in, nil
}

// callers are who may reach machines without public addresses: all private ones.
func (d *driver) callers(_ context.Context, spec cloud.ClusterSpec, _ fleet.Firewall) ([]netip.Prefix, error) {
	s, err := d.defaults.of(spec)
	if err != nil || !s.internalIPs {
		return nil, err
	}
	return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}, nil
}
