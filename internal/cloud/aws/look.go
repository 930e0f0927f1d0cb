// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

const (
	// pageSize is how many machines one page may hold.
	pageSize = 200
	// filterValues is how many values one filter may have.
	filterValues = 200
)

// look lists the machines of ref. Foreign machines are never part of it; an id
// of ref.Instances that turns out foreign is an error.
func (d *driver) look(ctx context.Context, ref cloud.ClusterRef) (census, error) {
	if ref.Owner == "" {
		return census{}, fleet.ConfigErrorf(cloud.ScopeCloud, "the cluster reference names no owner")
	}
	regions, err := d.regionsOf(ctx, ref)
	if err != nil {
		return census{}, err
	}
	if ref.Zone, err = d.zoneName(ctx, ref.Region, ref.Zone); err != nil {
		return census{}, err
	}
	listed := make([][]machine, len(regions))
	if err := each(indexes(regions), func(i int) error {
		var err error
		listed[i], err = d.describe(ctx, regions[i], tagFilters(ref))
		return err
	}); err != nil {
		return census{}, err
	}
	var found census
	known := map[string]bool{}
	for _, m := range slices.Concat(listed...) {
		if !known[m.id] && selects(ref, m) {
			known[m.id] = true
			found.machines = append(found.machines, m)
			d.recent.saw(m)
		}
	}
	if err := d.lookUp(ctx, ref, regions, known, &found); err != nil {
		return census{}, err
	}
	found.doubtful = d.recent.doubtful(ref, d.settle)
	slices.SortFunc(found.machines, func(a, b machine) int {
		return cmp.Or(cmp.Compare(a.identity.Rank, b.identity.Rank),
			cmp.Compare(a.identity.Attempt, b.identity.Attempt), cmp.Compare(a.id, b.id))
	})
	return found, nil
}

func indexes[T any](s []T) []int {
	out := make([]int, len(s))
	for i := range s {
		out[i] = i
	}
	return out
}

// regionsOf are the regions in which ref's machines may be.
func (d *driver) regionsOf(ctx context.Context, ref cloud.ClusterRef) ([]string, error) {
	if ref.Region == "" {
		return d.c.regions(ctx)
	}
	return []string{ref.Region}, d.c.checkRegion(ctx, ref.Region)
}

// lookUp asks for the machines that should be there but were not listed: by
// id, since a listing by tags lags further behind.
func (d *driver) lookUp(ctx context.Context, ref cloud.ClusterRef, regions []string, known map[string]bool, found *census) error {
	want := slices.Concat(ref.Instances, d.recent.machines.Matching(func(m machine) bool { return selects(ref, m) }))
	slices.Sort(want)
	want = slices.DeleteFunc(slices.Compact(want), func(id string) bool { return known[id] })
	if len(want) == 0 {
		return nil
	}
	for _, id := range want {
		if !strings.HasPrefix(id, "i-") || strings.ContainsAny(id, " ,*?\\") {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "%q is not the id of an EC2 instance", id)
		}
	}
	shown, err := d.byID(ctx, regions, want)
	if err != nil {
		return err
	}
	for _, id := range want {
		m, ok := shown[id]
		late, isLate := d.recent.machines.Late(id, d.settle)
		// AWS drops the tags of a terminated machine before the machine itself.
		gone := ok && m.state == cloud.StateTerminated && !m.owned
		switch {
		case !ok && isLate:
			found.late = append(found.late, late)
		case !ok || gone:
			found.missing = append(found.missing, id)
		case !selects(ref, m):
			return fleet.ConfigErrorf(cloud.ScopeCloud, "machine %s does not belong to cluster %q of this owner: left alone", id, ref.Cluster)
		default:
			found.machines = append(found.machines, m)
			d.recent.saw(m)
		}
	}
	return nil
}

// byID shows the machines that exist among ids. It filters instead of naming
// them: a filter that nothing matches is an empty answer, not an error.
func (d *driver) byID(ctx context.Context, regions, ids []string) (map[string]machine, error) {
	shown := map[string]machine{}
	for _, region := range regions {
		for _, some := range chunks(ids, filterValues) {
			machines, err := d.describe(ctx, region, []types.Filter{filter("instance-id", some...)})
			if err != nil {
				return nil, err
			}
			for _, m := range machines {
				if slices.Contains(some, m.id) {
					shown[m.id] = m
				}
			}
		}
	}
	return shown, nil
}

// describe lists machines in one region.
func (d *driver) describe(ctx context.Context, region string, filters []types.Filter) ([]machine, error) {
	client := d.c.in(region)
	return pages("machines in "+region, func(token *string) ([]machine, *string, error) {
		out, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
			Filters: filters, MaxResults: aws.Int32(pageSize), NextToken: token,
		})
		if err != nil {
			return nil, nil, err
		}
		var machines []machine
		for _, r := range out.Reservations {
			for _, in := range r.Instances {
				machines = append(machines, newMachine(region, in))
			}
		}
		return machines, out.NextToken, nil
	})
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// tagFilters narrow a listing to what may belong to ref. A name with a
// character that filters understand is left to selects.
func tagFilters(ref cloud.ClusterRef) []types.Filter {
	var out []types.Filter
	add := func(key, value string) {
		if value != "" && !strings.ContainsAny(value, `*?\`) {
			out = append(out, filter("tag:"+key, value))
		}
	}
	add(cloud.TagOwner, ref.Owner)
	add(cloud.TagCluster, ref.Cluster)
	add(cloud.TagGeneration, ref.Generation)
	if len(out) == 0 {
		out = append(out, filter("tag-key", cloud.TagOwner))
	}
	return out
}

// watch looks at the machines of ref until f reports done or an error, or ctx
// ends. Trouble that passes is borne a few looks long.
func (d *driver) watch(ctx context.Context, ref cloud.ClusterRef, f func(context.Context, census) (bool, error)) error {
	w := fleet.Watcher{Poll: d.poll, Patience: 3, Transient: isTransient}
	return fleet.Watch(ctx, w, func(ctx context.Context) (census, error) { return d.look(ctx, ref) }, f)
}
