// SPDX-License-Identifier: MPL-2.0

// Package catalogs holds the default catalogs, one folder a cloud, as they are
// built into the binary.
package catalogs

import "embed"

// FS holds <cloud>/vms.csv, where a cloud has them <cloud>/images.csv, and
// <cloud>/about.json, which internal/catalog/about explains.
//
//go:embed */*.csv */about.json
var FS embed.FS
