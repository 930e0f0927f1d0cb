// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// stack begins the families of images with NVIDIA's driver, CUDA and Docker.
const stack = "lambda-stack"

type image struct {
	ID           string
	Family       string
	Architecture string
	Created      time.Time `json:"created_time"`
	Region       struct{ Name string }
}

// image is the id of the image asked for, by id or family, in the offer's region
// and for its machines; the newest where there are several.
func (d *driver) image(ctx context.Context, asked string, offer cloud.Offer) (string, error) {
	all, err := get[[]image](ctx, d, "/images")
	if err != nil {
		return "", err
	}
	arch := cmp.Or(offer.InstanceType.Arch, "x86_64")
	var fit []image
	var families []string
	for _, im := range all {
		if im.Region.Name != offer.Region || im.Architecture != arch {
			continue
		}
		if !slices.Contains(families, im.Family) {
			families = append(families, im.Family)
		}
		if im.ID == asked || im.Family == asked || (asked == "" && strings.HasPrefix(im.Family, stack)) {
			fit = append(fit, im)
		}
	}
	if len(fit) == 0 {
		slices.Sort(families)
		return "", fleet.ConfigErrorf(cloud.ScopeRegion, "there is no image %q for %s in %s; there are the families %s",
			cmp.Or(asked, stack), arch, offer.Region, strings.Join(families, ", "))
	}
	newest := slices.MaxFunc(fit, func(a, b image) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	return newest.ID, nil
}
