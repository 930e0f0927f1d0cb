// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"net"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// widestListed is how many ports a range may have to be listed port by port.
const widestListed = 64

// endpoints says where the head answers on each port. It is unknown where the
// head's address or the ports are.
func (m clusterModel) endpoints() types.Map {
	list, ok := request.Member(m.Resources, "ports").(types.List)
	switch {
	case ok && !kit.FullyKnown(list):
		return types.MapUnknown(types.StringType)
	case !ok || kit.Empty(list):
		return types.MapValueMust(types.StringType, map[string]attr.Value{})
	case m.HeadIP.IsUnknown():
		return types.MapUnknown(types.StringType)
	}
	out := map[string]attr.Value{}
	mapped := m.mapped()
	ports, err := cloud.ParsePorts(kit.StringList(list)...)
	if err != nil || m.HeadIP.ValueString() == "" {
		return types.MapValueMust(types.StringType, out) // stopped: it answers nowhere
	}
	for _, r := range ports {
		if mapped == nil && int(r.Last)-int(r.First) >= widestListed {
			out[r.String()] = types.StringValue(net.JoinHostPort(m.HeadIP.ValueString(), r.String()))
			continue
		}
		for p := int(r.First); p <= int(r.Last); p++ {
			public, ok := mapped[uint16(p)]
			if mapped == nil {
				public, ok = uint16(p), true
			}
			if ok {
				out[strconv.Itoa(p)] = types.StringValue(net.JoinHostPort(m.HeadIP.ValueString(), strconv.Itoa(int(public))))
			}
		}
	}
	return types.MapValueMust(types.StringType, out)
}

// plannedEndpoints are the endpoints after a change in place: where the head keeps
// its address, it keeps its ports, whatever becomes of the other nodes.
func (m clusterModel) plannedEndpoints(old clusterModel) types.Map {
	if m.Nodes.IsUnknown() {
		m.Nodes = old.Nodes
	}
	return m.endpoints()
}

// mapped are the public ports of the head; nil where its ports are not mapped.
func (m clusterModel) mapped() map[uint16]uint16 {
	if len(m.Nodes.Elements()) == 0 {
		return nil
	}
	head, ok := m.Nodes.Elements()[0].(types.Object)
	if !ok {
		return nil
	}
	ports, _ := head.Attributes()["public_ports"].(types.Map) // null where there is none
	return portsOf(ports)
}

// portsOf reads public_ports; nil is null.
func portsOf(m types.Map) map[uint16]uint16 {
	if m.IsNull() || m.IsUnknown() {
		return nil
	}
	out := map[uint16]uint16{}
	for name, v := range m.Elements() {
		private, err := strconv.ParseUint(name, 10, 16)
		if public, ok := v.(types.Int64); ok && err == nil {
			out[uint16(private)] = uint16(public.ValueInt64()) //nolint:gosec // it came from portMap
		}
	}
	return out
}

// portMap is the inverse of portsOf.
func portMap(ports map[uint16]uint16) types.Map {
	if ports == nil {
		return types.MapNull(types.Int64Type)
	}
	out := map[string]attr.Value{}
	for private, public := range ports {
		out[strconv.Itoa(int(private))] = types.Int64Value(int64(public))
	}
	return types.MapValueMust(types.Int64Type, out)
}
