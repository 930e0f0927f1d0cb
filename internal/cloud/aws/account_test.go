// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// TestAnotherAccount: what was launched under one account is neither declared
// gone nor removed under another, though that one shows nothing of it.
func TestAnotherAccount(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	id := w.fake.instances[0].id
	open := func() *broker.Broker {
		registry, err := cloud.NewRegistry(w.h.Factory())
		if err != nil {
			t.Fatal(err)
		}
		state := t.TempDir()
		if err := os.Chmod(state, 0o700); err != nil { //nolint:gosec // a folder needs its x
			t.Fatal(err)
		}
		b, err := broker.New(broker.Config{
			StateDir: state, Owner: spec.Ref.Owner, Registry: registry,
			Credentials: func(string) cloud.Credentials { return w.h.Credentials() }, Timeouts: broker.Timeouts{Gone: time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	held := cluster.Cluster{
		ID: "aws/us-east-1/c", Name: "c", Owner: spec.Ref.Owner, Generation: spec.Ref.Generation, Account: fakeAccount, Cloud: Name, Region: testRegion,
		Zone: testZone, InstanceType: "m5.large", Market: cloud.OnDemand, Size: 1, Nodes: []cluster.Node{{InstanceID: id}},
	}
	w.fake.mu.Lock()
	w.fake.answers["GetCallerIdentity"] = fixed(`<GetCallerIdentityResult><Account>999999999999</Account></GetCallerIdentityResult>`)
	w.fake.answers["DescribeInstances"] = func(url.Values) (int, string) { return 200, "<reservationSet/>" }
	w.fake.mu.Unlock()
	other := open()
	for name, err := range map[string]error{
		"Refresh": func() error { _, err := other.Refresh(t.Context(), held); return err }(),
		"Destroy": other.Destroy(t.Context(), held),
	} {
		if err == nil || errors.Is(err, cluster.ErrGone) || !strings.Contains(err.Error(), fakeAccount) || !strings.Contains(err.Error(), "999999999999") {
			t.Errorf("%s under another account: %v", name, err)
		}
	}
	if n := len(w.proxy.Requests("TerminateInstances")) + len(w.proxy.Requests("DeleteSecurityGroup")); n != 0 {
		t.Errorf("%d removals were asked for under another account", n)
	}
	w.fake.mu.Lock()
	w.fake.answers = map[string]func(url.Values) (int, string){}
	w.fake.mu.Unlock()
	if err := open().Destroy(t.Context(), held); err != nil || w.fake.instances[0].state != "terminated" {
		t.Errorf("under the right account: %v, the machine is %s", err, w.fake.instances[0].state)
	}
}
