// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

func TestEnded(t *testing.T) {
	for reason, want := range map[string]cloud.Ending{
		"Client.InstanceInitiatedShutdown: Instance initiated shutdown":                           cloud.EndedItself,
		"Client.UserInitiatedShutdown: User initiated shutdown":                                   cloud.EndedByUser,
		"Server.SpotInstanceTermination: A Spot Instance was terminated due to a capacity change": cloud.EndedPreempted,
		"Server.InternalError: Internal error on launch":                                          cloud.EndedFailed,
		"Something.New: text": "",
	} {
		w := newWorld(t, &ec2proxy.Proxy{}, nil)
		spec, at := request(2, "m5.large", cloud.OnDemand)
		if _, err := w.launch(t.Context(), spec, at); err != nil {
			t.Fatal(err)
		}
		w.fake.mu.Lock()
		w.fake.instances[0].state, w.fake.instances[0].reason = "terminated", reason
		id := w.fake.instances[0].id
		w.fake.mu.Unlock()
		got, err := w.d.Ended(t.Context(), spec.Ref)
		if err != nil || len(got) != 1 || got[0].ID != id || got[0].Ending != want || got[0].State != cloud.StateTerminated {
			t.Errorf("%s: %+v, %v; want %s to have ended by %q", reason, got, err, id, want)
		}
	}
}
