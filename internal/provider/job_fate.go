// SPDX-License-Identifier: MPL-2.0

package provider

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

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// Whether a job that cannot be cancelled may be dropped depends on whether its
// cluster goes too, and an apply does not tell: the job is removed first, and
// nothing says what comes next. The plan knows. It marks a job that it removes
// with its own name, and notes under that name, in the state folder, which
// clusters it removes; it plans them in any order. An apply that finds no note,
// since the plan was made on another computer, does not know.

// fateKey is where the plan leaves a job's fate, in the planned private data.
const fateKey = "fate"

// fate is why a plan removes a job.
type fate struct {
	// Plan names the plan; empty where no plan has said anything.
	Plan string `json:"plan,omitempty"`
	// Replaced is a job that comes back in the same apply, ClusterToo with another
	// cluster.
	Replaced   bool `json:"replaced,omitempty"`
	ClusterToo bool `json:"cluster_too,omitempty"`
}

// privateData is planned private data, as the framework hands it over.
type privateData interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// leave writes the fate into what the apply will be given.
func (f fate) leave(ctx context.Context, private privateData) diag.Diagnostics {
	text, err := json.Marshal(f)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Plan of a job's removal failed", err.Error())}
	}
	return private.SetKey(ctx, fateKey, text)
}

// fateIn reads it; what was not left is the zero fate.
func fateIn(ctx context.Context, private privateData) fate {
	var f fate
	if text, diags := private.GetKey(ctx, fateKey); !diags.HasError() && len(text) > 0 {
		_ = json.Unmarshal(text, &f) // of our own making; else nothing is known
	}
	return f
}

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

// noteGoing notes that this process's plan removes a cluster. A folder that cannot
// be written is no error: then an apply does not know.
func (d *providerData) noteGoing(ctx context.Context, generation string) {
	plan := d.going.name()
	d.going.mu.Lock()
	defer d.going.mu.Unlock()
	if !slices.Contains(d.going.clusters, generation) {
		d.going.clusters = append(d.going.clusters, generation)
	}
	if err := d.writeGoing(plan, d.going.clusters); err != nil {
		tflog.Warn(ctx, "it cannot be noted that the plan removes a cluster", map[string]any{"error": err.Error()})
	}
}

func (d *providerData) writeGoing(plan string, clusters []string) error {
	dir, err := d.stateFolder()
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
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		_ = os.Remove(path + ".new") // half of it, where the disk is full
		return fmt.Errorf("note what the plan removes: %w", err)
	}
	return os.Rename(path+".new", path)
}

func dropOldNotes(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be listed is tidied up another time
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > notesKept {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// clusterGoes reports whether a job's cluster is known to be removed by the plan
// that removes the job.
func (d *providerData) clusterGoes(f fate, generation string) bool {
	if f.ClusterToo {
		return true
	}
	dir, err := d.stateFolder()
	if err != nil || f.Plan == "" || f.Replaced || filepath.Base(f.Plan) != f.Plan {
		return false
	}
	text, err := os.ReadFile(filepath.Join(dir, "plans", f.Plan))
	var clusters []string
	return err == nil && json.Unmarshal(text, &clusters) == nil && slices.Contains(clusters, generation)
}

// planRemoval notes that a cluster is removed, for the sake of its jobs.
func (d *providerData) planRemoval(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var generation types.String
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("generation"), &generation)...)
	if generation.ValueString() != "" {
		d.noteGoing(ctx, generation.ValueString())
	}
}

// names is a set that several operations use.
type names struct {
	mu  sync.Mutex
	all []string
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, name)
}

func (n *names) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.all, name)
}

func (n *names) jobs() []job.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]job.ID, len(n.all))
	for i, name := range n.all {
		ids[i] = job.ID(name)
	}
	return ids
}
