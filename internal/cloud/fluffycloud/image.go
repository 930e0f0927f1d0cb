// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

const (
	defaultCPUImage = "img-cumulus-2404"
	defaultGPUImage = "img-nimbus-2404"
)

// image finds an image by id or catalog tag; without either it is the default.
func (d *driver) image(ctx context.Context, want string, forType cloud.InstanceType) (image, error) {
	images, err := d.c.images(ctx)
	if err != nil {
		return image{}, fmt.Errorf("list images: %w", err)
	}
	if want == "" {
		want = defaultCPUImage
		if !forType.Accelerator.IsZero() {
			want = defaultGPUImage
		}
	}
	var names []string
	for _, img := range images {
		if img.ID == want || slices.Contains(img.Tags, want) {
			return img, nil
		}
		names = append(names, img.ID)
	}
	return image{}, fleet.ConfigErrorf(cloud.ScopeCloud, "there is no image %q; there are %s", want, strings.Join(names, ", "))
}
