// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// sshUser is whom Ubuntu's images let in.
const sshUser = "ubuntu"

// standardImage begins the names of the images that are the default, of which the
// newest is taken. None of IBM's own has a driver for devices.
const standardImage = "ibm-ubuntu-22-04-"

type image struct {
	ID, Name, Status string
	MinGiB           int       `json:"minimum_provisioned_size"`
	CreatedAt        time.Time `json:"created_at"`
	System           struct {
		Architecture string
	} `json:"operating_system"`
}

// usable reports whether a machine can be made of it.
func (im image) usable() bool { return im.Status == "available" || im.Status == "deprecated" }

// image is the one asked for, by id or name, or the newest standard one.
func (d *driver) image(ctx context.Context, asked, region string) (image, error) {
	if asked == "" {
		return d.standard(ctx, region)
	}
	var found []image
	var err error
	if strings.HasPrefix(asked, "r") && strings.Count(asked, "-") == 5 { // r006-<uuid>
		var one image
		if err = d.c.do(ctx, region, http.MethodGet, "/images/"+url.PathEscape(asked), nil, nil, &one); err == nil {
			found = []image{one}
		}
	} else {
		found, err = listed[image](ctx, d.c, region, "images", url.Values{"name": {asked}})
	}
	switch {
	case hasStatus(err, http.StatusNotFound), err == nil && len(found) == 0:
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no image %q in %s: give an id such as r006-..., or a name such as %s5-minimal-amd64-1", asked, region, standardImage)
	case err != nil:
		return image{}, err
	case !found[0].usable():
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "image %q in %s is %s", asked, region, found[0].Status)
	}
	return found[0], nil
}

// standard is asked for once in a session: images change by the month.
func (d *driver) standard(ctx context.Context, region string) (image, error) {
	d.mu.Lock()
	all := d.images[region]
	d.mu.Unlock()
	if all == nil {
		var err error
		if all, err = listed[image](ctx, d.c, region, "images", url.Values{"status": {"available"}, "visibility": {"public"}}); err != nil {
			return image{}, err
		}
		d.mu.Lock()
		d.images[region] = all
		d.mu.Unlock()
	}
	fit := slices.DeleteFunc(slices.Clone(all), func(im image) bool {
		return !strings.HasPrefix(im.Name, standardImage) || im.System.Architecture != "amd64" || im.Status != "available"
	})
	if len(fit) == 0 {
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no public image %s* for amd64 in %s: set image", standardImage, region)
	}
	return slices.MaxFunc(fit, func(a, b image) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID)) }), nil
}
