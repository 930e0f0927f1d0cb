// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
	"github.com/skybroker/terraform-provider-sky/internal/provider"
)

// runTool runs one of the provider's commands for people and returns what it
// prints.
func runTool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	registry, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	tools := provider.Tools("test", registry)
	i := slices.IndexFunc(tools, func(c *cobra.Command) bool { return c.Name() == args[0] })
	if i < 0 {
		t.Fatalf("there is no command %s", args[0])
	}
	var text bytes.Buffer
	tools[i].SetArgs(args[1:])
	tools[i].SetOut(&text)
	err = tools[i].ExecuteContext(t.Context())
	return text.String(), err
}
