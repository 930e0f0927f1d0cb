// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
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
	parsed, err := parseTask(wholeTask)
	if err != nil {
		t.Fatal(err)
	}
	object := parsed.value().Attributes()
	resources, ok := object["resources"].(types.Object)
	if !ok {
		t.Fatalf("resources = %v", object["resources"])
	}
	want := map[string]attr.Value{
		"name": types.StringValue("train"), "num_nodes": types.Int64Value(2), "workdir": types.StringValue("./src"),
		"setup": types.StringValue("pip install -r requirements.txt\n"), "run": types.StringValue("python train.py"),
		"envs":        textMapValue(map[string]string{"EPOCHS": "3", "LR": "0.1", "RESUME": "yes"}),
		"file_mounts": textMapValue(map[string]string{"~/data": "./data"}),
	}
	for name, w := range want {
		if !object[name].Equal(w) {
			t.Errorf("%s = %v, want %v", name, object[name], w)
		}
	}
	for name, w := range map[string]attr.Value{
		"infra": types.StringValue("aws/us-east-1"), "accelerators": types.DynamicValue(types.StringValue("A100:8")), "cpus": types.StringValue("8+"),
		"memory": types.StringValue("32"), "use_spot": types.BoolValue(true), "disk_size": types.Int64Value(256), "disk_tier": types.StringValue("high"),
		"max_hourly_cost": types.Float64Value(30), "zone": types.StringNull(), "image_id": types.StringNull(),
		"ports":  types.ListValueMust(types.StringType, []attr.Value{types.StringValue("8080"), types.StringValue("9000-9010")}),
		"labels": textMapValue(map[string]string{"team": "vision"}),
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
			parsed, err := parseTask(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			for _, side := range []struct {
				got  []taskMachine
				want string
			}{{parsed.resources.anyOf, tt.anyOf}, {parsed.resources.ordered, tt.ordered}} {
				var names []string
				for _, m := range side.got {
					text, ok := m["accelerators"].(types.String)
					if !ok {
						t.Fatalf("alternative %v has no accelerators", m)
					}
					names = append(names, text.ValueString())
				}
				if strings.Join(names, " ") != side.want {
					t.Errorf("alternatives %q, want %q", names, side.want)
				}
			}
			parsed.value() // must fit the type it promises
		})
	}
}

func TestTaskAccelerators(t *testing.T) {
	for text, want := range map[string]attr.Value{
		"{}":                                 types.DynamicNull(),
		"accelerators: L4":                   types.DynamicValue(types.StringValue("L4")),
		"accelerators: [L4]":                 types.DynamicValue(types.StringValue("L4")),
		"gpus: ['H100:8', 'A100:8']":         types.DynamicValue(types.ListValueMust(types.StringType, specs("H100:8", "A100:8"))),
		"accelerators: {'V100:8', 'A100:8'}": types.DynamicValue(types.SetValueMust(types.StringType, specs("A100:8", "V100:8"))),
		"accelerators: {H100: 8, A100: 4}":   types.DynamicValue(types.SetValueMust(types.StringType, specs("A100:4", "H100:8"))),
		"{accelerators: ['A:1', 'B:1'], any_of: [{cloud: aws}]}": types.DynamicValue(types.ListValueMust(types.StringType, specs("A:1", "B:1"))),
	} {
		r, err := parseResources(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := r.value().Attributes()["accelerators"]; !got.Equal(want) {
			t.Errorf("%s: accelerators = %v, want %v", text, got, want)
		}
	}
}

// What cannot be carried is refused by name.
func TestTaskRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no YAML", "a: [", "not a YAML object"},
		{"a list", "- a", "not a YAML object"},
		{"deep brackets", "envs: " + strings.Repeat("[", 10_000), "nested more than 100 deep"},
		{"a bomb of aliases", "name: &a [x, x]\nenvs: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
			"workdir: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nrun: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n" +
			"setup: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n", "its aliases"},
		{"secrets", "secrets: {A: b}", "secrets: this field"},
		{"service", "service: {}", "service: this field"},
		{"volumes", "volumes: {/a: b}", "volumes: this field"},
		{"git workdir", "workdir: {url: 'https://x', ref: main}", "workdir: a git repository"},
		{"bucket", "file_mounts: {/data: 's3://bucket'}", `file_mounts["/data"]`},
		{"storage object", "file_mounts: {/data: {name: b, mode: MOUNT}}", `file_mounts["/data"]`},
		{"nodes", "num_nodes: many", `num_nodes: "many" is not a whole number`},
		{"env without value", "envs: {TOKEN: }", "envs.TOKEN: has no value"},
		{"unknown", "resources: {autoscale: best}", "resources: autoscale: this field"},
		{"image per region", "resources: {image_id: {us-east-1: ami-1}}", "image_id: one value for each region"},
		{"bad accelerators", "resources: {accelerators: 'A100:0'}", "resources: accelerators:"},
		{"spot", "resources: {use_spot: maybe}", "use_spot: must be true or false"},
		{"both", "resources: {any_of: [{cloud: aws}], ordered: [{cloud: gcp}]}", "exclude each other"},
		{"order within any_of", "resources: {any_of: [{accelerators: ['A:1', 'B:1']}]}", "any_of[0]: accelerators: a list in order within any_of"},
		{"job recovery", "resources: {job_recovery: {max_restarts_on_errors: 3}}", "job_recovery: this field cannot be carried; remove it from the YAML and give recover_on_exit_codes"},
		{"pipeline", "name: a\n---\nname: b\n", "several documents"},
		{"base 60", "envs: {T: 1:30}", "envs.T: 1:30 is read differently"},
		{"a time", "envs: {T: 2026-11-23T10:00:00Z}", "envs.T: 2026-11-23T10:00:00Z is read differently"},
		{"field twice", "run: a\nrun: b\n", "already defined"},
		{"env in a list", "envs: [A]", "envs: must be an object"},
		{"nested", "resources: {any_of: [{any_of: [{cloud: aws}]}]}", "any_of[0]: ports, labels and further alternatives"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseTask(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parseTask = %v, want %q", err, tt.want)
			}
		})
	}
}

// Variables have the text that SkyPilot gives them.
func TestTaskEnvs(t *testing.T) {
	const text = `
name: x
envs: &e
  A: true
  B: yes
  C: "yes"
  D: 'off'
  E: Off
  F: 010
  G: 0x1F
  H: 1_000
  I: 1.0
  J: 1.50
  K: 1e-3
  L: 1.0e+3
  M: -0.00001
  N: 2026-11-23
  O: plain text
  P: ""
  Q: |
    two
    lines
  R: 12345678901234567890123
  S: "1:30"
  T: .5
  U: 100000000000000000.0
`
	// As Python 3 writes what yaml.safe_load reads.
	want := map[string]string{
		"A": "True", "B": "True", "C": "yes", "D": "off", "E": "False", "F": "8", "G": "31", "H": "1000", "I": "1.0", "J": "1.5", "K": "1e-3",
		"L": "1000.0", "M": "-1e-05", "N": "2026-11-23", "O": "plain text", "P": "", "Q": "two\nlines\n", "R": "12345678901234567890123", "S": "1:30",
		"T": "0.5", "U": "1e+17",
	}
	for _, doc := range []string{text, text + "---\n", "---" + text} {
		parsed, err := parseTask(doc)
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			if got := parsed.envs[name]; got != w {
				t.Errorf("%s = %q, want %q", name, got, w)
			}
		}
	}
}

func FuzzTask(f *testing.F) {
	f.Add(wholeTask)
	f.Add("resources: {any_of: [{accelerators: {A: 1}}]}")
	f.Fuzz(func(_ *testing.T, text string) {
		if parsed, err := parseTask(text); err == nil {
			parsed.value()
		}
	})
}

// call runs a function of one string argument.
func call(t *testing.T, f function.Function, arg string) (attr.Value, *function.FuncError) {
	t.Helper()
	var def function.DefinitionResponse
	f.Definition(context.Background(), function.DefinitionRequest{}, &def)
	result, ferr := def.Definition.Return.NewResultData(context.Background())
	if ferr != nil {
		t.Fatal(ferr)
	}
	resp := function.RunResponse{Result: result}
	f.Run(context.Background(), function.RunRequest{Arguments: function.NewArgumentsData([]attr.Value{types.StringValue(arg)})}, &resp)
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
