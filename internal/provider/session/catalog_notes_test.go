// SPDX-License-Identifier: MPL-2.0

package session

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

const hostedCatalog = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n" +
	"m5.cheap,,,8,32,,0.01,,us-east-1,use1-az4\n"

// Prices are refreshed behind the back of a plan, which answers from what is
// there; the next process has them. What goes wrong is told once.
func TestCatalogsAreRefreshedInTheBackground(t *testing.T) {
	var asked, broken atomic.Int32
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case broken.Load() > 0:
			w.WriteHeader(http.StatusInternalServerError)
		case strings.HasSuffix(r.URL.Path, "/aws/vms.csv"):
			fmt.Fprint(w, hostedCatalog)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer host.Close()
	registry, err := cloud.NewRegistry(namedCloud{name: "aws"}, namedCloud{name: "fluffycloud"})
	if err != nil {
		t.Fatal(err)
	}
	base := Settings{Registry: registry, Root: t.Context(), Getenv: func(string) string { return "" }, StateDir: t.TempDir(), CatalogURL: host.URL, Refresh: true}
	// process asks one process twice, and returns the best type and what it warned of.
	process := func(s Settings) (string, []string) {
		d := New(s)
		var best string
		var warnings []string
		for range 2 {
			req := optimizer.Request{Alternatives: []cloud.Requirement{{Cloud: "aws", CPUs: cloud.Quantity{Value: 8}}}}
			set, err := d.Catalogs()
			if err != nil {
				t.Fatal(err)
			}
			offers, sources, err := set.Offers(t.Context(), req.Alternatives, []string{"aws"})
			if err != nil {
				t.Fatal(err)
			}
			d.CatalogsUsed(set, sources)
			plan, err := optimizer.Rank(req, offers, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			best = plan.Placements[0].Offer.InstanceType.Name
			for _, w := range d.CatalogWarnings() {
				warnings = append(warnings, w.Summary()+": "+w.Detail())
			}
		}
		if d.notes.refreshed != nil {
			<-d.notes.refreshed
		}
		return best, warnings
	}
	offline := base
	offline.CatalogOffline = true
	still := base
	still.Refresh = false
	for _, s := range []Settings{offline, still} {
		if best, warnings := process(s); best == "m5.cheap" || len(warnings) > 0 || asked.Load() != 0 {
			t.Errorf("without refresh: %s, %q, the host was asked %d times", best, warnings, asked.Load())
		}
	}
	broken.Store(1)
	if best, warnings := process(base); best == "m5.cheap" || len(warnings) > 0 || asked.Load() == 0 {
		t.Errorf("while the host is broken: %s, %q, asked %d times", best, warnings, asked.Load())
	}
	broken.Store(0)
	best, warnings := process(base)
	if best == "m5.cheap" || len(warnings) != 1 || !strings.Contains(warnings[0], "Catalog of aws: The prices of aws are the built-in ones") {
		t.Errorf("after a failure: %s, %q; want one warning", best, warnings)
	}
	patient := base
	patient.CatalogTTL = 1 // everything is due at once
	if best, _ := process(patient); best == "m5.cheap" {
		t.Error("a plan waited for the download")
	}
	if best, warnings := process(base); best != "m5.cheap" || len(warnings) > 0 {
		t.Errorf("with the copy: %s, %q", best, warnings)
	}
}
