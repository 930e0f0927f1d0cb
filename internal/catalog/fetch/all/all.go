// SPDX-License-Identifier: MPL-2.0

// Package all is the one list of clouds that can be asked for their prices. It
// is apart from package fetch so that who only reads catalogs links no library
// of a cloud.
package all

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/aws"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/gcp"
)

// Fetchers returns the clouds that can be asked, by name.
func Fetchers() map[string]fetch.Fetcher {
	out := fetch.Small()
	out["aws"] = fetch.Fetcher{Cloud: "aws", Needs: "AWS credentials that may call ec2:Describe*", Fetch: fromAWS}
	out["gcp"] = fetch.Fetcher{Cloud: "gcp", Needs: "Application Default Credentials, and a project in GOOGLE_CLOUD_PROJECT", Fetch: fromGCP}
	return out
}

// fromAWS asks EC2 with the credentials that the SDK finds by itself. The price
// lists are streamed: those of all regions together have gigabytes.
func fromAWS(ctx context.Context, o fetch.Options) ([]fetch.Row, error) {
	return aws.Fetch(ctx, aws.Options{
		Regions: o.Regions, Endpoint: o.Endpoint, PriceList: o.Endpoint, Client: streaming(o.Client),
		Progress: func(done, total int) { progress(o, done, total, "regions") },
	})
}

// fromGCP asks Google with Application Default Credentials.
func fromGCP(ctx context.Context, o fetch.Options) ([]fetch.Row, error) {
	if len(o.Regions) > 0 {
		return nil, errors.New("prices of GCP come for all regions at once; leave the regions out")
	}
	project := ""
	for _, name := range []string{"GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"} {
		project = cmp.Or(project, o.Getenv(name))
	}
	opts := gcp.Options{
		Project: project, Compute: o.Endpoint, Billing: o.Endpoint,
		Progress: func(done int) { progress(o, done, 0, "pages") },
	}
	if o.Endpoint != "" {
		opts.Client = o.Client // an address of the user's own gets no credentials of Google's
	}
	return gcp.Fetch(ctx, opts)
}

// streaming is a client without a deadline for the whole answer, which for a
// price list may well take minutes; the context ends it.
func streaming(c *http.Client) *http.Client {
	if c == nil {
		return nil
	}
	out := *c
	out.Timeout = 0
	return &out
}

func progress(o fetch.Options, done, total int, unit string) {
	if o.Progress != nil {
		o.Progress(done, total, unit)
	}
}
