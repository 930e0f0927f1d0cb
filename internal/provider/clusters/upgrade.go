// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

var _ resource.ResourceWithUpgradeState = (*clusterResource)(nil)

// UpgradeState reads the state of releases in which resources.accelerators was
// a string; now it is of any type, and Terraform writes the type beside it.
func (r *clusterResource) UpgradeState(context.Context) map[int64]resource.StateUpgrader {
	return map[int64]resource.StateUpgrader{
		0: {StateUpgrader: func(_ context.Context, req resource.UpgradeStateRequest, resp *resource.UpgradeStateResponse) {
			text, err := withTypedAccelerators(req.RawState.JSON)
			if err != nil {
				resp.Diagnostics.AddError("State of an earlier release cannot be read", kit.Sentence(err.Error()))
				return
			}
			resp.DynamicValue = &tfprotov6.DynamicValue{JSON: text}
		}},
	}
}

// withTypedAccelerators turns "A100:8" into {"value":"A100:8","type":"string"}.
func withTypedAccelerators(state []byte) ([]byte, error) {
	var attributes map[string]json.RawMessage
	if err := json.Unmarshal(state, &attributes); err != nil {
		return nil, fmt.Errorf("the state of the cluster is no JSON object: %w", err)
	}
	var resources map[string]json.RawMessage
	if err := json.Unmarshal(attributes["resources"], &resources); err != nil || resources == nil {
		return state, nil //nolint:nilerr // without resources there is nothing to turn
	}
	var old *string
	if err := json.Unmarshal(resources["accelerators"], &old); err != nil || old == nil {
		return state, nil //nolint:nilerr // null, or typed already
	}
	typed, err := json.Marshal(map[string]string{"value": *old, "type": "string"})
	if err != nil {
		return nil, fmt.Errorf("writing accelerators: %w", err)
	}
	resources["accelerators"] = typed
	if attributes["resources"], err = json.Marshal(resources); err != nil {
		return nil, fmt.Errorf("writing resources: %w", err)
	}
	out, err := json.Marshal(attributes)
	if err != nil {
		return nil, fmt.Errorf("writing the state: %w", err)
	}
	return out, nil
}
