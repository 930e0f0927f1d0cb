// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// Machines that nothing ends are told of, once a cloud.
func TestForgottenMachinesAreTold(t *testing.T) {
	r := &clusterResource{data: &session.Session{}}
	b := &fakeBroker{forgotten: []cloud.Instance{{ID: "pod7", Region: "US", Zone: "US-TX-3", Identity: cloud.Identity{Cluster: "train"}}}}
	var diags diag.Diagnostics
	r.warnOfForgotten(t.Context(), b, "runpod", &diags)
	r.warnOfForgotten(t.Context(), b, "runpod", &diags)
	if len(diags) != 1 || diags.HasError() {
		t.Fatalf("told is %v", diags)
	}
	for _, want := range []string{"pod7 in runpod/US/US-TX-3, for cluster train", "gc", "--delete"} {
		if !strings.Contains(diags[0].Detail(), want) {
			t.Errorf("%q lacks %q", diags[0].Detail(), want)
		}
	}
	r.warnOfForgotten(t.Context(), &fakeBroker{}, "lambda", &diags)
	if len(diags) != 1 {
		t.Errorf("told is %v", diags)
	}
}
