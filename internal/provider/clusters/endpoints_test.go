// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestPlannedEndpoints: a change of the other nodes leaves the head where it is.
func TestPlannedEndpoints(t *testing.T) {
	for name, tt := range map[string]struct {
		ports map[uint16]uint16
		want  string
	}{
		"ports as they are": {nil, "192.0.2.1:8080"},
		"mapped ports":      {map[uint16]uint16{8080: 41234}, "192.0.2.1:41234"},
	} {
		t.Run(name, func(t *testing.T) {
			c := exampleCluster()
			c.Nodes[0].ExternalIP, c.Nodes[0].PublicPorts = "192.0.2.1", tt.ports
			old := clusterModel{Resources: resourcesOf(values{"ports": texts("8080")})}
			old.setRecord(c, reach{})
			m := old
			m.Nodes = types.ListUnknown(nodeType())
			if got := m.plannedEndpoints(old).Elements()["8080"]; got == nil || !got.Equal(text(tt.want)) {
				t.Errorf("the plan says %v, want %s", got, tt.want)
			}
			m.HeadIP = types.StringUnknown()
			if got := m.plannedEndpoints(old); !got.IsUnknown() {
				t.Errorf("with a head that moves the plan says %v", got)
			}
		})
	}
}
