// SPDX-License-Identifier: MPL-2.0

package functions

import (
	"context"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

const wholeTask = `
name: train
num_nodes: 2
workdir: ./src
envs:
  EPOCHS: 3
  LR: 0.1
  RESUME: "yes"
file_mounts:
  ~/data: ./data
resources:
  infra: aws/us-east-1
  accelerators: {A100: 8}
  cpus: 8+
  memory: 32
  use_spot: true
  disk_size: 256
  disk_tier: high
  max_hourly_cost: 30
  ports: [8080, 9000-9010]
  labels: {team: vision}
setup: |
  pip install -r requirements.txt
run: python train.py
`

func TestWholeTask(t *testing.T) {
	parsed, err := skypilot.Parse(wholeTask)
	if err != nil {
		t.Fatal(err)
	}
	object := taskValue(parsed).Attributes()
	resources, ok := object["resources"].(types.Object)
	if !ok {
		t.Fatalf("resources = %v", object["resources"])
	}
	want := map[string]attr.Value{
		"name": types.StringValue("train"), "num_nodes": types.Int64Value(2), "workdir": types.StringValue("./src"),
		"setup": types.StringValue("pip install -r requirements.txt\n"), "run": types.StringValue("python train.py"),
		"envs":        kit.MapOf(map[string]string{"EPOCHS": "3", "LR": "0.1", "RESUME": "yes"}),
		"file_mounts": kit.MapOf(map[string]string{"~/data": "./data"}),
	}
	for name, w := range want {
		if !object[name].Equal(w) {
			t.Errorf("%s = %v, want %v", name, object[name], w)
		}
	}
	for name, w := range map[string]attr.Value{
		"infra": types.StringValue("aws/us-east-1"), "accelerators": types.DynamicValue(types.StringValue("A100:8")), "cpus": types.StringValue("8+"),
		"memory": types.StringValue("32"), "use_spot": types.BoolValue(true), "disk_size": types.Int64Value(256), "disk_tier": types.StringValue("high"),
		"max_hourly_cost": types.Float64Value(60), "zone": types.StringNull(), "image_id": types.StringNull(),
		"ports":  types.ListValueMust(types.StringType, []attr.Value{types.StringValue("8080"), types.StringValue("9000-9010")}),
		"labels": kit.MapOf(map[string]string{"team": "vision"}),
	} {
		if got := resources.Attributes()[name]; !got.Equal(w) {
			t.Errorf("resources.%s = %v, want %v", name, got, w)
		}
	}
}

func TestTaskAlternatives(t *testing.T) {
	tests := []struct {
		name, text, anyOf, ordered string
	}{
		{"one", "resources: {accelerators: 'L4:1'}", "", ""},
		{"several within any_of", "resources: {any_of: [{accelerators: {A100: 8, L4: 1}, cloud: aws}, {accelerators: 'H100:8'}]}", "A100:8 L4:1 H100:8", ""},
		{"several within ordered", "resources: {ordered: [{accelerators: ['H100:8', 'A100:8']}]}", "", "H100:8 A100:8"},
		{"any_of", "resources: {any_of: [{accelerators: 'A100:8', cloud: aws}, {accelerators: 'H100:8'}]}", "A100:8 H100:8", ""},
		{"ordered", "resources: {ordered: [{accelerators: 'A100:8'}, {accelerators: 'H100:8', use_spot: true}]}", "", "A100:8 H100:8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parsed, err := skypilot.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			for _, side := range []struct {
				got  []skypilot.Machine
				want string
			}{{parsed.Resources.AnyOf, tt.anyOf}, {parsed.Resources.Ordered, tt.ordered}} {
				var names []string
				for _, m := range side.got {
					text, ok := m["accelerators"].(string)
					if !ok {
						t.Fatalf("alternative %v has no accelerators", m)
					}
					names = append(names, text)
				}
				if strings.Join(names, " ") != side.want {
					t.Errorf("alternatives %q, want %q", names, side.want)
				}
			}
			taskValue(parsed) // must fit the type it promises
		})
	}
}

func TestTaskAccelerators(t *testing.T) {
	for text, want := range map[string]attr.Value{
		"{}":                                 types.DynamicNull(),
		"accelerators: L4":                   types.DynamicValue(types.StringValue("L4")),
		"accelerators: [L4]":                 types.DynamicValue(types.StringValue("L4")),
		"gpus: ['H100:8', 'A100:8']":         types.DynamicValue(types.ListValueMust(types.StringType, listed("H100:8", "A100:8"))),
		"accelerators: {'V100:8', 'A100:8'}": types.DynamicValue(types.SetValueMust(types.StringType, listed("A100:8", "V100:8"))),
		"accelerators: {H100: 8, A100: 4}":   types.DynamicValue(types.SetValueMust(types.StringType, listed("A100:4", "H100:8"))),
		"{accelerators: ['A:1', 'B:1'], any_of: [{cloud: aws}]}": types.DynamicValue(types.ListValueMust(types.StringType, listed("A:1", "B:1"))),
	} {
		r, err := skypilot.ParseResources(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := resourcesValue(r).Attributes()["accelerators"]; !got.Equal(want) {
			t.Errorf("%s: accelerators = %v, want %v", text, got, want)
		}
	}
}

func FuzzTask(f *testing.F) {
	f.Add(wholeTask)
	f.Add("resources: {any_of: [{accelerators: {A: 1}}]}")
	f.Add("name: p\nexecution: parallel\n---\nname: a\nworkdir: {url: 'https://x', ref: $R}\n--- {name: b, resources: {image_id: {r: i}, job_recovery: {recover_on_exit_codes: [1]}}}\n...\n")
	f.Fuzz(func(_ *testing.T, text string) {
		if parsed, err := skypilot.Parse(text); err == nil {
			taskValue(parsed)
		}
		if parsed, err := skypilot.ParseTasks(text, skypilot.Given{Infra: "a/b", Base: "c"}); err == nil {
			tasksValue(parsed)
		}
	})
}

// call runs a function of one string argument.
func call(t *testing.T, f function.Function, arg string, more ...attr.Value) (attr.Value, *function.FuncError) {
	t.Helper()
	var def function.DefinitionResponse
	f.Definition(context.Background(), function.DefinitionRequest{}, &def)
	result, ferr := def.Definition.Return.NewResultData(context.Background())
	if ferr != nil {
		t.Fatal(ferr)
	}
	resp := function.RunResponse{Result: result}
	arguments := []attr.Value{types.StringValue(arg)}
	if def.Definition.VariadicParameter != nil {
		var rest []attr.Value
		var kinds []attr.Type
		for _, m := range more {
			rest, kinds = append(rest, types.DynamicValue(m)), append(kinds, types.DynamicType)
		}
		arguments = append(arguments, types.TupleValueMust(kinds, rest))
	}
	f.Run(context.Background(), function.RunRequest{Arguments: function.NewArgumentsData(arguments)}, &resp)
	return resp.Result.Value(), resp.Error
}

func TestFunctions(t *testing.T) {
	got, ferr := call(t, parseAcceleratorsFunction(), "A100:8")
	want := types.ObjectValueMust(acceleratorType().AttrTypes, map[string]attr.Value{"name": types.StringValue("A100"), "count": types.Float64Value(8)})
	if ferr != nil || !got.Equal(want) {
		t.Errorf("parse_accelerators = %v, %v", got, ferr)
	}
	if _, ferr := call(t, parseAcceleratorsFunction(), "A100:-1"); ferr == nil || ferr.FunctionArgument == nil {
		t.Errorf("parse_accelerators of nonsense = %v, want an error at its argument", ferr)
	}
	for _, f := range []function.Function{parseResourcesFunction(), taskFunction()} {
		if v, ferr := call(t, f, "{}"); ferr != nil || v.IsUnknown() {
			t.Errorf("%T of {} = %v, %v", f, v, ferr)
		}
		if _, ferr := call(t, f, "nope: 1"); ferr == nil || !strings.Contains(ferr.Text, "nope: this field") {
			t.Errorf("%T of an unknown field = %v", f, ferr)
		}
	}
}

// Every task that is read gives values that its resources take as they are.
func TestTaskCanBeUsed(t *testing.T) {
	for _, text := range []string{"{}", "run: a", "resources:\n", "name: x\nenvs:\n  TOKEN:\n"} {
		got, ferr := call(t, taskFunction(), text)
		object, ok := got.(types.Object)
		if ferr != nil || !ok {
			t.Fatalf("%q: %v, %v", text, got, ferr)
		}
		name, want := object.Attributes()["name"], types.StringValue("task")
		if strings.HasPrefix(text, "name") {
			want = types.StringValue("x")
		}
		if !name.Equal(want) || object.Attributes()["resources"].IsNull() || object.Attributes()["required_envs"].IsNull() {
			t.Errorf("%q = %v", text, object)
		}
	}
}

func TestTaskBeside(t *testing.T) {
	got, ferr := call(t, taskFunction(), "{envs: {TOKEN: , A: a}, secrets: {HF: }, service: {replicas: 2, ports: [80, a, yes], probe: }, resources: {autostop: {idle_minutes: 5, hook_timeout: 60}}}")
	object, ok := got.(types.Object)
	if ferr != nil || !ok {
		t.Fatalf("%v, %v", got, ferr)
	}
	tuple := types.TupleValueMust([]attr.Type{types.NumberType, types.StringType, types.StringType}, []attr.Value{types.NumberValue(big.NewFloat(80)), types.StringValue("a"), types.StringValue("yes")})
	want := map[string]attr.Value{
		"required_envs": kit.ListOf([]string{"TOKEN"}), "secrets": kit.ListOf([]string{"HF"}), "envs": kit.MapOf(map[string]string{"A": "a"}),
		"autostop": types.ObjectValueMust(autostopTypes(), map[string]attr.Value{
			"idle_minutes": types.Float64Value(5), "down": types.BoolNull(), "wait_for": types.StringNull(), "hook": types.StringNull(), "hook_timeout": types.StringValue("60s"),
		}),
		"service": types.DynamicValue(types.ObjectValueMust(
			map[string]attr.Type{"replicas": types.NumberType, "ports": tuple.Type(t.Context()), "probe": types.StringType},
			map[string]attr.Value{"replicas": types.NumberValue(big.NewFloat(2)), "ports": tuple, "probe": types.StringNull()})),
	}
	for name, w := range want {
		if !object.Attributes()[name].Equal(w) {
			t.Errorf("%s = %v, want %v", name, object.Attributes()[name], w)
		}
	}
}

// The function says all problems in its error, and task_problems as values.
func TestTaskProblems(t *testing.T) {
	const text = "resorces: {}\nnum_nodes: many\n"
	_, ferr := call(t, taskFunction(), text)
	if ferr == nil || !strings.Contains(ferr.Text, "2 problems:\n- line 1: resorces: ") || !strings.Contains(ferr.Text, "\n- line 2: num_nodes: ") {
		t.Errorf("task = %v", ferr)
	}
	got, ferr := call(t, taskProblemsFunction(), text)
	list, ok := got.(types.List)
	if ferr != nil || !ok || len(list.Elements()) != 2 {
		t.Fatalf("task_problems = %v, %v", got, ferr)
	}
	want := types.ObjectValueMust(problemType().AttrTypes, map[string]attr.Value{
		"line": types.Int64Value(1), "field": types.StringValue("resorces"), "means": types.StringValue("this field does not exist in SkyPilot"), "write": types.StringValue("write resources"),
	})
	if !list.Elements()[0].Equal(want) {
		t.Errorf("task_problems[0] = %v, want %v", list.Elements()[0], want)
	}
	for text, n := range map[string]int{"run: a": 0, "run: [": 1} {
		got, ferr := call(t, taskProblemsFunction(), text)
		if list, ok := got.(types.List); ferr != nil || !ok || len(list.Elements()) != n {
			t.Errorf("task_problems of %q = %v, %v, want %d", text, got, ferr, n)
		}
	}
}

// The second argument says what the YAML does not, or says in another way.
func TestTaskGiven(t *testing.T) {
	const text = "{workdir: src, envs: {N: , M: 1}, file_mounts: {/a: ~/a, /b: './b-$N'}, resources: {any_of: [{infra: aws, cpus: 2}, {infra: gcp/x, cpus: 2}, {cpus: 4}]}}"
	given := func(members map[string]attr.Value) attr.Value {
		kinds := map[string]attr.Type{}
		for name, v := range members {
			kinds[name] = v.Type(t.Context())
		}
		return types.ObjectValueMust(kinds, members)
	}
	got, ferr := call(t, taskFunction(), text, given(map[string]attr.Value{
		"base": types.StringValue("mod"), "name": types.StringValue("mine"), "infra": types.StringValue("fluffycloud"),
		"envs": given(map[string]attr.Value{"N": types.NumberValue(big.NewFloat(8)), "O": types.StringValue("o")}),
	}))
	object, ok := got.(types.Object)
	if ferr != nil || !ok {
		t.Fatalf("%v, %v", got, ferr)
	}
	for name, w := range map[string]attr.Value{
		"name": types.StringValue("mine"), "workdir": types.StringValue("mod/src"), "required_envs": kit.ListOf(nil),
		"file_mounts": kit.MapOf(map[string]string{"/a": "~/a", "/b": "mod/b-8"}), "envs": kit.MapOf(map[string]string{"N": "8", "M": "1", "O": "o"}),
	} {
		if !object.Attributes()[name].Equal(w) {
			t.Errorf("%s = %v, want %v", name, object.Attributes()[name], w)
		}
	}
	resources, _ := object.Attributes()["resources"].(types.Object)
	anyOf, _ := resources.Attributes()["any_of"].(types.List)
	if !resources.Attributes()["infra"].Equal(types.StringValue("fluffycloud")) || len(anyOf.Elements()) != 2 || strings.Contains(anyOf.String(), "aws") {
		t.Errorf("resources = %v", resources)
	}
	for want, bad := range map[string][]attr.Value{
		"must be an object":                        {types.StringValue("x")},
		"Write one object":                         {given(nil), given(nil)},
		`"bass" cannot be given; write base, envs`: {given(map[string]attr.Value{"bass": types.StringValue("x")})},
		"Base must be a text":                      {given(map[string]attr.Value{"base": types.StringValue("")})},
		"Ignore must be a list":                    {given(map[string]attr.Value{"ignore": types.StringValue("x")})},
		`Ignore names "netwrk"`:                    {given(map[string]attr.Value{"ignore": kit.ListOf([]string{"priority", "netwrk"})})},
		"Envs must be a map":                       {given(map[string]attr.Value{"envs": types.BoolValue(true)})},
	} {
		if _, ferr := call(t, taskFunction(), "{}", bad...); ferr == nil || !strings.Contains(ferr.Text, want) || *ferr.FunctionArgument != 1 {
			t.Errorf("given %v: %v, want %q", bad, ferr, want)
		}
	}
	unknown := given(map[string]attr.Value{"name": types.StringUnknown()})
	if got, ferr := call(t, taskFunction(), "{}", unknown); ferr != nil || !got.IsUnknown() {
		t.Errorf("given what is unknown: %v, %v", got, ferr)
	}
}

// Tasks of several documents are a tuple of what task returns for each; what
// their parts cannot carry is told by task_problems, too.
func TestTasksValue(t *testing.T) {
	const text = "name: p\n---\nrun: a\nresources: {job_recovery: {max_restarts_on_errors: 2}}\n---\nname: b\nenvs: {N: }\nworkdir: $N\n"
	given := types.ObjectValueMust(map[string]attr.Type{"envs": types.MapType{ElemType: types.StringType}}, map[string]attr.Value{"envs": kit.MapOf(map[string]string{"N": "n"})})
	got, ferr := call(t, tasksFunction(), text, given)
	object, ok := got.(types.Object)
	if ferr != nil || !ok || !object.Attributes()["name"].Equal(types.StringValue("p")) || !object.Attributes()["parallel"].Equal(types.BoolValue(false)) {
		t.Fatalf("tasks = %v, %v", got, ferr)
	}
	list, ok := object.Attributes()["tasks"].(types.Dynamic)
	if !ok {
		t.Fatalf("tasks = %v", object)
	}
	tuple, ok := list.UnderlyingValue().(types.Tuple)
	if !ok || len(tuple.Elements()) != 2 {
		t.Fatalf("tasks = %v", list)
	}
	var tasks []map[string]attr.Value
	for _, e := range tuple.Elements() {
		if one, ok := e.(types.Object); ok {
			tasks = append(tasks, one.Attributes())
		}
	}
	codes, _ := tasks[0]["recover_on_exit_codes"].(types.List)
	if !tasks[0]["name"].Equal(types.StringValue("p-0")) || len(codes.Elements()) != 255 || !tasks[0]["max_restarts"].Equal(types.Int64Value(2)) {
		t.Errorf("the first = %v", tasks[0])
	}
	if !tasks[1]["workdir"].Equal(types.StringValue("n")) || !tasks[1]["recover_on_exit_codes"].IsNull() || !tasks[1]["max_restarts"].IsNull() {
		t.Errorf("the second = %v", tasks[1])
	}
	if _, ferr := call(t, taskFunction(), text, given); ferr == nil || !strings.Contains(ferr.Text, "read it with provider::sky::tasks") {
		t.Errorf("task = %v", ferr)
	}
	for want, more := range map[int][]attr.Value{0: {given}, 1: nil} {
		problems, ferr := call(t, taskProblemsFunction(), text, more...)
		if list, ok := problems.(types.List); ferr != nil || !ok || len(list.Elements()) != want {
			t.Errorf("task_problems = %v, %v, want %d", problems, ferr, want)
		}
	}
	unknown := types.ObjectValueMust(map[string]attr.Type{"name": types.StringType}, map[string]attr.Value{"name": types.StringUnknown()})
	for _, f := range []function.Function{tasksFunction(), taskProblemsFunction()} {
		if got, ferr := call(t, f, text, unknown); ferr != nil || !got.IsUnknown() {
			t.Errorf("%T given what is unknown: %v, %v", f, got, ferr)
		}
	}
}

func listed(names ...string) []attr.Value { return kit.ListOf(names).Elements() }

// The examples carry each argument of a task, so that who copies them loses none.
func TestExamplesCarryAllArguments(t *testing.T) {
	for _, name := range []string{"task", "tasks"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "functions", name, "function.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for argument := range taskTypes() {
			beside := slices.Contains([]string{"name", "required_envs", "secrets", "service"}, argument)
			if used := regexp.MustCompile(`(?m)^  ` + argument + ` += [a-z.]+\.` + argument + `$`); !beside && !used.Match(text) {
				t.Errorf("the example of %s drops %s", name, argument)
			}
		}
	}
}
