// SPDX-License-Identifier: MPL-2.0

package functions

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

func taskTypes() map[string]attr.Type {
	texts := types.MapType{ElemType: types.StringType}
	return map[string]attr.Type{
		"name": types.StringType, "num_nodes": types.Int64Type, "resources": types.ObjectType{AttrTypes: request.ResourcesTypes()},
		"setup": types.StringType, "run": types.StringType, "envs": texts, "workdir": types.StringType, "file_mounts": texts,
	}
}

// taskValue is a task as the function returns it.
func taskValue(t skypilot.Task) types.Object {
	resources := types.ObjectNull(request.ResourcesTypes())
	if t.Resources != nil {
		resources = resourcesValue(*t.Resources)
	}
	return types.ObjectValueMust(taskTypes(), map[string]attr.Value{
		"name": types.StringPointerValue(t.Name), "num_nodes": types.Int64PointerValue(t.NumNodes), "resources": resources,
		"setup": types.StringPointerValue(t.Setup), "run": types.StringPointerValue(t.Run), "envs": kit.MapOf(t.Envs),
		"workdir": types.StringPointerValue(t.Workdir), "file_mounts": kit.MapOf(t.FileMounts),
	})
}

// resourcesValue is a task's section as the attribute resources.
func resourcesValue(r skypilot.Resources) types.Object {
	members := machineMembers(request.ResourcesTypes(), r.Machine)
	members["accelerators"] = acceleratorsValue(r)
	if r.Ports != nil {
		members["ports"] = kit.ListOf(r.Ports)
	}
	members["labels"] = kit.MapOf(r.Labels)
	members["any_of"], members["ordered"] = machineList(r.AnyOf), machineList(r.Ordered)
	return types.ObjectValueMust(request.ResourcesTypes(), members)
}

// acceleratorsValue is the attribute of resources, which takes any type.
func acceleratorsValue(r skypilot.Resources) types.Dynamic {
	if one, ok := r.Machine["accelerators"].(string); ok {
		return types.DynamicValue(types.StringValue(one))
	}
	if len(r.Several.Names) == 0 {
		return types.DynamicNull()
	}
	list := kit.ListOf(r.Several.Names)
	if r.Several.Ordered {
		return types.DynamicValue(list)
	}
	return types.DynamicValue(types.SetValueMust(types.StringType, list.Elements()))
}

// machineMembers are a machine's fields as members of an object of these types;
// what is not set is null.
func machineMembers(of map[string]attr.Type, m skypilot.Machine) map[string]attr.Value {
	out := kit.Nulls(context.Background(), of)
	for name, v := range m {
		switch v := v.(type) {
		case string:
			out[name] = types.StringValue(v)
		case bool:
			out[name] = types.BoolValue(v)
		case int64:
			out[name] = types.Int64Value(v)
		case float64:
			out[name] = kit.Decimal(v)
		}
	}
	return out
}

func machineList(list []skypilot.Machine) types.List {
	element := types.ObjectType{AttrTypes: request.MachineTypes()}
	if list == nil {
		return types.ListNull(element)
	}
	var values []attr.Value
	for _, m := range list {
		values = append(values, types.ObjectValueMust(request.MachineTypes(), machineMembers(request.MachineTypes(), m)))
	}
	return types.ListValueMust(element, values)
}
