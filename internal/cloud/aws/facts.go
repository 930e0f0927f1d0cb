// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// facts are what AWS says about places and types; they do not change while a
// provider process lives.
type facts struct {
	zones cache[[]zone]
	types cache[typeInfo]
}

// zone is an availability zone. Its name belongs to the account, its id to AWS:
// one name is different places for different accounts.
type zone struct{ name, id string }

func (d *driver) zones(ctx context.Context, region string) ([]zone, error) {
	return d.facts.zones.get(region, func() ([]zone, error) {
		out, err := d.c.in(region).DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{
			Filters: []types.Filter{filter("zone-type", "availability-zone")},
		})
		if err != nil {
			return nil, fmt.Errorf("list the zones of %s: %w", region, err)
		}
		var all []zone
		for _, z := range out.AvailabilityZones {
			all = append(all, zone{name: aws.ToString(z.ZoneName), id: aws.ToString(z.ZoneId)})
		}
		slices.SortFunc(all, func(a, b zone) int { return strings.Compare(a.name, b.name) })
		if len(all) == 0 {
			return nil, fmt.Errorf("list the zones of %s: there are none", region)
		}
		return all, nil
	})
}

// zoneName turns a zone's id, which catalogs hold, into the account's name for
// it. A name stays what it is.
func (d *driver) zoneName(ctx context.Context, region, want string) (string, error) {
	if want == "" || region == "" || strings.HasPrefix(want, region) {
		return want, nil
	}
	all, err := d.zones(ctx, region)
	if err != nil {
		return "", err
	}
	var names []string
	for _, z := range all {
		if z.id == want || z.name == want {
			return z.name, nil
		}
		names = append(names, z.name+" ("+z.id+")")
	}
	return "", fleet.ConfigErrorf(cloud.ScopeZone, "region %s has no zone %q; there are %s", region, want, strings.Join(names, ", "))
}

// typeInfo is what the driver needs to know of an instance type.
type typeInfo struct {
	name string
	arch string // as in images: "x86_64" or "arm64"
	// accelerator is the maker of the devices: "nvidia", "neuron" or "".
	accelerator string
	// efaCards are the network cards that have EFA.
	efaCards  int
	noSpot    bool
	burstable bool
}

func (d *driver) typeInfo(ctx context.Context, region, name string) (typeInfo, error) {
	return d.facts.types.get(region+"/"+name, func() (typeInfo, error) {
		out, err := d.c.in(region).DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{
			InstanceTypes: []types.InstanceType{types.InstanceType(name)},
		})
		switch {
		case err != nil:
			return typeInfo{}, fmt.Errorf("look up instance type %s in %s: %w", name, region, err)
		case len(out.InstanceTypes) == 0:
			return typeInfo{}, fleet.ConfigErrorf(cloud.ScopeRegion, "region %s has no instance type %s", region, name)
		}
		return newTypeInfo(out.InstanceTypes[0]), nil
	})
}

func newTypeInfo(in types.InstanceTypeInfo) typeInfo {
	t := typeInfo{name: string(in.InstanceType), arch: string(types.ArchitectureValuesX8664)}
	if in.ProcessorInfo != nil {
		if archs := in.ProcessorInfo.SupportedArchitectures; len(archs) > 0 && !slices.Contains(archs, types.ArchitectureTypeX8664) {
			t.arch = string(archs[0])
		}
	}
	if in.GpuInfo != nil {
		for _, g := range in.GpuInfo.Gpus {
			if strings.EqualFold(aws.ToString(g.Manufacturer), "nvidia") {
				t.accelerator = acceleratorNvidia
			}
		}
	}
	if in.NeuronInfo != nil && len(in.NeuronInfo.NeuronDevices) > 0 {
		t.accelerator = acceleratorNeuron
	}
	if in.InferenceAcceleratorInfo != nil && strings.HasPrefix(t.name, "inf") {
		t.accelerator = acceleratorNeuron
	}
	if n := in.NetworkInfo; n != nil && aws.ToBool(n.EfaSupported) {
		t.efaCards = 1
		if n.EfaInfo != nil {
			t.efaCards = int(aws.ToInt32(n.EfaInfo.MaximumEfaInterfaces))
		}
	}
	t.burstable = aws.ToBool(in.BurstablePerformanceSupported)
	t.noSpot = len(in.SupportedUsageClasses) > 0 && !slices.Contains(in.SupportedUsageClasses, types.UsageClassTypeSpot)
	return t
}

// zonesWith are the zones of a region that have the type, in order of name.
func (d *driver) zonesWith(ctx context.Context, region, instanceType string) ([]string, error) {
	client := d.c.in(region)
	offers, err := pages("zones with "+instanceType, func(token *string) ([]types.InstanceTypeOffering, *string, error) {
		out, err := client.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
			LocationType: types.LocationTypeAvailabilityZone, NextToken: token,
			Filters: []types.Filter{filter("instance-type", instanceType)},
		})
		if err != nil {
			return nil, nil, err
		}
		return out.InstanceTypeOfferings, out.NextToken, nil
	})
	var names []string
	for _, o := range offers {
		if string(o.InstanceType) == instanceType && o.Location != nil {
			names = append(names, *o.Location)
		}
	}
	slices.Sort(names)
	return names, err
}

// cache holds what was found once for a key, for as long as the process lives.
type cache[T any] struct {
	mu    sync.Mutex
	known map[string]T
}

func (c *cache[T]) get(key string, find func() (T, error)) (T, error) {
	c.mu.Lock()
	v, ok := c.known[key]
	c.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := find()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string]T{}
	}
	c.known[key] = v
	return v, nil
}
