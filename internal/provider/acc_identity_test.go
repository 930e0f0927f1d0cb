// SPDX-License-Identifier: MPL-2.0

//go:build latest && !windows

package provider_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
)

// TestAccIdentity needs Terraform 1.12: a cluster is known by its identity, and
// an import block takes it by that.
func TestAccIdentity(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(
		resource.TestStep{
			Config: l.config(plain),
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectIdentity(cluster, map[string]knownvalue.Check{
				"name": knownvalue.StringExact("plain"), "cloud": knownvalue.StringExact("fluffycloud"),
				"region": knownvalue.StringExact("meadow-1"), "owner": knownvalue.StringRegexp(regexp.MustCompile(`^sky-[0-9a-f]{16}$`)),
			})},
		},
		resource.TestStep{ResourceName: cluster, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
	)
}

// The identity of an import block: the owner may be left out, and another's is
// refused.
func TestAccImportByIdentity(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, plain)
	w.mustRun("apply", "-auto-approve", "-no-color")
	machine := w.only()
	w.mustRun("state", "rm", cluster)
	block := func(owner string) string {
		return plain + "import {\n  to = sky_cluster.c\n  identity = {\n    name   = \"plain\"\n    cloud  = \"fluffycloud\"\n    region = \"meadow-1\"\n" + owner + "  }\n}\n"
	}
	w.write(block("    owner = \"sky-somebody-else\"\n"))
	if code, out := w.output("plan", "-no-color"); code == 0 || !strings.Contains(out, "sky-somebody-else") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	w.write(block(""))
	if code, out := w.output("plan", "-no-color"); code != 0 || !strings.Contains(out, "1 to import, 0 to add, 0 to change, 0 to destroy") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	w.mustRun("apply", "-auto-approve", "-no-color")
	w.unchanged()
	if w.only() != machine {
		t.Error("the machine is another one")
	}
}
