// SPDX-License-Identifier: MPL-2.0

package functions

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/request"
	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

func taskTypes() map[string]attr.Type {
	texts, list := types.MapType{ElemType: types.StringType}, types.ListType{ElemType: types.StringType}
	return map[string]attr.Type{
		"name": types.StringType, "num_nodes": types.Int64Type, "resources": types.ObjectType{AttrTypes: request.ResourcesTypes()},
		"setup": types.StringType, "run": types.StringType, "envs": texts, "workdir": types.StringType, "file_mounts": texts,
		"autostop": types.ObjectType{AttrTypes: autostopTypes()}, "required_envs": list, "secrets": list, "service": types.DynamicType,
		"recover_on_exit_codes": types.ListType{ElemType: types.Int64Type}, "max_restarts": types.Int64Type,
	}
}

// unnamed is the name of a task whose YAML gives none.
const unnamed = "task"

// taskValue is a task as the function returns it.
func taskValue(t skypilot.Task) types.Object {
	name, resources := unnamed, skypilot.Resources{}
	if t.Name != nil {
		name = *t.Name
	}
	if t.Resources != nil {
		resources = *t.Resources
	}
	codes, restarts := types.ListNull(types.Int64Type), types.Int64Null()
	if r := t.Recovery; r != nil {
		var values []attr.Value
		for _, code := range r.ExitCodes {
			values = append(values, types.Int64Value(code))
		}
		codes, restarts = types.ListValueMust(types.Int64Type, values), types.Int64PointerValue(r.MaxRestarts)
	}
	return types.ObjectValueMust(taskTypes(), map[string]attr.Value{
		"recover_on_exit_codes": codes, "max_restarts": restarts,
		"name": types.StringValue(name), "num_nodes": types.Int64PointerValue(t.NumNodes), "resources": resourcesValue(resources),
		"setup": types.StringPointerValue(t.Setup), "run": types.StringPointerValue(t.Run), "envs": kit.MapOf(t.Envs),
		"workdir": types.StringPointerValue(t.Workdir), "file_mounts": kit.MapOf(t.FileMounts),
		"autostop": autostopValue(resources.Autostop), "required_envs": kit.ListOf(t.RequiredEnvs), "secrets": kit.ListOf(t.Secrets),
		"service": serviceValue(t.Service),
	})
}

// tasksTypes are those of what several documents hold. The tasks are a tuple:
// Terraform has no list of objects with members of any type.
func tasksTypes() map[string]attr.Type {
	return map[string]attr.Type{"name": types.StringType, "parallel": types.BoolType, "tasks": types.DynamicType}
}

func tasksValue(t skypilot.Tasks) types.Object {
	name := types.StringNull()
	if t.Name != "" {
		name = types.StringValue(t.Name)
	}
	var kinds []attr.Type
	var values []attr.Value
	for _, one := range t.List {
		kinds, values = append(kinds, types.ObjectType{AttrTypes: taskTypes()}), append(values, taskValue(one))
	}
	return types.ObjectValueMust(tasksTypes(), map[string]attr.Value{
		"name": name, "parallel": types.BoolValue(t.Parallel), "tasks": types.DynamicValue(types.TupleValueMust(kinds, values)),
	})
}

func autostopTypes() map[string]attr.Type {
	return map[string]attr.Type{
		"idle_minutes": types.Float64Type, "down": types.BoolType, "wait_for": types.StringType,
		"hook": types.StringType, "hook_timeout": types.StringType,
	}
}

func autostopValue(a *skypilot.Autostop) types.Object {
	if a == nil {
		return types.ObjectNull(autostopTypes())
	}
	idle, timeout := types.Float64Null(), types.StringNull()
	if a.IdleMinutes != nil {
		idle = kit.Decimal(*a.IdleMinutes)
	}
	if a.HookTimeoutSecond != nil {
		timeout = types.StringValue(fmt.Sprintf("%ds", *a.HookTimeoutSecond))
	}
	return types.ObjectValueMust(autostopTypes(), map[string]attr.Value{
		"idle_minutes": idle, "down": types.BoolPointerValue(a.Down), "wait_for": types.StringPointerValue(a.WaitFor),
		"hook": types.StringPointerValue(a.Hook), "hook_timeout": timeout,
	})
}

func serviceValue(fields map[string]any) types.Dynamic {
	if fields == nil {
		return types.DynamicNull()
	}
	return types.DynamicValue(plainValue(fields))
}

// plainValue is what a YAML holds, as jsondecode returns it.
func plainValue(v any) attr.Value {
	switch v := v.(type) {
	case map[string]any:
		kinds, members := map[string]attr.Type{}, map[string]attr.Value{}
		for name, e := range v {
			members[name] = plainValue(e)
			kinds[name] = members[name].Type(context.Background())
		}
		return types.ObjectValueMust(kinds, members)
	case []any:
		var kinds []attr.Type
		var members []attr.Value
		for _, e := range v {
			members = append(members, plainValue(e))
			kinds = append(kinds, members[len(members)-1].Type(context.Background()))
		}
		return types.TupleValueMust(kinds, members)
	case bool:
		return types.BoolValue(v)
	case int64, uint64, float64:
		if n, _, err := big.ParseFloat(fmt.Sprint(v), 10, 64, big.ToNearestEven); err == nil && !n.IsInf() {
			return types.NumberValue(n)
		}
	case nil:
		return types.StringNull()
	}
	return types.StringValue(fmt.Sprint(v))
}

func problemType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"line": types.Int64Type, "field": types.StringType, "means": types.StringType, "write": types.StringType,
	}}
}

// problemsValue are the problems that reading a task came to.
func problemsValue(err error) types.List {
	values := []attr.Value{}
	var all skypilot.Problems
	if err != nil && !errors.As(err, &all) {
		all = skypilot.Problems{{Means: err.Error()}}
	}
	for _, p := range all {
		line := types.Int64Null()
		if p.Line > 0 {
			line = types.Int64Value(int64(p.Line))
		}
		values = append(values, types.ObjectValueMust(problemType().AttrTypes, map[string]attr.Value{
			"line": line, "field": types.StringValue(p.Field), "means": types.StringValue(p.Means), "write": types.StringValue(p.Write),
		}))
	}
	return types.ListValueMust(problemType(), values)
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
