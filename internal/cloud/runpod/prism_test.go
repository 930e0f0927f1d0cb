// SPDX-License-Identifier: MPL-2.0

//go:build specs

package runpod

import (
	"os"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// TestPrism makes every call of the driver to a mock that others wrote, which knows
// RunPod's OpenAPI file and refuses what it does not allow. make test-specs runs it.
func TestPrism(t *testing.T) {
	url := os.Getenv("SKY_PRISM_RUNPOD")
	if url == "" {
		t.Fatal("SKY_PRISM_RUNPOD is not set: it is the address of prism with RunPod's OpenAPI file; make test-specs starts one")
	}
	s, err := Factory{}.Open(t.Context(), cloud.Credentials{Values: map[string]string{optionKey: "any", optionEndpoint: url}})
	if err != nil {
		t.Fatal(err)
	}
	d := s.Provisioner.(*driver) //nolint:forcetypeassert // it is this package's
	ctx := t.Context()
	id := cloud.Identity{Owner: "o", Cluster: "c", Generation: "g"}
	ref := cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g", Cloud: Name, Region: "US"}
	at := account{}.Placement(1, cloud.OnDemand)
	at.Offer.InstanceType.Name = "1x_RTX4090_SECURE" // of which the file's examples are
	spec := account{}.Spec(cloud.ClusterSpec{Ref: ref, Ports: []cloud.PortRange{{First: 80, Last: 81}}, Nodes: []cloud.NodeSpec{{Identity: id}}})
	look := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	all, err := d.List(ctx, ref)
	look(err)
	if len(all) == 0 || all[0].ID == "" || all[0].ExternalIP == "" || all[0].SSHPort == 0 || all[0].State != cloud.StateRunning {
		t.Fatalf("the pods are read as %+v", all)
	}
	_, err = d.Get(ctx, ref, []string{all[0].ID})
	look(err)
	made, err := d.Create(ctx, fleet.Order[resources]{
		Node: spec.Nodes[0], Spec: spec, Placement: at,
		Resources: resources{image: defaultImage, registry: "r", volume: "v", mount: "/workspace", minCUDA: "12.4"},
	})
	look(err)
	if made.ID == "" {
		t.Error("the launch names no pod")
	}
	look(d.Mark(ctx, []machine{{Instance: cloud.Instance{ID: all[0].ID, Identity: id}}}))
	look(d.DeleteMachines(ctx, all[:1]))
}
