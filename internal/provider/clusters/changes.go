// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"cmp"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// changes says what an update in place must do.
func changes(old, now clusterModel) broker.Changes {
	same := func(name string) bool {
		before, after := request.Member(old.Resources, name), request.Member(now.Resources, name)
		return before.Equal(after) || (kit.Empty(before) && kit.Empty(after))
	}
	return broker.Changes{
		Network: !same("ports") || !same("labels") || !old.AllowedCIDRs.Equal(now.AllowedCIDRs) || !old.ChangedOutside.IsNull(),
		Files: !old.Workdir.Equal(now.Workdir) || !old.FileMounts.Equal(now.FileMounts) ||
			!old.WorkdirDigest.Equal(now.WorkdirDigest) || !old.FileMountsDigest.Equal(now.FileMountsDigest),
		Autostop: !old.Autostop.Equal(now.Autostop),
		Runtime:  cmp.Or(old.Runtime.ValueString(), cluster.RuntimeSSH) != cmp.Or(now.Runtime.ValueString(), cluster.RuntimeSSH),
		Setup:    !now.Setup.IsNull() && (!old.Setup.Equal(now.Setup) || !old.Envs.Equal(now.Envs)),
	}
}
