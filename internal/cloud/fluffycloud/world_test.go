// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// What the suite sees of the server, beside the driver.

// outOfReach is what machines that are processes on loopback cannot show.
const outOfReach = 3

func (*laboratory) OutOfReach() map[string]string {
	const loopback = "machines are processes on loopback, where rules are recorded and all reach all"
	return map[string]string{
		"network/nodes reach one another": loopback,
		"network/nodes reach the outside": loopback,
		"fault/late address":              "a machine has its address before it runs",
	}
}

// Nobody puts a case out of reach unseen.
func TestOutOfReach(t *testing.T) {
	if n := len((*laboratory)(nil).OutOfReach()); n != outOfReach {
		t.Errorf("%d cases of the suite are out of the server's reach, want %d", n, outOfReach)
	}
}

func (l *laboratory) OpenPorts(ctx context.Context, id string) (cloudtest.Gate, error) {
	var gate cloudtest.Gate
	in, err := l.c.instance(ctx, id)
	if err != nil {
		return gate, err
	}
	firewalls, err := l.c.firewalls(ctx)
	for _, f := range firewalls {
		if f.ID != in.FirewallID {
			continue
		}
		for _, r := range f.Rules {
			ports := cloud.PortRange{First: r.FromPort, Last: r.ToPort}
			if r.FromPort == sshPort && r.ToPort == sshPort {
				ports = cloud.PortRange{First: 22, Last: 22}
			}
			for _, cidr := range r.CIDRs {
				from, err := netip.ParsePrefix(cidr)
				if err != nil {
					return gate, err
				}
				gate.Openings = append(gate.Openings, cloudtest.Opening{Ports: ports, From: from})
			}
		}
	}
	return gate, err
}

var errLoopback = errors.New("all machines are on loopback")

func (*laboratory) Reaches(context.Context, string, string) (bool, error) { return false, errLoopback }

func (*laboratory) ReachesOut(context.Context, string) (bool, error) { return false, errLoopback }

// Sent reads what the server told the machine.
func (l *laboratory) Sent(ctx context.Context, id string) (cloudtest.Sent, error) {
	var sent cloudtest.Sent
	text, err := os.ReadFile(filepath.Join(l.dir, "machines", id, "machine.json"))
	if err != nil {
		return sent, err
	}
	var told struct {
		AuthorizedKeys []string `json:"authorized_keys"`
		UserData       []byte   `json:"user_data"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return sent, err
	}
	in, err := l.c.instance(ctx, id)
	if err != nil {
		return sent, err
	}
	type disk struct {
		SizeGiB    int    `json:"size_gib"`
		InstanceID string `json:"instance_id"`
	}
	disks, err := list[disk](ctx, l.c, "/v1/disks", "disks", nil)
	for _, d := range disks {
		if d.InstanceID == id {
			sent.DiskGiB = d.SizeGiB
		}
	}
	if err == nil && sent.DiskGiB == 0 {
		err = fmt.Errorf("machine %s has no disk", id)
	}
	sent.UserData, sent.AuthorizedKeys, sent.Image = told.UserData, told.AuthorizedKeys, in.Image
	return sent, err
}

func (*laboratory) Images() (other, missing string) { return "img-nimbus-2404", "img-stratus-2404" }

// Lag hides machines by the server's clock, and lets that go with the real one.
func (l *laboratory) Lag(ctx context.Context) (func(context.Context) error, error) {
	remove, err := l.inject(ctx, map[string]any{"op": "launch", "effect": map[string]any{"hide_for_ms": 400}})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				l.clock.Advance(20 * time.Millisecond)
			}
		}
	}()
	return func(ctx context.Context) error {
		close(done)
		<-ended
		return remove(ctx)
	}, nil
}
