// SPDX-License-Identifier: MPL-2.0

package retry_test

import (
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

func TestAfter(t *testing.T) {
	for header, want := range map[string]bool{"": false, "7": true, "-1": false, "soon": false, "99999999999999999999": false} {
		if got := retry.After(header) > 0; got != want {
			t.Errorf("After(%q) waits: %t, want %t", header, got, want)
		}
	}
}
