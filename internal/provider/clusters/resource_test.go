// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// fakeBroker keeps at most one cluster and fails as told.
type fakeBroker struct {
	everything // nil: what a test does not expect panics
	cluster    cluster.Cluster
	fail       error
	launched   []broker.Spec
	updated    []broker.Changes
	calls      []string
	settings   []byte
	forgotten  []cloud.Instance
}

func (f *fakeBroker) Launch(_ context.Context, spec broker.Spec) (cluster.Cluster, error) {
	f.launched = append(f.launched, spec)
	return f.cluster, f.fail
}

func (f *fakeBroker) Drift(context.Context, cluster.Cluster, broker.Spec) ([]string, error) {
	return nil, nil
}

func (f *fakeBroker) Forgotten(context.Context, string) ([]cloud.Instance, error) {
	return f.forgotten, nil
}

func (f *fakeBroker) KeyFile(c cluster.Cluster) string { return c.KeyPath }

func (f *fakeBroker) Refresh(_ context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	if f.fail != nil {
		return c, f.fail
	}
	return f.cluster, nil
}

func (f *fakeBroker) Update(_ context.Context, c cluster.Cluster, _ broker.Spec, what broker.Changes) (cluster.Cluster, error) {
	f.updated = append(f.updated, what)
	if f.fail != nil {
		c.Status, c.StatusReason = cluster.StatusInit, "setup failed"
	}
	return c, f.fail
}

func (f *fakeBroker) Destroy(context.Context, cluster.Cluster) error {
	f.calls = append(f.calls, "destroy")
	return f.fail
}

func (f *fakeBroker) RemoveRules(context.Context, cluster.Cluster) error {
	f.calls = append(f.calls, "leftovers")
	return nil
}

func (f *fakeBroker) SaveSettings(_ cluster.Cluster, text []byte) error {
	f.settings = text
	return nil
}

func (f *fakeBroker) Settings(cluster.Cluster) []byte { return f.settings }

func (f *fakeBroker) LogPath(name string) string { return "/s/" + name + ".log" }

func (f *fakeBroker) KnownHostsPath(c cluster.Cluster) string { return "/s/" + c.Name }

type everything interface {
	launcher
	changer
	refresher
	planner
	finder
	clusterFiles
	LogPath(name string) string
}

// bench is a clusterResource over a fake broker and the embedded catalog.
type bench struct {
	t      *testing.T
	broker *fakeBroker
	r      *clusterResource
}

func newBench(t *testing.T) *bench {
	t.Helper()
	registry, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, broker: &fakeBroker{cluster: exampleCluster()}}
	b.r = &clusterResource{data: session.Over(b.broker, session.Settings{
		Registry: registry, Root: context.Background(), Ops: session.NewOperations(), StateDir: t.TempDir(), Getenv: func(string) string { return "" },
		Enabled: []string{"fluffycloud"},
	})}
	return b
}

func (b *bench) empty() tfsdk.State {
	s := clusterSchema()
	return tfsdk.State{Schema: s, Raw: tftypes.NewValue(s.Type().TerraformType(context.Background()), nil)}
}

// planned is a plan to create a cluster: every output is unknown.
func (b *bench) planned(change func(*clusterModel)) tfsdk.Plan {
	b.t.Helper()
	ctx := context.Background()
	m := emptyCluster(ctx, b.empty())
	m.setRecord(cluster.Cluster{}, reach{})
	for _, s := range []*types.String{
		&m.ID, &m.Cloud, &m.Region, &m.Zone, &m.InstanceType, &m.Accelerators, &m.Market, &m.Status, &m.StatusReason, &m.SSHUser,
		&m.SSHKeyPath, &m.SSHCommand, &m.HeadIP, &m.Generation, &m.Account, &m.Owner, &m.LaunchedAt, &m.ProcessManager, &m.WorkdirDigest, &m.FileMountsDigest,
	} {
		*s = types.StringUnknown()
	}
	m.HourlyCost, m.Nodes, m.ChangedOutside = types.Float64Unknown(), types.ListUnknown(nodeType()), types.ListUnknown(types.StringType)
	m.Name, m.NumNodes, m.OnSetupFailure = types.StringValue("train"), types.Int64Value(2), types.StringValue("destroy")
	m.Resources = resourcesOf(values{"accelerators": text("T4:1")})
	change(&m)
	plan := tfsdk.Plan{Schema: b.empty().Schema, Raw: b.empty().Raw}
	b.must(plan.Set(ctx, &m))
	return plan
}

func (b *bench) must(diags diag.Diagnostics) {
	b.t.Helper()
	if diags.HasError() {
		b.t.Fatal(diags)
	}
}

func (b *bench) create() resource.CreateResponse {
	resp := resource.CreateResponse{State: b.empty()}
	plan := b.planned(func(*clusterModel) {})
	b.r.Create(context.Background(), resource.CreateRequest{Plan: plan, Config: tfsdk.Config(plan)}, &resp)
	return resp
}

func TestCreateKeepsSurvivors(t *testing.T) {
	b := newBench(t)
	b.broker.cluster.Nodes = b.broker.cluster.Nodes[:1]
	b.broker.cluster.Status = cluster.StatusInit
	b.broker.fail = &broker.LaunchError{Cluster: "train", Survivors: []string{"i-0"}, Err: errors.New("teardown failed")}
	resp := b.create()
	if !resp.Diagnostics.HasError() || !strings.Contains(resp.Diagnostics[0].Summary(), "left machines behind") {
		t.Errorf("diagnostics: %v", resp.Diagnostics)
	}
	if resp.State.Raw.IsNull() || !resp.State.Raw.IsFullyKnown() {
		t.Fatalf("what is alive must be in state, fully known: %v", resp.State.Raw)
	}
	var m clusterModel
	b.must(resp.State.Get(context.Background(), &m))
	if c, _ := m.record(context.Background()); len(c.Nodes) != 1 || c.Nodes[0].InstanceID != "i-0" || c.Generation != "gen" {
		t.Errorf("in state: %+v", c)
	}
}

func TestCreateWithoutSurvivorsHasNoState(t *testing.T) {
	b := newBench(t)
	b.broker.cluster, b.broker.fail = cluster.Cluster{}, errors.New("no capacity")
	if resp := b.create(); !resp.Diagnostics.HasError() || !resp.State.Raw.IsNull() {
		t.Errorf("state %v, %v", resp.State.Raw, resp.Diagnostics)
	}
}

func TestCreatePassesOffersOfTheCatalog(t *testing.T) {
	b := newBench(t)
	b.must(b.create().Diagnostics)
	spec := b.broker.launched[0]
	if len(spec.Offers) == 0 || spec.Request.Image == nil || spec.Request.Nodes != 2 {
		t.Errorf("spec = %+v", spec)
	}
	for _, o := range spec.Offers {
		if o.InstanceType.Accelerator.Name != "T4" {
			t.Errorf("offer %+v", o)
		}
	}
}

func TestReadKeepsStateOnTrouble(t *testing.T) {
	for name, fail := range map[string]error{
		"5xx": errors.New("503"), "auth": &cloud.Error{Fault: cloud.Fault{Kind: cloud.KindAuth}, Err: errors.New("401")},
		"not found is no proof": fmt.Errorf("cluster: %w", cloud.ErrNotFound), "timeout": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			state := b.create().State
			b.broker.fail = fail
			resp := resource.ReadResponse{State: state}
			b.r.Read(context.Background(), resource.ReadRequest{State: state}, &resp)
			if !resp.Diagnostics.HasError() || !resp.State.Raw.Equal(state.Raw) {
				t.Errorf("diagnostics %v; state changed: %v", resp.Diagnostics, !resp.State.Raw.Equal(state.Raw))
			}
			if len(b.broker.calls) > 0 {
				t.Errorf("a refresh removed something: %v", b.broker.calls)
			}
		})
	}
}

func TestReadDropsWhatIsGone(t *testing.T) {
	b := newBench(t)
	state := b.create().State
	b.broker.fail = fmt.Errorf("cluster: %w", cluster.ErrGone)
	resp := resource.ReadResponse{State: state}
	b.r.Read(context.Background(), resource.ReadRequest{State: state}, &resp)
	if resp.Diagnostics.HasError() || resp.Diagnostics.WarningsCount() != 1 || !resp.State.Raw.IsNull() {
		t.Errorf("%v, %v", resp.Diagnostics, resp.State.Raw)
	}
	if strings.Join(b.broker.calls, ",") != "leftovers" {
		t.Errorf("calls = %v: no machine may be removed by a refresh", b.broker.calls)
	}
}

func TestFailedUpdateKeepsStateAndSaysStatus(t *testing.T) {
	b := newBench(t)
	state := b.create().State
	var m, after clusterModel
	b.must(state.Get(context.Background(), &m))
	m.Setup, m.Status, m.StatusReason = types.StringValue("exit 1"), types.StringUnknown(), types.StringUnknown()
	plan := tfsdk.Plan(state)
	b.must(plan.Set(context.Background(), &m))
	b.broker.fail = &nodes.SetupError{Cluster: "train", ExitCode: 1, Kept: true}
	resp := resource.UpdateResponse{State: state}
	b.r.Update(context.Background(), resource.UpdateRequest{Plan: plan, State: state}, &resp)
	b.must(resp.State.Get(context.Background(), &after))
	if !resp.Diagnostics.HasError() || !after.Setup.IsNull() || after.Status.ValueString() != "INIT" || after.StatusReason.ValueString() != "setup failed" {
		t.Errorf("%v; setup %v, status %v %v", resp.Diagnostics, after.Setup, after.Status, after.StatusReason)
	}
	if len(b.broker.updated) != 1 || !b.broker.updated[0].Setup {
		t.Errorf("updates = %+v", b.broker.updated)
	}
}
