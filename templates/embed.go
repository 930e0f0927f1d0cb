// SPDX-License-Identifier: MPL-2.0

// Package templates embeds the cluster templates, one a cloud.
package templates

import "embed"

// FS holds <cloud>.yaml.tmpl files.
//
//go:embed *.yaml.tmpl
var FS embed.FS
