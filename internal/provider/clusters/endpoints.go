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
	ports, err := cloud.ParsePorts(kit.StringList(list)...)
	if err != nil || m.HeadIP.ValueString() == "" {
		return types.MapValueMust(types.StringType, out) // stopped: it answers nowhere
	}
	for _, r := range ports {
		if int(r.Last)-int(r.First) >= widestListed {
			out[r.String()] = types.StringValue(net.JoinHostPort(m.HeadIP.ValueString(), r.String()))
			continue
		}
		for p := int(r.First); p <= int(r.Last); p++ {
			out[strconv.Itoa(p)] = types.StringValue(net.JoinHostPort(m.HeadIP.ValueString(), strconv.Itoa(p)))
		}
	}
	return types.MapValueMust(types.StringType, out)
}
