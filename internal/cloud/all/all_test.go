// SPDX-License-Identifier: MPL-2.0

package all_test

import (
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
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
