// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
)

// What users read of a removal that was cut off, and of another process's work.
func TestRefusalsInWords(t *testing.T) {
	cut := teardown.StillAlive(nil, context.Canceled).Error()
	left := teardown.StillAlive([]string{"i-1"}, context.Canceled).Error()
	busy := (&statedir.BusyError{Cluster: "wool", Holder: "process 7 on ark"}).Error()
	for got, want := range map[string]string{cut: "what is left is not known", left: "still alive: [i-1]", busy: "being worked on by process 7 on ark; wait"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
