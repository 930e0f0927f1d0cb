// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// Names of what Bootstrap finds or makes.
const (
	resourceImage    = "image"
	resourceImageGiB = "image_gib"
	resourceUEFI     = "image_uefi"
	resourceNetwork  = "network"
	resourceSubnet   = "subnetwork"
	resourceTag      = "network_tag"
)

// Bootstrap implements cloud.Provisioner: it finds the image and the network,
// and finds or makes the cluster's firewall rules.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := checkSpec(spec, at); err != nil {
		return cloud.RunConfig{}, err
	}
	s, err := d.defaults.of(spec)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	shape, err := shapeOf(at.Offer.InstanceType)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	img, err := d.image(ctx, spec.Image, at.Offer.InstanceType, shape)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.DiskGiB != 0 && int64(spec.DiskGiB) < img.diskGiB {
		return cloud.RunConfig{}, fleet.ConfigErrorf(cloud.ScopeRegion, "disk_size is %d GiB, and image %s needs %d", spec.DiskGiB, lastPart(img.link), img.diskGiB)
	}
	net, err := d.network(ctx, at.Offer.Region, s)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.AllowedCIDRs, err = d.cidrs(ctx, s, spec.AllowedCIDRs); err != nil {
		return cloud.RunConfig{}, err
	}
	cfg := cloud.RunConfig{
		Spec:      spec,
		Placement: at,
		Resources: map[string]string{
			resourceImage:    img.link,
			resourceImageGiB: strconv.FormatInt(img.diskGiB, 10),
			resourceUEFI:     strconv.FormatBool(img.uefi),
			resourceNetwork:  net.network,
			resourceSubnet:   net.subnetwork,
			resourceTag:      groupName(spec.Ref),
		},
	}
	return cfg, d.ensureFirewall(ctx, cfg, s)
}

// groupName is the network tag of a cluster's machines, and the beginning of
// its firewall rules' names.
func groupName(ref cloud.ClusterRef) string { return ref.Name(maxNameLength - ruleEnding) }

// network is where machines of a cluster are put, as partial URLs.
type network struct{ network, subnetwork string }

// network finds the network, and the subnetwork in the region where the
// network does not have exactly one of its own there. It makes nothing.
func (d *driver) network(ctx context.Context, region string, s settings) (network, error) {
	if s.subnetwork != "" {
		return d.subnetwork(ctx, region, s)
	}
	project, name := d.owner(s.network, "default")
	net, err := call(ctx, d.c, "look up network "+name, func(ctx context.Context) (*compute.Network, error) {
		return d.c.api.getNetwork(ctx, project, name)
	})
	switch {
	case isNotFound(err) && s.network == "":
		return network{}, fleet.ConfigErrorf(cloud.ScopeCloud, "project %s has no default network: set network, or subnetwork", d.c.project)
	case isNotFound(err):
		return network{}, fleet.ConfigErrorf(cloud.ScopeCloud, "there is no network %q in project %s", name, project)
	case err != nil:
		return network{}, err
	}
	link := "projects/" + project + "/global/networks/" + name
	if net.AutoCreateSubnetworks {
		return network{network: link}, nil
	}
	var here []string
	for _, sub := range net.Subnetworks {
		if strings.Contains(sub, "/regions/"+region+"/") {
			here = append(here, sub[strings.Index(sub, "projects/"):])
		}
	}
	slices.Sort(here)
	switch len(here) {
	case 0:
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "network %s has no subnetwork in %s", name, region)
	case 1:
		return network{network: link, subnetwork: here[0]}, nil
	}
	return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "network %s has %d subnetworks in %s: set subnetwork", name, len(here), region)
}

func (d *driver) subnetwork(ctx context.Context, region string, s settings) (network, error) {
	project, name := d.owner(s.subnetwork, "")
	if parts := strings.Split(s.subnetwork, "/"); len(parts) == 6 && parts[3] != region {
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "subnetwork %s is not in %s", s.subnetwork, region)
	}
	sub, err := call(ctx, d.c, "look up subnetwork "+name+" in "+region, func(ctx context.Context) (*compute.Subnetwork, error) {
		return d.c.api.getSubnetwork(ctx, project, region, name)
	})
	if isNotFound(err) {
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no subnetwork %q in %s of project %s", name, region, project)
	}
	if err != nil {
		return network{}, err
	}
	if s.network != "" && lastPart(sub.Network) != lastPart(s.network) {
		return network{}, fleet.ConfigErrorf(cloud.ScopeRegion, "subnetwork %s belongs to network %s, not %s", name, lastPart(sub.Network), s.network)
	}
	link := sub.Network
	if i := strings.Index(link, "projects/"); i >= 0 {
		link = link[i:]
	}
	return network{network: link, subnetwork: "projects/" + project + "/regions/" + region + "/subnetworks/" + name}, nil
}

// owner divides a name or a partial URL into project and name.
func (d *driver) owner(link, fallback string) (project, name string) {
	project, name = d.c.project, lastPart(link)
	if parts := strings.Split(link, "/"); len(parts) > 1 && parts[0] == "projects" {
		project = parts[1]
	}
	if name == "" {
		name = fallback
	}
	return project, name
}

// cidrs are the prefixes that may reach the machines: those asked for, else the
// caller's address; from within the network, all of its private addresses.
func (d *driver) cidrs(ctx context.Context, s settings, asked []netip.Prefix) ([]netip.Prefix, error) {
	if len(asked) > 0 {
		return asked, nil
	}
	if s.internalIPs {
		return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}, nil
	}
	addr, err := fleet.CallerAddress(ctx, d.callerSource)
	if err != nil {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "cannot tell the address from which SSH is to be allowed, so say it with allowed_cidrs: %v", err)
	}
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, nil
}

// found is what Bootstrap found or made.
func found(cfg cloud.RunConfig) map[string]string {
	res, _ := cfg.Resources.(map[string]string)
	return res
}
