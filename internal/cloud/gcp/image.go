// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// The images of machines for which none is named: Ubuntu's, with cloud-init,
// and for GPUs with NVIDIA's driver, signed for Secure Boot.
const (
	defaultCPUImage = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
	defaultARMImage = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64"
	defaultGPUImage = "projects/ubuntu-os-accelerator-images/global/images/family/ubuntu-accelerator-2404-amd64-with-nvidia-580"
	defaultGPUOnARM = "projects/ubuntu-os-accelerator-images/global/images/family/ubuntu-accelerator-2404-arm64-with-nvidia-580"
)

// image is a resolved image.
type image struct {
	link    string
	diskGiB int64
	uefi    bool
}

var imageForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:(?:https://[a-z.]+/compute/v1/)?projects/([a-z0-9:.-]+)/)?(?:global/)?(?:images/)?(family/)?([a-z][-a-z0-9]{0,62})$`)
})

func defaultImage(t cloud.InstanceType, s shape) string {
	switch arm := t.Arch == "arm64"; {
	case s.gpu && arm:
		return defaultGPUOnARM
	case s.gpu:
		return defaultGPUImage
	case arm:
		return defaultARMImage
	default:
		return defaultCPUImage
	}
}

// image resolves what the spec asks for to one image: a family would name
// another one for a node that is added later.
func (d *driver) image(ctx context.Context, want string, t cloud.InstanceType) (image, error) {
	s, err := shapeOf(t)
	if err != nil {
		return image{}, err
	}
	if want == "" {
		want = defaultImage(t, s)
	}
	parts := imageForm().FindStringSubmatch(want)
	if parts == nil {
		return image{}, fleet.ConfigErrorf(cloud.ScopeCloud, "image %q is neither a name nor projects/<project>/global/images/<name> or .../images/family/<family>", want)
	}
	project, family, name := parts[1], parts[2] != "", parts[3]
	if project == "" {
		project = d.c.project
	}
	found, err := call(ctx, d.c, "look up image "+want, func(ctx context.Context) (*compute.Image, error) {
		if family {
			return d.c.api.getImageFamily(ctx, project, name)
		}
		return d.c.api.getImage(ctx, project, name)
	})
	if isNotFound(err) {
		return image{}, fleet.ConfigErrorf(cloud.ScopeCloud, "there is no image %q, or it is not shared with this project", want)
	}
	if err != nil {
		return image{}, err
	}
	if arch := archOf(found.Architecture); t.Arch != "" && arch != "" && arch != t.Arch {
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "image %s is for %s, and %s is %s", found.Name, arch, t.Name, t.Arch)
	}
	link := found.SelfLink
	if i := strings.Index(link, "projects/"); i >= 0 {
		link = link[i:]
	}
	return image{link: link, diskGiB: found.DiskSizeGb, uefi: slices.ContainsFunc(found.GuestOsFeatures, func(f *compute.GuestOsFeature) bool { return f.Type == "UEFI_COMPATIBLE" })}, nil
}

func archOf(architecture string) string {
	switch architecture {
	case "X86_64":
		return "x86_64"
	case "ARM64":
		return "arm64"
	default:
		return ""
	}
}
