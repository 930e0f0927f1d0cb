// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"context"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Strangers are the machines of a name under other owner ids, as far as the
// clouds can be asked. They are nothing to act on, only to be told of.
func (o Observer) Strangers(ctx context.Context, name string, clouds []string) []cloud.Thing {
	var out []cloud.Thing
	for _, cloudName := range clouds {
		session, err := o.Down.Clouds.Open(ctx, cloudName)
		if err != nil {
			continue
		}
		surveyor, ok := session.Provisioner.(cloud.Surveyor)
		if !ok {
			continue
		}
		things, err := surveyor.Survey(ctx, cloud.ClusterRef{Cluster: name, Cloud: cloudName})
		if err != nil {
			o.Down.Log.WarnContext(ctx, "whether machines of the name are there is not known", "cluster", name, "cloud", cloudName, "error", err)
		}
		for _, t := range things {
			if t.Kind == cloud.ThingMachine && t.Ref.Owner != o.Down.Owner {
				out = append(out, t)
			}
		}
	}
	return out
}
