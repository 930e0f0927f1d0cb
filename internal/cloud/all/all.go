// SPDX-License-Identifier: MPL-2.0

// Package all is the one list of drivers: adding a cloud adds a line here.
package all

import (
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fluffycloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/runpod"
)

// Registry returns every cloud of this binary.
func Registry() (*cloud.Registry, error) {
	return cloud.NewRegistry(
		aws.Factory{},
		fluffycloud.Factory{},
		gcp.Factory{},
		lambda.New(),
		runpod.New(),
	)
}
