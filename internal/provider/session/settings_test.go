// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// namedCloud is a factory that only has a name and perhaps must be asked for.
type namedCloud struct {
	name  string
	optIn bool
}

func (c namedCloud) Name() string            { return c.name }
func (c namedCloud) Options() []cloud.Option { return nil }
func (c namedCloud) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{OptIn: c.optIn}
}
func (c namedCloud) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	return cloud.Session{}, nil
}

// A simulated cloud is never the answer to a request that does not name it,
// however cheap it is.
func TestCandidates(t *testing.T) {
	registry, err := cloud.NewRegistry(namedCloud{name: "nimbus"}, namedCloud{name: "toy", optIn: true})
	if err != nil {
		t.Fatal(err)
	}
	toyOnly, err := cloud.NewRegistry(namedCloud{name: "toy", optIn: true})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		settings Settings
		reqs     []cloud.Requirement
		want     string
	}{
		{"nothing named", Settings{Registry: registry}, []cloud.Requirement{{}}, "nimbus"},
		{"named in infra", Settings{Registry: registry}, []cloud.Requirement{{Cloud: "toy"}}, "nimbus toy"},
		{"enabled", Settings{Registry: registry, Enabled: []string{"toy"}}, nil, "toy"},
		{"in the provider block", Settings{Registry: registry, Options: map[string]map[string]string{"toy": {}}}, nil, "nimbus toy"},
		{"nothing left", Settings{Registry: toyOnly}, nil, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.settings.Candidates(tt.reqs)
			if tt.want == "error" {
				if err == nil || !strings.Contains(err.Error(), "toy must be named") {
					t.Errorf("candidates = %v, %v", got, err)
				}
				return
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("candidates = %v, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestForgetUnnamed(t *testing.T) {
	registry, err := cloud.NewRegistry(namedCloud{name: "nimbus"}, namedCloud{name: "toy", optIn: true})
	if err != nil {
		t.Fatal(err)
	}
	offer := func(cloudName, typeName string) cloud.Offer {
		return cloud.Offer{Cloud: cloudName, Market: cloud.OnDemand, InstanceType: cloud.InstanceType{Name: typeName}}
	}
	offers := []cloud.Offer{offer("nimbus", "a"), offer("toy", "a"), offer("toy", "b")}
	s := Settings{Registry: registry}
	left := func(reqs []cloud.Requirement) (out []cloud.Offer) {
		for o := range s.ForgetUnnamed(optimizer.Each(offers), reqs) {
			out = append(out, *o)
		}
		return out
	}
	got := left([]cloud.Requirement{{Cloud: "toy", InstanceType: "b"}, {InstanceType: "a"}})
	if len(got) != 2 || got[0].Cloud != "nimbus" || got[1].InstanceType.Name != "b" {
		t.Errorf("offers left: %+v", got)
	}
	if got := left([]cloud.Requirement{{Cloud: "toy"}}); len(got) != 3 {
		t.Errorf("with every requirement naming the cloud, %d offers are left", len(got))
	}
}
