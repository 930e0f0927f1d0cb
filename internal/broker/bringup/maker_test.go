// SPDX-License-Identifier: MPL-2.0

package bringup

import (
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// TestSlowMachinesAreWaitedFor: a machine that the cloud says boots slowly has the
// time for it, and its dead-man timer leaves that time.
func TestSlowMachinesAreWaitedFor(t *testing.T) {
	registry, err := cloud.NewRegistry(memcloud.Factory{Cloud: &memcloud.Cloud{Caps: cloud.Capabilities{SlowBoot: map[string]time.Duration{"big_*": 45 * time.Minute}}}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	m := Maker{
		Timeouts: Timeouts{}.WithDefaults(), Reach: nodes.Reach{Now: func() time.Time { return began }},
		Clouds: &clouds.Sessions{Registry: registry, Credentials: func(string) cloud.Credentials { return cloud.Credentials{} }},
	}
	usual := m.New(t.Context(), cloud.Session{}, cluster.Cluster{Cloud: memcloud.Name, InstanceType: "small"}, spec.Spec{})
	slow := m.New(t.Context(), cloud.Session{}, cluster.Cluster{Cloud: memcloud.Name, InstanceType: "big_8x"}, spec.Spec{})
	if usual.timeouts.Boot != 15*time.Minute || slow.timeouts.Boot != 45*time.Minute {
		t.Errorf("small machines have %s to boot and big ones %s", usual.timeouts.Boot, slow.timeouts.Boot)
	}
	if more := slow.deadline.Sub(usual.deadline); more != time.Hour {
		t.Errorf("big machines end %s later, want two boots more", more)
	}
}
