// SPDX-License-Identifier: MPL-2.0

// Package catalogs holds the default catalogs, one folder a cloud, as they are
// built into the binary.
package catalogs

import "embed"

// FS holds <cloud>/vms.csv, where a cloud has them <cloud>/images.csv, and
// dates.csv, which says when each catalog's prices were written down.
//
//go:embed */*.csv dates.csv
var FS embed.FS
