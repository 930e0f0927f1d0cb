// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
)

// TestMain lets the test binary be the SSH client of its machines, and leaves
// the tests that run Terraform to make test.
func TestMain(m *testing.M) {
	if handled, code := fluffycloud.Main(os.Args); handled {
		os.Exit(code)
	}
	flag.Parse()
	if os.Getenv("TF_ACC") == "" {
		fmt.Println("TF_ACC is not set: the acceptance tests (TestAcc...) are left out; make test runs them.")
		if err := flag.Set("test.skip", "^TestAcc"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
