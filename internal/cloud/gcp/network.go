// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

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

// callers are who may reach machines without external addresses: all private ones.
func (d *driver) callers(_ context.Context, spec cloud.ClusterSpec, _ fleet.Firewall) ([]netip.Prefix, error) {
	s, err := d.defaults.of(spec)
	if err != nil || !s.internalIPs {
		return nil, err
	}
	return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}, nil
}
