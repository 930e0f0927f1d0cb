// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

// A launch asks for what its plan asked for: machines that log in to registries,
// where the configuration, which alone has it, brings a login.
func TestLaunchKnowsOfTheLogin(t *testing.T) {
	b := newBench(t)
	resources := resourcesOf(values{"accelerators": text("T4:1"), "image_id": text("docker:nvcr.io/own:1")})
	plan := b.planned(func(m *clusterModel) { m.Resources = resources })
	config := b.planned(func(m *clusterModel) {
		m.Resources = resources
		m.ImageAuth = types.ObjectValueMust(imageAuthType(), map[string]attr.Value{"username": types.StringValue("u"), "password": types.StringValue("p")})
	})
	resp := resource.CreateResponse{State: b.empty()}
	b.r.Create(context.Background(), resource.CreateRequest{Plan: plan, Config: tfsdk.Config(config)}, &resp)
	b.must(resp.Diagnostics)
	spec := b.broker.launched[0]
	if !spec.Request.Needs.ImageLogin || spec.ImageLogin != (broker.RegistryLogin{Username: "u", Password: "p"}) {
		t.Errorf("launched with %+v, login %t", spec.Request.Needs, spec.ImageLogin != (broker.RegistryLogin{}))
	}
}

// An import that knows nothing but the machines asks for the container that they run.
func TestImportAsksForTheContainer(t *testing.T) {
	c := exampleCluster()
	if image := request.Member(resourcesOfMachines(context.Background(), c), "image_id"); !image.IsNull() {
		t.Errorf("without a container image_id is %s", image)
	}
	c.Container = "docker.io/library/ubuntu:24.04"
	if image := request.Member(resourcesOfMachines(context.Background(), c), "image_id"); !image.Equal(types.StringValue("docker:docker.io/library/ubuntu:24.04")) {
		t.Errorf("image_id is %s", image)
	}
}
