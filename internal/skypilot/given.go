// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Given is what a configuration says in place of the YAML; what is empty is not
// said.
type Given struct {
	// Name and Infra replace the task's own. Infra is the place of every alternative.
	Name, Infra string
	// Commit is that of a workdir that is a git repository.
	Commit string
	// Base is the folder that relative local paths begin in.
	Base string
	// Ignore are fields of tasks, resources and groups that are not read.
	Ignore []string
	// Envs are values for the task's envs, or further ones.
	Envs map[string]string
}

// Ignorable reports whether a field can be ignored: it is one of SkyPilot's.
func Ignorable(name string) bool {
	return slices.Contains(slices.Concat(taskFields(), resourceFields(), groupFields()), name)
}

// addEnvs sets the given envs and commit, before paths are filled in with them.
func (t *Task) addEnvs(g Given) {
	if g.Commit != "" && t.repository != nil {
		t.repository.commit = g.Commit
	}
	if len(g.Envs) == 0 {
		return
	}
	if t.Envs == nil {
		t.Envs = map[string]string{}
	}
	maps.Copy(t.Envs, g.Envs)
	t.RequiredEnvs = slices.DeleteFunc(t.RequiredEnvs, func(name string) bool { _, ok := g.Envs[name]; return ok })
}

// take applies what else is given.
func (t *Task) take(g Given) {
	if g.Name != "" {
		t.Name = &g.Name
	}
	if g.Base != "" {
		if t.Workdir != nil {
			*t.Workdir = within(g.Base, *t.Workdir)
		}
		for to, from := range t.FileMounts {
			t.FileMounts[to] = within(g.Base, from)
		}
	}
	if g.Infra == "" {
		return
	}
	if t.Resources == nil {
		t.Resources = &Resources{Machine: Machine{}}
	}
	t.Resources.Machine.leave()
	t.Resources.Machine["infra"] = g.Infra
	t.Resources.AnyOf, t.Resources.Ordered = placeless(t.Resources.AnyOf), placeless(t.Resources.Ordered)
}

func within(base, name string) string {
	if filepath.IsAbs(name) || path.IsAbs(name) || name == "~" || strings.HasPrefix(name, "~/") {
		return name
	}
	return path.Join(filepath.ToSlash(base), name)
}

// leave takes a machine's place out.
func (m Machine) leave() {
	for _, name := range []string{"infra", "cloud", "region", "zone"} {
		delete(m, name)
	}
}

// placeless are alternatives without their places. Those that differed in it
// alone are one, and one that asks for nothing else is none.
func placeless(list []Machine) []Machine {
	var out []Machine
	for _, m := range list {
		m.leave()
		if !slices.ContainsFunc(out, func(other Machine) bool { return reflect.DeepEqual(m, other) }) {
			out = append(out, m)
		}
	}
	if len(out) == 1 && len(out[0]) == 0 {
		return nil
	}
	return out
}
