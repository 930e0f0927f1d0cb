// SPDX-License-Identifier: MPL-2.0

package catalogs

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func TestInOrder(t *testing.T) {
	r := cloud.Requirement{
		Accelerators: []cloud.Accelerator{{Name: "H100", Count: 8}, {Name: "A100", Count: 8}}, AcceleratorsOrdered: true,
		Markets: []cloud.Market{cloud.Spot, cloud.OnDemand}, MarketsOrdered: true,
	}
	var got []string
	for _, s := range inOrder(r) {
		got = append(got, string(s.Markets[0])+" "+s.Accelerators[0].Name)
	}
	if want := "spot H100, spot A100, on_demand H100, on_demand A100"; strings.Join(got, ", ") != want {
		t.Errorf("steps %q, want %s", got, want)
	}
}
