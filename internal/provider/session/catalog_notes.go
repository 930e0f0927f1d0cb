// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// catalogNotes remembers what the user was told about catalogs, and which ones
// were asked for anew, so that each happens once a process.
type catalogNotes struct {
	mu    sync.Mutex
	told  map[string]bool
	due   map[string]bool
	texts diag.Diagnostics
	// refreshed closes when the last refresh that was begun is over.
	refreshed <-chan struct{}
}

// CatalogsUsed takes note of the catalogs that answered, and lets those be refreshed
// that are due. It waits for nothing: what was found stays the answer of this
// process, and a download that is cut off at its end leaves the old copy.
func (d *Session) CatalogsUsed(set *catalog.Set, sources []catalog.Source) {
	n := &d.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told == nil {
		n.told, n.due = map[string]bool{}, map[string]bool{}
	}
	fresh := false
	for _, s := range sources {
		if fresh = fresh || !n.due[s.Cloud]; n.told[s.Cloud] {
			continue
		}
		n.told[s.Cloud] = true
		for _, w := range s.Warnings {
			n.texts.AddWarning(fmt.Sprintf("Catalog of %s", s.Cloud), kit.Sentence(w))
		}
	}
	if !d.Refresh || !fresh {
		return
	}
	ask := slices.DeleteFunc(set.Due(sources), func(name string) bool { return n.due[name] })
	for _, s := range sources {
		n.due[s.Cloud] = true
	}
	if len(ask) == 0 {
		return
	}
	slices.Sort(ask)
	n.refreshed = set.RefreshStale(d.Root, ask)
}

// CatalogWarnings are those that were not shown yet.
func (d *Session) CatalogWarnings() diag.Diagnostics {
	d.notes.mu.Lock()
	defer d.notes.mu.Unlock()
	out := d.notes.texts
	d.notes.texts = nil
	return out
}

// UnknownRegions says which regions are preferred that no cloud has that may be used.
// Where the catalogs cannot be read it says nothing: whoever ranks does.
func (d *Session) UnknownRegions(ctx context.Context, preferred []optimizer.Preference) []string {
	set, err := d.Catalogs()
	if err != nil || !slices.ContainsFunc(preferred, func(p optimizer.Preference) bool { return p.Area == 0 }) {
		return nil
	}
	regions, err := set.Regions(ctx, d.Clouds())
	if err != nil {
		return nil
	}
	return optimizer.UnknownRegions(preferred, regions)
}
