// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Address is the provider's address in Terraform's registry.
const Address = "registry.terraform.io/skybroker/sky"

// Serve answers Terraform until it hangs up. With debug it prints how to attach
// Terraform to this process instead of being started by it. When Terraform is
// killed, Serve stops launching, cleans up what is half done and exits.
func Serve(ctx context.Context, version string, registry *cloud.Registry, debug bool) error {
	ops := newOperations()
	root := ctx
	if canWatchParent && !debug {
		root = outlive(watchParent(ctx, getppid, parentPoll, ops, func() {
			os.Exit(1) //nolint:forbidigo // Terraform is gone, and nobody is left to return to
		}))
	}
	return providerserver.Serve(ctx, newWith(version, registry, root, ops), providerserver.ServeOpts{
		Address: Address, Debug: debug, ProtocolVersion: 6,
	})
}
