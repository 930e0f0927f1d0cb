// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"cmp"
	"context"
	"errors"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

// Fetcher asks Google, with Application Default Credentials.
func Fetcher() fetch.Fetcher {
	return fetch.Fetcher{Cloud: "gcp", Needs: "Application Default Credentials, and a project in GOOGLE_CLOUD_PROJECT", Fetch: fetchOffers}
}

func fetchOffers(ctx context.Context, o fetch.Options) ([]fetch.Row, error) {
	if len(o.Regions) > 0 {
		return nil, errors.New("prices of GCP come for all regions at once; leave the regions out")
	}
	project := ""
	for _, name := range []string{"GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"} {
		project = cmp.Or(project, o.Getenv(name))
	}
	opts := Options{
		Project: project, Compute: o.Endpoint, Billing: o.Endpoint,
		Progress: func(done int) { o.Tell(done, 0, "pages") },
	}
	if o.Endpoint != "" {
		opts.Client = o.Client // an address of the user's own gets no credentials of Google's
	}
	return Fetch(ctx, opts)
}
