// SPDX-License-Identifier: MPL-2.0

//go:build latest && !windows

package provider_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const queried = `
resource "sky_cluster" "c" {
  name      = "plain"
  num_nodes = 2
  resources = { accelerators = "T4:1", ports = ["8080"] }
  setup     = "echo \"$WORD\""
  envs      = { WORD = "word" }
}
resource "sky_cluster" "d" {
  name      = "other"
  resources = { accelerators = "T4:1" }
  autostop  = { idle_minutes = 30 }
}
`

const query = `
list "sky_cluster" "all" {
  provider         = sky
  include_resource = true
}
list "sky_cluster" "named" {
  provider = sky
  config { name = "other" }
}
list "sky_cluster" "elsewhere" {
  provider = sky
  config { region = "meadow-9" }
}
list "sky_cluster" "unheld" {
  provider = sky
  config { unheld = true }
}
`

// TestAccQueryClusters lists clusters and imports what the query writes, without a
// change, where the state was lost; on this computer, and on one without a record.
func TestAccQueryClusters(t *testing.T) {
	t.Parallel()
	for _, records := range []bool{true, false} {
		w := newWorkspace(t, queried)
		w.mustRun(applyArgs()...)
		lists := filepath.Join(w.dir, "all.tfquery.hcl")
		writeFile(t, lists, query)
		out := w.wantRun(0, nil, "query", "-no-color")
		for list, want := range map[string]int{"all": 2, "named": 1, "elsewhere": 0, "unheld": 0} {
			if got := strings.Count(out, "list.sky_cluster."+list+"  "); got != want {
				t.Errorf("%s has %d rows, want %d:\n%s", list, got, want, out)
			}
		}
		if !strings.Contains(out, "plain: 2 x ") || strings.Contains(out, "no state") {
			t.Errorf("the rows are\n%s", out)
		}
		if !records {
			w.forgetRecords()
			out = w.wantRun(0, []string{"in no state that this computer knows of"}, "query", "-no-color")
			if got := strings.Count(out, "list.sky_cluster.unheld  "); got != 2 {
				t.Errorf("unheld has %d rows:\n%s", got, out)
			}
		}
		w.mustRun("state", "rm", "sky_cluster.c", "sky_cluster.d")
		w.write("")
		writeFile(t, lists, strings.SplitAfter(query, "}\n")[0])
		found := filepath.Join(w.dir, "found.tf")
		w.mustRun("query", "-no-color", "-generate-config-out="+found)
		if err := os.Remove(lists); err != nil {
			t.Fatal(err)
		}
		if text := readFile(t, found); records != strings.Contains(text, `"T4:1"`) {
			t.Errorf("what was configured is written: want %t\n%s", records, text)
		}
		w.wantRun(0, []string{"Plan: 2 to import, 0 to add, 0 to change, 0 to destroy."}, "plan", "-no-color")
		w.mustRun(applyArgs()...)
		w.unchanged()
	}
}
