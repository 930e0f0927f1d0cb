// SPDX-License-Identifier: MPL-2.0

package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// goneSoon notes which clusters the plan of this process removes.
type goneSoon struct {
	mu       sync.Mutex
	plan     string
	clusters []string // generations
}

// notesKept is how long a plan that was never applied leaves its note.
const notesKept = 7 * 24 * time.Hour

// name is the plan's.
func (g *goneSoon) name() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.plan == "" {
		g.plan = rand.Text()
	}
	return g.plan
}

// PlanName names the plan of this process.
func (d *Session) PlanName() string { return d.going.name() }

// NoteRemoval notes that this process's plan removes a cluster. A folder that cannot
// be written is no error: then an apply does not know.
func (d *Session) NoteRemoval(ctx context.Context, generation string) {
	plan := d.PlanName()
	d.going.mu.Lock()
	defer d.going.mu.Unlock()
	if !slices.Contains(d.going.clusters, generation) {
		d.going.clusters = append(d.going.clusters, generation)
	}
	if err := d.writeGoing(plan, d.going.clusters); err != nil {
		tflog.Warn(ctx, "it cannot be noted that the plan removes a cluster", map[string]any{"error": err.Error()})
	}
}

func (d *Session) writeGoing(plan string, clusters []string) error {
	dir, err := d.StateFolder()
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, "plans")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of plans: %w", err)
	}
	dropOldNotes(dir)
	text, err := json.Marshal(clusters)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, plan)
	if err := durable.ReplaceShared(path, text); err != nil {
		return fmt.Errorf("note what the plan removes: %w", err)
	}
	return nil
}

func dropOldNotes(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be listed is tidied up another time
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > notesKept {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// Removes reports whether the plan of that name is known to remove a cluster.
func (d *Session) Removes(plan, generation string) bool {
	dir, err := d.StateFolder()
	if err != nil || plan == "" || filepath.Base(plan) != plan {
		return false
	}
	text, err := os.ReadFile(filepath.Join(dir, "plans", plan))
	var clusters []string
	return err == nil && json.Unmarshal(text, &clusters) == nil && slices.Contains(clusters, generation)
}

// List is what was added so far.
func (n *Names) List() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// Names is a set that several operations use.
type Names struct {
	mu  sync.Mutex
	all []string
}

// Add adds a name.
func (n *Names) Add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, name)
}

// Has reports whether a name was added.
func (n *Names) Has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.all, name)
}

// First reports whether the name was not there yet, and adds it.
func (n *Names) First(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.Contains(n.all, name) {
		return false
	}
	n.all = append(n.all, name)
	return true
}
