// SPDX-License-Identifier: MPL-2.0

package catalogs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

func TestInOrder(t *testing.T) {
	r := cloud.Requirement{
		Accelerators: []cloud.Accelerator{{Name: "H100", Count: 8}, {Name: "A100", Count: 8}}, AcceleratorsOrdered: true,
		Markets: []cloud.Market{cloud.Spot, cloud.OnDemand}, MarketsOrdered: true,
	}
	var got []string
	for _, s := range inOrder(r) {
		got = append(got, string(s.Markets[0])+" "+s.Accelerators[0].Name)
	}
	if want := "spot H100, spot A100, on_demand H100, on_demand A100"; strings.Join(got, ", ") != want {
		t.Errorf("steps %q, want %s", got, want)
	}
}

// seller is a cloud that sells spot machines.
type seller struct{ cloud.Factory }

func (seller) Name() string                     { return "aws" }
func (seller) Capabilities() cloud.Capabilities { return cloud.Capabilities{Spot: true} }

// read answers what the attributes ask of a catalog with these rows.
func read(t *testing.T, rows string, ask map[string]tftypes.Value) *datasource.ReadResponse {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "c", "aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	const header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"
	if err := os.WriteFile(filepath.Join(dir, "c", "aws", "vms.csv"), []byte(header+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	registry, err := cloud.NewRegistry(seller{})
	if err != nil {
		t.Fatal(err)
	}
	d := offerDataSource{session.New(session.Settings{
		Registry: registry, Getenv: func(string) string { return "" },
		CatalogPath: filepath.Join(dir, "c"), StateDir: filepath.Join(dir, "s"), CatalogOffline: true,
	})}
	of := offerSchema()
	kind, _ := of.Type().TerraformType(t.Context()).(tftypes.Object)
	values := map[string]tftypes.Value{}
	for name, k := range kind.AttributeTypes {
		values[name] = tftypes.NewValue(k, nil)
	}
	for name, v := range ask {
		values[name] = v
	}
	resp := &datasource.ReadResponse{State: tfsdk.State{Schema: of, Raw: tftypes.NewValue(kind, nil)}}
	d.Read(t.Context(), datasource.ReadRequest{Config: tfsdk.Config{Schema: of, Raw: tftypes.NewValue(kind, values)}}, resp)
	if resp.Diagnostics.HasError() {
		t.Fatal(resp.Diagnostics)
	}
	return resp
}

func text(s string) tftypes.Value { return tftypes.NewValue(tftypes.String, s) }

func regions(names ...string) tftypes.Value {
	var list []tftypes.Value
	for _, n := range names {
		list = append(list, text(n))
	}
	return tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, list)
}

// TestPreferredRegionsKeepTheSet: they decide about the order of offers of one price, and
// not about which are found.
func TestPreferredRegionsKeepTheSet(t *testing.T) {
	var rows strings.Builder
	for i := range 100 { // more than a ranking keeps of one place
		fmt.Fprintf(&rows, "m5.%03d,,,8,32,,%v,,us-east-1,a\nm5.%03d,,,8,32,,%v,,us-west-2,a\n", i, 1+i/2, i, 1+i/2)
	}
	found := func(limit int, ask map[string]tftypes.Value) (out []string) {
		ask["limit"] = tftypes.NewValue(tftypes.Number, limit)
		var m offerDataModel
		if d := read(t, rows.String(), ask).State.Get(t.Context(), &m); d.HasError() {
			t.Fatal(d)
		}
		for _, e := range m.Offers.Elements() {
			o, _ := e.(types.Object)
			out = append(out, fmt.Sprint(o.Attributes()["instance_type"], o.Attributes()["hourly_cost"], o.Attributes()["region"]))
		}
		return out
	}
	preferred := found(200, map[string]tftypes.Value{"preferred_regions": regions("us-west-2")})
	for i, o := range preferred {
		if west := strings.Contains(o, "us-west-2"); west != (i%4 < 2) {
			t.Errorf("offer %d is %s", i, o)
		}
	}
	usual := found(200, map[string]tftypes.Value{})
	slices.Sort(preferred)
	slices.Sort(usual)
	if !slices.Equal(preferred, usual) || len(usual) != 200 {
		t.Errorf("%d offers with preferred regions, %d without, or others", len(preferred), len(usual))
	}
	if one := found(1, map[string]tftypes.Value{"preferred_regions": regions("us-west-2")}); !strings.Contains(one[0], "us-west-2") {
		t.Errorf("the first is %s", one)
	}
}

// TestNotesAreWarnings: what a plan says below its table, the data source warns of.
func TestNotesAreWarnings(t *testing.T) {
	const machines = "g5.x,A10G,1,8,32,,1,,us-east-1,a\n"
	for name, tt := range map[string]struct {
		ask  map[string]tftypes.Value
		want []string
	}{
		"nothing to say": {map[string]tftypes.Value{"instance_type": text("g5.x")}, nil},
		"devices":        {map[string]tftypes.Value{"cpus": text("2+")}, []string{"have accelerators that nobody asked for"}},
		"no spot price":  {map[string]tftypes.Value{"instance_type": text("g5.x"), "market": text("any")}, []string{"has no spot price"}},
		"unknown region": {map[string]tftypes.Value{"instance_type": text("g5.x"), "preferred_regions": regions("frankfurt")}, []string{`Region "frankfurt", which is preferred, is in no catalog`}},
		"another region": {map[string]tftypes.Value{"instance_type": text("g5.x"), "preferred_regions": regions("US-EAST-1", "europe-west3")}, nil},
	} {
		got := read(t, machines, tt.ask).Diagnostics
		if len(got) != len(tt.want) || len(got) > 0 && !strings.Contains(got[0].Detail(), tt.want[0]) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
