// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// description is the official one, as botocore ships it beside moto.
type description struct {
	Metadata   struct{ APIVersion string }
	Operations map[string]struct{ Input struct{ Shape string } }
	Shapes     map[string]shape
}

type shape struct {
	Type     string
	Required []string
	Members  map[string]reference
	Member   reference
	Min, Max float64
	Pattern  string
	Enum     []string
}

type reference struct{ Shape, LocationName, QueryName string }

// wire is a member's name as it travels.
func (r reference) wire(name string) string {
	switch {
	case r.QueryName != "":
		return r.QueryName
	case r.LocationName != "":
		return strings.ToUpper(r.LocationName[:1]) + r.LocationName[1:]
	}
	return name
}

func readDescription(t *testing.T) description {
	t.Helper()
	server, err := motoServer()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, root := range []string{filepath.Join(filepath.Dir(server), "..", "lib", "python3*", "site-packages"), "/usr/lib/python3/dist-packages"} {
		some, err := filepath.Glob(filepath.Join(root, "botocore", "data", "ec2", "2016-11-15", "service-2.json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, some...)
	}
	if len(found) == 0 {
		t.Fatalf("there is no botocore beside %s", server)
	}
	file, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.NewDecoder(text).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// derive is the table of the driver's actions.
func (d description) derive(actions []string) model {
	m := model{}
	for _, a := range actions {
		m[a] = map[string]parameter{}
		d.members(m[a], "", d.Operations[a].Input.Shape, nil)
	}
	return m
}

func (d description) members(into map[string]parameter, prefix, name string, above []string) {
	if slices.Contains(above, name) {
		return
	}
	s := d.Shapes[name]
	for member, r := range s.Members {
		d.add(into, prefix+r.wire(member), r.Shape, slices.Contains(s.Required, member), append(slices.Clone(above), name))
	}
}

func (d description) add(into map[string]parameter, path, name string, required bool, above []string) {
	s := d.Shapes[name]
	switch s.Type {
	case "list":
		d.add(into, path+".N", s.Member.Shape, required, above)
		return
	case "structure":
		if required {
			into[path] = parameter{kind: "structure", required: true}
		}
		d.members(into, path+".", name, above)
		return
	}
	p := parameter{kind: s.Type, required: required, min: s.Min, max: s.Max, pattern: strings.ReplaceAll(s.Pattern, " ", `\s`), enum: s.Enum}
	if name == "InstanceType" {
		p.enum = []string{name}
	}
	into[path] = p
}

// TestMotoModel compares the table in the repository with the description that
// came with moto, which may be a later one: it may know more parameters and
// values, and nothing else may differ. With SKY_UPDATE_EC2_MODEL set it writes
// the table.
func TestMotoModel(t *testing.T) {
	d := readDescription(t)
	now := d.derive(slices.Sorted(maps.Keys(ec2Facts())))
	if os.Getenv("SKY_UPDATE_EC2_MODEL") != "" {
		var text strings.Builder
		text.WriteString("# SPDX-License-Identifier: MPL-2.0\n# Derived by TestMotoModel; see model_test.go.\n")
		for _, action := range slices.Sorted(maps.Keys(now)) {
			text.WriteString(action + "\n")
			for _, name := range slices.Sorted(maps.Keys(now[action])) {
				fmt.Fprintf(&text, "%s %s %s\n", action, name, now[action][name])
			}
		}
		if err := os.WriteFile(modelFile, []byte(text.String()), 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
	}
	for action, own := range readModel(t) {
		if _, ok := d.Operations[action]; !ok {
			t.Errorf("EC2 has no action %s", action)
		}
		for name, p := range own {
			official, ok := now[action][name]
			more := slices.DeleteFunc(slices.Clone(p.enum), func(v string) bool { return slices.Contains(official.enum, v) })
			p.enum, official.enum = nil, nil
			if !ok || len(more) > 0 || p.String() != official.String() {
				t.Errorf("%s %s is %s (%v), and %s in EC2's description", action, name, p, more, official)
			}
		}
		for name, p := range now[action] {
			if _, ok := own[name]; p.required && !ok {
				t.Errorf("%s requires %s, which the table does not know", action, name)
			}
		}
	}
}
