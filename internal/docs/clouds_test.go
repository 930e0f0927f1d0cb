// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
)

var update = flag.Bool("update", false, "write the table of clouds into the index")

// The table stands between these.
const (
	tableBegins = "<!-- the table of clouds: make generate writes it -->\n"
	tableEnds   = "<!-- the end of the table -->\n"
)

// TestTableOfClouds holds the table of the index against what the drivers say.
func TestTableOfClouds(t *testing.T) {
	const index = "templates/index.md.tmpl"
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", index)
	}
	want := before + tableBegins + tableOfClouds(t) + tableEnds + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the table of clouds in %s is not what the drivers can do; make generate writes it:\n%s", index, tableOfClouds(t))
	}
	if err := os.WriteFile(index, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

func tableOfClouds(t *testing.T) string {
	t.Helper()
	registry, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| Cloud | Stop and start | Spot | Several nodes | Ports | Removes itself when idle | Half-made machines end by themselves | Labels | Needs to be named |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, name := range registry.Names() {
		factory, _ := registry.Get(name)
		c := factory.Capabilities()
		_, _ = fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
			yes(c.Stop), spot(c), yes(c.MultiNode), either(c.PortsLater, "any time", c.PortsLaunch, "at launch"), either(c.SelfTerminate, "yes", c.SelfTerminateIf != "", "if set up"),
			either(c.DeadMan, "yes", c.DeadManStops, "they stop"), either(c.Labels && !c.LabelsFixed, "any time", c.Labels, "at launch"), yes(c.OptIn))
	}
	return b.String()
}

func yes(can bool) string { return either(can, "yes", false, "") }

// either is the first word that holds, else a dash.
func either(first bool, word string, second bool, other string) string {
	switch {
	case first:
		return word
	case second:
		return other
	}
	return "-"
}

func spot(c cloud.Capabilities) string {
	if c.Spot && c.Stop && !c.StopSpot {
		return "yes; cannot stop"
	}
	return yes(c.Spot)
}
