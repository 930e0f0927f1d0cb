// SPDX-License-Identifier: MPL-2.0

package about

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/skybroker/terraform-provider-sky/catalogs"
)

// Every file reads, and no two clouds have one name in the hosted catalogs.
func TestEveryAboutReads(t *testing.T) {
	seen := map[string]string{}
	for _, name := range names() {
		c, err := read(catalogs.FS, name)
		if err != nil {
			t.Error(err)
			continue
		}
		if other := seen[c.Hosted]; c.Hosted != "" && other != "" {
			t.Errorf("%s and %s are both hosted as %q", name, other, c.Hosted)
		}
		seen[c.Hosted] = name
	}
	if len(seen) == 0 {
		t.Fatal("there is no about.json")
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"dat": "2026-01-01"}`:                              "unknown field",
		`{"date": "1.1.2026"}`:                               "write it as 2026-09-20",
		`{"egress": [{"usd_per_gb": -1}]}`:                   "a price is 0 or more",
		`{"egress": [{"up_to_gb": 5}]}`:                      "leave its up_to_gb out",
		`{"egress": [{}, {}]}`:                               "steps rise",
		`{"egress": [{"up_to_gb": 5}, {"up_to_gb": 5}, {}]}`: "egress[1].up_to_gb is 5",
	} {
		_, err := read(fstest.MapFS{"x/about.json": {Data: []byte(text)}}, "x")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "catalogs/x/about.json") {
			t.Errorf("%s gives %v, without %q", text, err, want)
		}
	}
}

func TestHosted(t *testing.T) {
	hosted := Hosted()
	if !slices.IsSorted(hosted) || slices.Contains(hosted, "fluffycloud") || !slices.Contains(hosted, "digitalocean") {
		t.Errorf("hosted are %v", hosted)
	}
	if here, ok := ByHosted("do"); !ok || here != "digitalocean" {
		t.Errorf("do is %q", here)
	}
	for _, name := range []string{"", "nimbostratus", "digitalocean"} {
		if here, ok := ByHosted(name); ok {
			t.Errorf("%q is %q", name, here)
		}
	}
	if c := Of("nimbostratus"); c.Hosted != "" || c.Egress != nil || !c.Day().IsZero() {
		t.Errorf("of an unknown cloud is known %+v", c)
	}
}

// Prices are in steps, free is one step at 0, and what is not known has none.
func TestEgressOfTheDefaults(t *testing.T) {
	for name, want := range map[string]int{"aws": 5, "azure": 5, "gcp": 3, "oci": 2, "ibm": 2, "lambda": 1, "runpod": 1, "fluffycloud": 1, "vast": 0} {
		if got := len(Of(name).Egress); got != want {
			t.Errorf("%s has %d steps, want %d", name, got, want)
		}
	}
	if e := Of("aws").Egress; e[0].UpToGB != 100 || e[0].USDPerGB != 0 || e[1].USDPerGB != 0.09 {
		t.Errorf("aws asks %v", e)
	}
	if e := Of("lambda").Egress; e[0].UpToGB != 0 || e[0].USDPerGB != 0 {
		t.Errorf("lambda asks %v", e)
	}
}
