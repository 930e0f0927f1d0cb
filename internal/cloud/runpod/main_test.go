// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// TestMain lets the test binary be what pods lack on a computer without OpenSSH,
// and leaves the tests that run Terraform to make test.
func TestMain(m *testing.M) {
	if handled, code := fluffycloud.Main(os.Args); handled {
		os.Exit(code)
	}
	if path := os.Getenv("SKY_TEST_KEYGEN"); path != "" {
		if err := keygen(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := acctest.ParseFlags(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// keygen is ssh-keygen, as far as a pod needs it.
func keygen(path string) error {
	private, public, err := remote.NewHostKey()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, private, 0o600), os.WriteFile(path+".pub", []byte(public), 0o600))
}
