// SPDX-License-Identifier: MPL-2.0

//go:build specs

package lambda

import (
	"os"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// TestPrism makes every call of the driver to a mock that others wrote, which knows
// Lambda's OpenAPI file and refuses what it does not allow:
//
//	npx @stoplight/prism-cli mock --errors -p 5841 lambda-1.10.0.openapi.json &
//	SKY_PRISM_LAMBDA=http://127.0.0.1:5841 go test -tags specs -run Prism ./internal/cloud/lambda/
func TestPrism(t *testing.T) {
	url := os.Getenv("SKY_PRISM_LAMBDA")
	if url == "" {
		t.Fatal("SKY_PRISM_LAMBDA is not set: it is the address of prism with Lambda's OpenAPI file")
	}
	s, err := Factory{}.Open(t.Context(), cloud.Credentials{Values: map[string]string{optionKey: "any", optionEndpoint: url}})
	if err != nil {
		t.Fatal(err)
	}
	d := s.Provisioner.(*driver) //nolint:forcetypeassert // it is this package's
	ctx, spec, p := t.Context(), testSpec(1), at("gpu_1x_a10", "us-east-1", "x86_64", 1)
	look := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	all, err := d.List(ctx, testRef)
	look(err)
	if len(all) == 0 || all[0].ID == "" || all[0].Type == "" || all[0].Region == "" {
		t.Fatalf("the machines are read as %+v", all)
	}
	_, err = d.Get(ctx, testRef, []string{all[0].ID})
	look(err)
	_, err = get[[]image](ctx, d, "/images")
	look(err)
	_, err = d.ensureKey(ctx, testRef)
	look(err)
	_, err = d.Things(ctx, testRef, cloud.ThingKey)
	look(err)
	rules, err := d.ensureRuleset(ctx, spec, "us-east-1")
	look(err)
	look(d.SetOpenings(ctx, fleet.Firewall{Native: ruleset{ID: rules, whose: testRef}}, d.Openings(spec.AllowedCIDRs, []cloud.PortRange{{First: 80, Last: 90}})))
	made, err := d.Create(ctx, fleet.Order[resources]{
		Name: nameOf(spec.Nodes[0].Identity), Node: spec.Nodes[0], Spec: spec, Placement: p,
		Resources: resources{image: "43336648-096d-4cba-9aa2-f9bb7727639d", key: "k", ruleset: rules, fileSystems: []string{"fs"}},
	})
	look(err)
	if made.ID == "" {
		t.Error("the launch names no machine")
	}
	look(d.Mark(ctx, []machine{{Instance: cloud.Instance{ID: all[0].ID, Identity: spec.Nodes[0].Identity}}}))
	look(d.DeleteMachines(ctx, []machine{{Instance: cloud.Instance{ID: all[0].ID}}}))
	look(d.RemoveThing(ctx, cloud.Thing{Kind: cloud.ThingKey, ID: "ddf9a910ceb744a0bb95242cbba6cb50"}))
	look(d.RemoveThing(ctx, cloud.Thing{Kind: cloud.ThingFirewall, ID: rules}))
}
