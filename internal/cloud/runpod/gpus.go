// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	names "github.com/skybroker/terraform-provider-sky/catalogs/runpod"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// cloudSecure is the part of RunPod that catalogs price.
const cloudSecure = "SECURE"

// parseType reads the name that catalogs have for a machine, such as
// "8x_H100-SXM_SECURE".
func parseType(name string) (device string, count int, ok bool) {
	number, rest, _ := strings.Cut(name, "x_")
	device, found := strings.CutSuffix(rest, "_"+cloudSecure)
	count, err := strconv.Atoi(number)
	return device, count, err == nil && found && count > 0 && device != ""
}

// gpuType is a device as RunPod's catalog shows it, for so many in one pod.
type gpuType struct {
	ID, Name     string
	Memory       int
	Availability string
	MaxCount     struct{ Secure int }
	DataCenters  []struct{ ID, Availability string }
}

// bare is a device's name without its maker's, which some lists have.
func bare(device string) string { return strings.TrimPrefix(device, "NVIDIA-") }

// none is how RunPod's catalog calls what is not to be had now.
const none = "NONE"

// spot is where a pod can be launched now: a device, and data centers, those with
// the most room first.
type spot struct {
	gpu         gpu
	dataCenters []string
}

// find asks RunPod's catalog, which costs nothing, whether there is room.
func (d *driver) find(ctx context.Context, o cloud.Offer) (spot, error) {
	device, count, ok := parseType(o.InstanceType.Name)
	if !ok {
		return spot{}, fleet.ConfigErrorf(cloud.ScopeCloud, "%q is no type of RunPod's; they read like \"1x_A40_SECURE\"", o.InstanceType.Name)
	}
	var out struct{ GPUs []gpuType }
	err := d.c.Do(ctx, http.MethodGet, "/v2/catalog/gpus", url.Values{
		"include": {"AVAILABILITY"}, "product": {"POD"}, "count": {strconv.Itoa(count)}, "cloud": {cloudSecure}, "countryCodes": {o.Region},
	}, nil, &out)
	if err != nil {
		return spot{}, fmt.Errorf("ask for room: %w", err)
	}
	i := slices.IndexFunc(out.GPUs, func(g gpuType) bool { return bare(names.Device(g.Name, float64(g.Memory))) == bare(device) })
	if i < 0 {
		return spot{}, &fullError{place: o.Region, what: device, says: "its catalog lists none there"}
	}
	g := out.GPUs[i]
	if most := g.MaxCount.Secure; most > 0 && count > most {
		return spot{}, fleet.ConfigErrorf(cloud.ScopeRegion, "RunPod puts at most %d %s into one pod", most, device)
	}
	rank := map[string]int{"HIGH": 0, "MEDIUM": 1, "LOW": 2}
	var room []struct{ ID, Availability string }
	for _, at := range g.DataCenters {
		if _, some := rank[at.Availability]; some && names.Country(at.ID) == o.Region && (o.Zone == "" || at.ID == o.Zone) {
			room = append(room, at)
		}
	}
	slices.SortStableFunc(room, func(a, b struct{ ID, Availability string }) int {
		return rank[a.Availability] - rank[b.Availability]
	})
	found := spot{gpu: gpu{ID: g.ID, Count: count}}
	for _, at := range room {
		found.dataCenters = append(found.dataCenters, at.ID)
	}
	if len(room) == 0 || g.Availability == none {
		return spot{}, &fullError{place: placeOf(o), what: strconv.Itoa(count) + " " + device, says: "its catalog shows the availability " + none}
	}
	return found, nil
}

// placeOf is the data center of an offer, or its country.
func placeOf(o cloud.Offer) string {
	if o.Zone != "" {
		return o.Zone
	}
	return o.Region
}
