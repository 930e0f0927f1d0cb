// SPDX-License-Identifier: MPL-2.0

// Package catalogs holds the default catalogs, one folder a cloud, as they are
// built into the binary.
package catalogs

import "embed"

// FS holds <cloud>/vms.csv and, where a cloud has them, <cloud>/images.csv.
//
//go:embed */*.csv
var FS embed.FS
