// SPDX-License-Identifier: MPL-2.0

// Command terraform-provider-sky is the provider, when Terraform starts it, and
// a few tools beside it, when a person does.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider"
)

// version is set by the release build.
var version = "dev"

func main() {
	registry, err := all.Registry()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "Error: the list of clouds: %v\n", err)
		os.Exit(1)
	}
	os.Exit(fluffycloud.Execute(command(registry)))
}

func command(registry *cloud.Registry) *cobra.Command {
	debug := false
	root := &cobra.Command{
		Use:           "terraform-provider-sky",
		Short:         "Terraform provider that launches clusters on the cheapest cloud and runs jobs on them",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !debug && os.Getenv("TF_PLUGIN_MAGIC_COOKIE") == "" {
				_ = cmd.Help()
				return errors.New("without a command this is for Terraform to start")
			}
			collectLess()
			return provider.Serve(cmd.Context(), version, registry, debug)
		},
	}
	root.Flags().BoolVar(&debug, "debug", false, "serve so that a debugger can be attached, and print how Terraform finds the process")
	root.AddCommand(fluffycloud.Command(version))
	root.AddCommand(provider.Tools(version, registry)...)
	return root
}

// collectLess lets the heap of a provider grow to 16 MiB before garbage is
// looked for: Terraform starts it several times for every plan, mostly for less
// work than that. GOGC, where it is set, stands.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // of 4 MiB at least
	}
}
