// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

type values = map[string]attr.Value

// resourcesOf is the attribute resources with these members.
func resourcesOf(v values) types.Object {
	all := kit.Nulls(context.Background(), request.ResourcesTypes())
	for name, value := range v {
		if all[name].Type(context.Background()).Equal(types.DynamicType) {
			value = types.DynamicValue(value)
		}
		all[name] = value
	}
	return types.ObjectValueMust(request.ResourcesTypes(), all)
}

func text(s string) attr.Value { return types.StringValue(s) }

func texts(s ...string) types.List { return kit.ListOf(s) }

func exampleCluster() cluster.Cluster {
	return cluster.Cluster{
		ID: "fluffycloud/meadow-1/train", Name: "train", Owner: "sky-1", Generation: "gen", Account: "acct", Cloud: "fluffycloud",
		Region: "meadow-1", Zone: "meadow-1a", InstanceType: "drizzle-t4-1", Accelerators: "T4:1", Market: cloud.OnDemand, HourlyUSD: 0.876,
		Status: cluster.StatusUp, SSHUser: "fluffy", KeyPath: "/s/key", ProcessManager: "setsid", Size: 2, LaunchedAt: "2026-11-23T00:00:00Z",
		Nodes: []cluster.Node{
			{Rank: 0, InstanceID: "i-0", InternalIP: "10.0.0.1", ExternalIP: "127.0.0.2", SSHPort: 2222, HostKey: "ssh-ed25519 A", State: cloud.StateRunning},
			{Rank: 1, InstanceID: "i-1", InternalIP: "10.0.0.2", ExternalIP: "127.0.0.3", SSHPort: 2222, HostKey: "ssh-ed25519 B", State: cloud.StateRunning, Reason: "r"},
		},
	}
}

func TestRecordSurvivesState(t *testing.T) {
	want := exampleCluster()
	m := clusterModel{Name: types.StringValue(want.Name), NumNodes: types.Int64Value(2)}
	m.setRecord(want, reach{knownHosts: "/s/known"})
	got, diags := m.record(context.Background())
	if diags.HasError() {
		t.Fatal(diags)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFillUnknownKeepsPromises(t *testing.T) {
	m := clusterModel{factsModel: factsModel{
		Nodes: types.ListUnknown(nodeType()), HourlyCost: types.Float64Value(1), Status: types.StringUnknown(), ID: types.StringValue("promised"),
	}}
	m.fillUnknown(exampleCluster(), reach{})
	if m.ID.ValueString() != "promised" || m.HourlyCost.ValueFloat64() != 1 {
		t.Errorf("what the plan promised changed: %v %v", m.ID, m.HourlyCost)
	}
	if m.Status.ValueString() != "UP" || len(m.Nodes.Elements()) != 2 {
		t.Errorf("what was open is not filled in: %v %v", m.Status, m.Nodes)
	}
}

func TestSSHCommand(t *testing.T) {
	c := exampleCluster()
	want := "ssh -i /s/key -o IdentitiesOnly=yes -p 2222 -o UserKnownHostsFile=/s/known -o StrictHostKeyChecking=yes fluffy@127.0.0.2"
	if got := sshCommand(c, reach{knownHosts: "/s/known"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.KeyPath = "/my keys/it's"
	want = `ssh -i '/my keys/it'\''s' -o IdentitiesOnly=yes -p 2222 -o 'UserKnownHostsFile="/a b/known"' -o StrictHostKeyChecking=yes fluffy@127.0.0.2`
	if got := sshCommand(c, reach{knownHosts: "/a b/known"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	by := reach{knownHosts: "/s/known", bastion: &cluster.Bastion{Host: "b.example.com", Port: 2200, User: "me", KeyPath: "/k 100%"}}
	want = `ssh -i '/my keys/it'\''s' -o IdentitiesOnly=yes -p 2222 -o UserKnownHostsFile=/s/known -o StrictHostKeyChecking=yes ` +
		`-o 'ProxyCommand=ssh -o '\''IdentityFile="/k 100%%%%"'\'' -o IdentitiesOnly=yes -p 2200 -o UserKnownHostsFile=/s/known -o StrictHostKeyChecking=yes -W [%h]:%p me@b.example.com' fluffy@127.0.0.2`
	if got := sshCommand(c, by); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.KeyPath = `/k 50% "new" #1/it's`
	want = `ssh -o 'IdentityFile="/k 50%% \"new\" #1/it'\''s"' -o IdentitiesOnly=yes -p 2222 -o 'UserKnownHostsFile="/#1%%/known"' -o StrictHostKeyChecking=yes fluffy@127.0.0.2`
	if got := sshCommand(c, reach{knownHosts: "/#1%/known"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.Nodes = nil
	if got := sshCommand(c, reach{}); got != "" {
		t.Errorf("without nodes: %q", got)
	}
}
