// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func (t task) value() types.Object {
	resources := types.ObjectNull(resourcesTypes())
	if t.resources != nil {
		resources = t.resources.value()
	}
	return types.ObjectValueMust(taskTypes(), map[string]attr.Value{
		"name": types.StringPointerValue(t.name), "num_nodes": types.Int64PointerValue(t.numNodes), "resources": resources,
		"setup": types.StringPointerValue(t.setup), "run": types.StringPointerValue(t.run), "envs": textMapValue(t.envs),
		"workdir": types.StringPointerValue(t.workdir), "file_mounts": textMapValue(t.fileMounts),
	})
}

// members fills the fields that are not set with null.
func (m taskMachine) members() map[string]attr.Value {
	out := nulls(context.Background(), machineTypes())
	maps.Copy(out, m)
	return out
}

// accelerators is the attribute of resources, which takes any type.
func (r taskResources) accelerators() types.Dynamic {
	if one, ok := r.taskMachine["accelerators"]; ok {
		return types.DynamicValue(one)
	}
	if len(r.several.texts) == 0 {
		return types.DynamicNull()
	}
	list := textListValue(r.several.texts)
	if r.several.ordered {
		return types.DynamicValue(list)
	}
	return types.DynamicValue(types.SetValueMust(types.StringType, list.Elements()))
}

func (r taskResources) value() types.Object {
	members := nulls(context.Background(), resourcesTypes())
	maps.Copy(members, r.taskMachine)
	members["accelerators"] = r.accelerators()
	if r.ports != nil {
		members["ports"] = textListValue(r.ports)
	}
	members["labels"] = textMapValue(r.labels)
	members["any_of"], members["ordered"] = machineList(r.anyOf), machineList(r.ordered)
	return types.ObjectValueMust(resourcesTypes(), members)
}

func machineList(list []taskMachine) types.List {
	element := types.ObjectType{AttrTypes: machineTypes()}
	if list == nil {
		return types.ListNull(element)
	}
	var values []attr.Value
	for _, m := range list {
		values = append(values, types.ObjectValueMust(machineTypes(), m.members()))
	}
	return types.ListValueMust(element, values)
}
