// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

func TestChanges(t *testing.T) {
	base := func(change func(*clusterModel)) clusterModel {
		m := clusterModel{
			Resources: resourcesOf(values{"ports": texts("80")}), Setup: types.StringValue("true"), Envs: types.MapNull(types.StringType),
			FileMounts: types.MapNull(types.StringType), AllowedCIDRs: types.ListNull(types.StringType), WorkdirDigest: types.StringValue("d"),
		}
		change(&m)
		return m
	}
	tests := []struct {
		name   string
		change func(*clusterModel)
		want   broker.Changes
	}{
		{"nothing", func(*clusterModel) {}, broker.Changes{}},
		{"ports", func(m *clusterModel) { m.Resources = resourcesOf(values{"ports": texts("80", "81")}) }, broker.Changes{Network: true}},
		{"labels", func(m *clusterModel) {
			m.Resources = resourcesOf(values{"ports": texts("80"), "labels": types.MapValueMust(types.StringType, values{"a": text("b")})})
		}, broker.Changes{Network: true}},
		{"an empty map is none", func(m *clusterModel) {
			m.Resources = resourcesOf(values{"ports": texts("80"), "labels": types.MapValueMust(types.StringType, values{})})
		}, broker.Changes{}},
		{"prefixes", func(m *clusterModel) { m.AllowedCIDRs = texts("10.0.0.0/8") }, broker.Changes{Network: true}},
		{"setup", func(m *clusterModel) { m.Setup = types.StringValue("false") }, broker.Changes{Setup: true}},
		{"setup removed", func(m *clusterModel) { m.Setup = types.StringNull() }, broker.Changes{}},
		{"envs", func(m *clusterModel) { m.Envs = types.MapValueMust(types.StringType, values{"A": text("b")}) }, broker.Changes{Setup: true}},
		{"content", func(m *clusterModel) { m.WorkdirDigest = types.StringValue("e") }, broker.Changes{Files: true}},
		{"another workdir", func(m *clusterModel) { m.Workdir = types.StringValue("w") }, broker.Changes{Files: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := changes(base(func(*clusterModel) {}), base(tt.change)); got != tt.want {
				t.Errorf("changes = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPlannedDigest(t *testing.T) {
	a, b := types.StringValue("a"), types.StringValue("b")
	tests := []struct {
		name     string
		now, old types.String
		want     types.String
	}{
		{"same content", a, a, a},
		{"new content", b, a, types.StringUnknown()},
		{"no workdir any more", types.StringNull(), a, types.StringNull()},
		{"path not known yet", types.StringUnknown(), a, types.StringUnknown()},
	}
	for _, tt := range tests {
		if got := plannedDigest(tt.now, tt.old); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
