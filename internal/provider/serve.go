// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// providerAddress is the provider's address in Terraform's registry.
const providerAddress = "registry.terraform.io/skybroker/sky"

// Serve answers Terraform until it hangs up. With debug it prints how to attach
// Terraform to this process instead of being started by it. When Terraform is
// killed, Serve stops launching, cleans up what is half done and returns an
// error; the caller ends the process then.
func Serve(ctx context.Context, version string, registry *cloud.Registry, debug bool) error {
	ops := session.NewOperations()
	root := ctx
	orphaned := make(chan struct{})
	if !debug {
		root = session.WhileParentLives(ctx, ops, func() { close(orphaned) })
	}
	served := make(chan error, 1)
	go func() {
		served <- providerserver.Serve(ctx, newWith(root, version, registry, ops), providerserver.ServeOpts{
			Address: providerAddress, Debug: debug, ProtocolVersion: 6,
		})
	}()
	select {
	case err := <-served:
		if err == nil && root.Err() == nil {
			ops.End(context.WithoutCancel(ctx))
		}
		return err
	case <-orphaned:
		return session.ErrParentGone
	}
}
