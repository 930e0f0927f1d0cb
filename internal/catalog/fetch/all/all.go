// SPDX-License-Identifier: MPL-2.0

// Package all is the one list of clouds that can be asked for their prices. It
// is apart from package fetch so that who only reads catalogs links no library
// of a cloud.
package all

import (
	"maps"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/aws"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch/gcp"
)

// Fetchers returns the clouds that can be asked, by name. Each fetcher says what it
// asks and what that takes.
func Fetchers() map[string]fetch.Fetcher {
	out := fetch.ByName(aws.Fetcher(), gcp.Fetcher())
	maps.Copy(out, fetch.Small())
	return out
}
