// SPDX-License-Identifier: MPL-2.0

// Package templates embeds the cluster templates, one a cloud, and the pieces
// they share.
package templates

import "embed"

// FS holds <cloud>.yaml.tmpl files, and what they include.
//
//go:embed *.yaml.tmpl *.piece.tmpl *.sh
var FS embed.FS
