// SPDX-License-Identifier: MPL-2.0

package all_test

import (
	"io/fs"
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/catalogs"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
	"github.com/skybroker/terraform-provider-sky/templates"
)

func TestRegistry(t *testing.T) {
	r, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	if names := r.Names(); !slices.Contains(names, "fluffycloud") {
		t.Errorf("the clouds are %v, without the embedded one", names)
	}
	for _, name := range r.Names() {
		if f, ok := r.Get(name); !ok || f.Name() != name {
			t.Errorf("Get(%q) does not give that cloud", name)
		}
	}
}

// A driver is no cloud yet: plan needs its catalog, a launch its template.
func TestEveryCloudIsWhole(t *testing.T) {
	r, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range r.Names() {
		for _, file := range []string{name + "/vms.csv", name + "/about.json"} {
			if _, err := fs.Stat(catalogs.FS, file); err != nil {
				t.Errorf("catalogs/%s: %v", file, err)
			}
		}
		if _, err := fs.Stat(templates.FS, name+".yaml.tmpl"); err != nil {
			t.Errorf("templates/%s.yaml.tmpl: %v", name, err)
		}
	}
}
