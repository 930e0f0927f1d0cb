// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The guide has a row for every field of SkyPilot's, and what a row says becomes
// of the field is what becomes of a plain value of it.
func TestGuideHasEveryField(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "templates", "guides", "from-skypilot.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tables, ok := strings.Cut(string(text), "## Every field of a task\n")
	ofTask, ofResources, ok2 := strings.Cut(tables, "## Every field of resources\n")
	if !ok || !ok2 {
		t.Fatal("the guide has no such tables")
	}
	values := map[string]string{
		"name": "x", "workdir": ".", "num_nodes": "2", "resources": "{cpus: 2}", "envs": "{A: b}", "secrets": "{A: }", "managed_secrets": "[A]",
		"file_mounts": "{/a: ./a}", "setup": "a", "run": "a", "service": "{replicas: 2}", "config": "{kubernetes: {}}",
		"accelerators": "A100:8", "gpus": "L4", "use_spot": "true", "disk_size": "100", "memory": "32+", "max_hourly_cost": "3", "network_tier": "standard",
		"ports": "[80]", "labels": "{a: b}", "autostop": "10", "any_of": "[{cpus: 2}]", "ordered": "[{cpus: 2}]", "job_recovery": "{max_restarts_on_errors: 2}",
		"image_id": "{r: ami-1}",
	}
	for _, side := range []struct {
		table, before, after string
		fields               []string
	}{{ofTask, "", "", taskFields()}, {ofResources, "resources: {", "}", resourceFields()}} {
		rows := rowsOf(side.table)
		for _, name := range side.fields {
			value := values[name]
			if value == "" {
				value = "x"
			}
			_, err := Parse(side.before + name + ": " + value + side.after)
			switch what := rows[name]; {
			case what == "":
				t.Errorf("the guide has no row for %s%s", side.before, name)
			case strings.HasPrefix(what, "Refused") != (err != nil):
				t.Errorf("the guide says of %s%s: %q; it is %v", side.before, name, what, err)
			}
			delete(rows, name)
		}
		for name := range rows {
			t.Errorf("the guide has a row for %s%s, which is no field", side.before, name)
		}
	}
}

// rowsOf are the second cells of a table, by the name in the first.
func rowsOf(table string) map[string]string {
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([A-Z][a-z]+[^|]*) \\|").FindAllStringSubmatch(table, -1) {
		if slices.ContainsFunc([]string{"Carried", "Returned", "Refused"}, func(w string) bool { return strings.HasPrefix(m[2], w) }) {
			rows[m[1]] = m[2]
		}
	}
	return rows
}
