// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"fmt"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// TestReadAPIError: an error of an API is read, wrapped too, and no other.
func TestReadAPIError(t *testing.T) {
	err := fmt.Errorf("launch: %w", &APIError{Status: 404, Code: "gone", Message: "m"})
	if got := ReadAPIError(err); len(got) != 1 || got[0] != (Answer{Code: "gone", Message: "m", Status: 404}) {
		t.Errorf("it is read as %v", got)
	}
	if got := ReadAPIError(cloud.ErrNotFound); got != nil {
		t.Errorf("an error of no API is read as %v", got)
	}
}
