// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
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

// A new cluster has no state that a refresh would begin with, and its plan tells of
// them, too.
func TestForgottenMachinesAreToldByTheFirstPlan(t *testing.T) {
	b := newBench(t)
	b.broker.forgotten = []cloud.Instance{{ID: "i-7", Region: "us-east-1", Identity: cloud.Identity{Cluster: "train"}}}
	planned := func(name string) optimizer.Plan {
		return optimizer.Plan{Choices: []optimizer.Choice{{Placement: cloud.Placement{Offer: cloud.Offer{Cloud: name}}}}}
	}
	var diags diag.Diagnostics
	b.r.warnOfForgottenBy(t.Context(), planned("fluffycloud"), &diags)
	if len(diags) != 0 {
		t.Errorf("of a cloud whose machines end by themselves is told %v", diags)
	}
	b.r.warnOfForgottenBy(t.Context(), planned("lambda"), &diags)
	if len(diags) != 1 || !strings.Contains(diags[0].Detail(), "i-7 in lambda/us-east-1") {
		t.Errorf("told is %v", diags)
	}
}
