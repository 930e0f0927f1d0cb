// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"net/http"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

// Fetcher asks EC2, with the credentials that the SDK finds by itself.
func Fetcher() fetch.Fetcher {
	return fetch.Fetcher{Cloud: "aws", Needs: "AWS credentials that may call ec2:Describe*", Fetch: fetchOffers}
}

// fetchOffers streams the price lists: those of all regions together have gigabytes.
func fetchOffers(ctx context.Context, o fetch.Options) ([]fetch.Row, error) {
	return Fetch(ctx, Options{
		Regions: o.Regions, Endpoint: o.Endpoint, PriceList: o.Endpoint, Client: streaming(o.Client),
		Progress: func(done, total int) { o.Tell(done, total, "regions") },
	})
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
