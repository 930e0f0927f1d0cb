// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/core"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// The images that are launched without further ado: Ubuntu, and for shapes with
// devices of NVIDIA's the only ones of Oracle's own that have their driver.
const (
	defaultImage = "Canonical Ubuntu 22.04"
	gpuImage     = "Oracle Linux 8" + gpuEnding
	gpuEnding    = " GPU"
	gpuMark      = "Gen2-GPU"
)

// image finds the image asked for: by OCID, by name, or by operating system and
// version, of which the newest that fits the shape is taken.
func (d *driver) image(ctx context.Context, asked string, offer cloud.Offer, s shape) (core.Image, error) {
	if strings.HasPrefix(asked, "ocid1.image.") {
		out, err := call(ctx, d.c, "look up image "+asked, offer.Region, func(ctx context.Context, r *regional) (core.GetImageResponse, error) {
			return r.compute.GetImage(ctx, core.GetImageRequest{ImageId: &asked})
		})
		if isNotFound(err) {
			return core.Image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no image %s in %s that the user may see", asked, offer.Region)
		}
		return out.Image, err
	}
	if asked == "" {
		asked = defaultImage
		if strings.Contains(s.name, ".GPU") && !isAMD(s.name) && offer.InstanceType.Arch != "arm64" {
			asked = gpuImage
		}
	}
	named, gpu := strings.CutSuffix(asked, gpuEnding)
	request := core.ListImagesRequest{
		CompartmentId: &d.c.compartment, Shape: &s.name, LifecycleState: core.ImageLifecycleStateAvailable,
		SortBy: core.ListImagesSortByTimecreated, SortOrder: core.ListImagesSortOrderDesc,
	}
	system, version, newest := cutLast(named)
	if newest {
		request.OperatingSystem, request.OperatingSystemVersion = &system, &version
	} else {
		request.DisplayName = &asked
	}
	all, err := pages(ctx, d.c, "images", offer.Region, func(ctx context.Context, r *regional, page *string) ([]core.Image, *string, error) {
		request.Page = page
		out, err := r.compute.ListImages(ctx, request)
		return out.Items, out.OpcNextPage, err //nolint:wrapcheck // pages does
	})
	if err != nil {
		return core.Image{}, err
	}
	fit := slices.DeleteFunc(all, func(im core.Image) bool {
		name := value(im.DisplayName)
		return newest && (strings.Contains(name, gpuMark) != gpu || strings.Contains(name, "Minimal"))
	})
	if len(fit) == 0 {
		return core.Image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no image %q for %s in %s: image_id is an OCID, the name of an image, or an operating system with its version such as %q or %q",
			asked, s.name, offer.Region, defaultImage, gpuImage)
	}
	return slices.MaxFunc(fit, func(a, b core.Image) int {
		return cmp.Or(value(a.TimeCreated).Compare(value(b.TimeCreated).Time), strings.Compare(value(a.Id), value(b.Id)))
	}), nil
}

// isAMD reports a shape with devices of AMD's, for which Oracle has no such image.
func isAMD(name string) bool { return strings.Contains(name, ".MI") }

// cutLast cuts a text at its last space.
func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}
