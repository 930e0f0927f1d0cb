// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
)

func imageAuthType() map[string]attr.Type {
	return map[string]attr.Type{"username": types.StringType, "password": types.StringType}
}

// imageLogin reads the write-only image_auth, which only the configuration has.
func imageLogin(ctx context.Context, config tfsdk.Config) (broker.RegistryLogin, diag.Diagnostics) {
	var object types.Object
	diags := config.GetAttribute(ctx, path.Root("image_auth"), &object)
	if diags.HasError() || object.IsNull() {
		return broker.RegistryLogin{}, diags
	}
	var login struct {
		Username types.String `tfsdk:"username"`
		Password types.String `tfsdk:"password"`
	}
	diags.Append(object.As(ctx, &login, kit.ObjectOptions)...)
	return broker.RegistryLogin{Username: login.Username.ValueString(), Password: login.Password.ValueString()}, diags
}

// checkContainer refuses image_auth where no container's image is asked for.
func checkContainer(m clusterModel, w request.Resources, known bool, diags *diag.Diagnostics) {
	if !known || m.ImageAuth.IsNull() || m.ImageAuth.IsUnknown() || contained(w) {
		return
	}
	kit.Refuse(diags, path.Root("image_auth"), "No image to log in for",
		"This is the login to the registry of a container's image, and resources asks for none. Write image_id = \"docker:<image>\" there, or leave image_auth out.")
}

// checkRuntime refuses a change to a runtime whose jobs would not run in the
// container of the cluster's nodes.
func (r *clusterResource) checkRuntime(ctx context.Context, old, m clusterModel, diags *diag.Diagnostics) {
	if old.Runtime.Equal(m.Runtime) || m.Runtime.IsUnknown() {
		return
	}
	w, known, d := request.Read(ctx, m.Resources)
	caps, ok := r.data.CapabilitiesOf(old.Cloud.ValueString())
	if d.HasError() || !known || !ok {
		return
	}
	why := caps.CannotContain(old.offer(), m.Runtime.ValueString())
	if contained(w) && why != "" {
		kit.Refuse(diags, path.Root("runtime"), "The cluster runs its jobs in a container", why+". Keep the runtime, or take an image of a machine.")
	}
}

// contained reports whether resources ask for the image of a container.
func contained(w request.Resources) bool {
	return slices.ContainsFunc(w.Images(), func(image string) bool {
		_, ok := cloud.ContainerImage(image)
		return ok
	})
}
