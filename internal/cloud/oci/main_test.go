// SPDX-License-Identifier: MPL-2.0

package oci

import (
	"fmt"
	"os"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
)

// TestMain lets the test binary be the SSH client of its machines, and leaves
// the tests that run Terraform to make test.
func TestMain(m *testing.M) {
	if handled, code := fluffycloud.Main(os.Args); handled {
		os.Exit(code)
	}
	if err := acctest.ParseFlags(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
