// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
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

// clusterGoes reports whether a job's cluster is known to be removed by the plan
// that removes the job.
func (f fate) clusterGoes(d *session.Session, generation string) bool {
	return f.ClusterToo || !f.Replaced && d.Removes(f.Plan, generation)
}
