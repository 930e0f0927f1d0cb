// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// A cloud that cannot remove a forgotten machine by itself is named at plan.
func TestWithoutDeadMan(t *testing.T) {
	caps := map[string]cloud.Capabilities{"nimbus": {}, "safe": {DeadMan: true}, "half": {DeadManStops: true, SelfTerminateIf: "pigs fly"}}
	at := func(name string) cloud.Placement { return cloud.Placement{Offer: cloud.Offer{Cloud: name}} }
	var diags diag.Diagnostics
	var warned session.Names
	for _, placements := range [][]cloud.Placement{
		{at("safe"), at("nimbus"), at("half")},                                               // the chosen one alone counts
		{at("nimbus"), at("safe")}, {at("half"), at("nimbus")}, {at("nimbus")}, {at("half")}, // and each once
	} {
		warnOfDeadMan(optimizer.Plan{Placements: placements}, caps, &warned, &diags)
	}
	if len(diags) != 2 || diags[0].Summary() != "No dead-man timer on nimbus" || !strings.Contains(diags[1].Detail(), "on half shut down") || !strings.Contains(diags[1].Detail(), "only if pigs fly") {
		t.Errorf("the warnings are %v", diags)
	}
}

// A change of labels is refused where a cloud keeps those of the launch.
func TestLabelsOfTheLaunch(t *testing.T) {
	for _, tt := range []struct {
		caps cloud.Capabilities
		want bool
	}{{cloud.Capabilities{Labels: true}, false}, {cloud.Capabilities{Labels: true, LabelsFixed: true}, true}, {cloud.Capabilities{}, true}} {
		if got := labelsFixed(tt.caps); got != tt.want {
			t.Errorf("%+v: fixed %t", tt.caps, got)
		}
	}
}

// A cloud whose firewall does not look at sources is named at plan, once.
func TestSourcesThatAreOpen(t *testing.T) {
	caps := map[string]cloud.Capabilities{"pods": {SourcesOpen: "its ports know no sources"}, "safe": {}}
	var diags diag.Diagnostics
	var warned session.Names
	for _, name := range []string{"safe", "pods", "pods"} {
		warnOfSources(optimizer.Plan{Placements: []cloud.Placement{{Offer: cloud.Offer{Cloud: name}}}}, caps, &warned, &diags)
	}
	if len(diags) != 1 || !strings.Contains(diags[0].Summary(), "pods") || !strings.Contains(diags[0].Detail(), "its ports know no sources") {
		t.Errorf("the warnings are %v", diags)
	}
}

// Nothing is advised that fails too.
func TestAutostopAdvice(t *testing.T) {
	for _, how := range []cloud.Shutdown{cloud.ShutdownStop, cloud.ShutdownTerminate} {
		if alone := autostopAdvice(how, false); strings.Contains(alone, "down =") || !strings.Contains(autostopAdvice(how, true), "down =") {
			t.Errorf("where machines end no way: %q", alone)
		}
	}
}

// A running machine is recognized in a catalog that names its zone otherwise.
func TestPresentOfferWhateverTheZone(t *testing.T) {
	registry, err := cloud.NewRegistry(bareCloud{})
	if err != nil {
		t.Fatal(err)
	}
	d := session.New(session.Settings{Registry: registry, Root: t.Context(), Getenv: func(string) string { return "" }, StateDir: t.TempDir()})
	c := cluster.Cluster{Cloud: "aws", Region: "eu-north-1", Zone: "eu-north-1b", InstanceType: "m6i.2xlarge", Market: cloud.OnDemand, HourlyUSD: 1, Size: 2}
	o, ok, err := presentOffer(t.Context(), d, c)
	if err != nil || !ok || o.Zone != "eu-north-1b" || o.Region != "eu-north-1" || o.InstanceType.VCPUs != 8 || o.HourlyUSD != 0.5 {
		t.Errorf("presentOffer = %+v, %v, %v", o, ok, err)
	}
	c.InstanceType = "m7g.large"
	if own := ownOffer(t.Context(), d, c); len(own) != 1 || own[0].InstanceType.Arch != "arm64" {
		t.Errorf("ownOffer = %+v, want the one of an ARM machine", own)
	}
	c.InstanceType = "m1.forgotten"
	if _, ok, err := presentOffer(t.Context(), d, c); ok || err != nil {
		t.Errorf("a type of no catalog: %v, %v", ok, err)
	}
}

// bareCloud is aws as far as a catalog is concerned.
type bareCloud struct{}

func (bareCloud) Name() string                     { return "aws" }
func (bareCloud) Options() []cloud.Option          { return nil }
func (bareCloud) Capabilities() cloud.Capabilities { return cloud.Capabilities{} }
func (bareCloud) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	return cloud.Session{}, nil
}

// A plan says how long its launches take where a cloud's pace makes that long.
func TestLaunchesThatTakeLong(t *testing.T) {
	caps := map[string]cloud.Capabilities{"slow": {LaunchEvery: 12500 * time.Millisecond}, "quick": {}}
	var diags diag.Diagnostics
	for _, p := range []cloud.Placement{
		{Nodes: 72, Offer: cloud.Offer{Cloud: "slow"}}, {Nodes: 8, Offer: cloud.Offer{Cloud: "slow"}}, {Nodes: 1000, Offer: cloud.Offer{Cloud: "quick"}},
	} {
		warnOfPace(optimizer.Plan{Placements: []cloud.Placement{p}}, caps, &diags)
	}
	if len(diags) != 1 || diags[0].Summary() != "72 machines on slow take 15m0s to launch" {
		t.Errorf("the warnings are %v", diags)
	}
}
