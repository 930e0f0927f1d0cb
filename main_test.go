// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
)

// Whoever starts the provider by hand is shown the commands, and not served.
func TestStartedByHand(t *testing.T) {
	t.Setenv("TF_PLUGIN_MAGIC_COOKIE", "")
	registry, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(registry)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{})
	err = cmd.Execute()
	if err == nil || !strings.Contains(err.Error(), "for Terraform to start") || !strings.Contains(out.String(), "fluffycloud") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
