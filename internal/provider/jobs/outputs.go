// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// unfetched says what becomes of a job whose outputs did not come.
func unfetched(phase job.Phase) string {
	if phase == job.Succeeded {
		return "The job itself is SUCCEEDED, and is not run again for this: the next apply fetches them anew"
	}
	return fmt.Sprintf("The job itself is %s, and output_files has what came of them", phase)
}

func fetching(m jobModel) string {
	return fmt.Sprintf("Fetching of the outputs of job %q", m.Name.ValueString())
}

// fetchesAtOnce bounds how many nodes send outputs at the same time.
const fetchesAtOnce = 8

// fetchOutputs brings the outputs of a job that is over: of one that succeeded
// all that was asked for, else what there is. A file that cannot be taken is a
// warning, and is not tried again.
func (h *jobHandle) fetchOutputs(ctx context.Context, m *jobModel) (diag.Diagnostics, error) {
	m.OutputFiles = types.ListNull(types.StringType)
	phase := m.phase()
	if m.Outputs.IsNull() || !phase.Over() || phase == job.Lost { // what the head had is gone
		return nil, nil
	}
	var want outputsModel
	if diags := m.Outputs.As(ctx, &want, kit.ObjectOptions); diags.HasError() {
		return nil, errors.New(diags[0].Detail())
	}
	ranks := 1
	if want.AllNodes.ValueBool() {
		ranks = int(m.NumNodes.ValueInt64())
	}
	note := notingOutputs(kit.ExpandHome(want.Folder.ValueString()))
	found, err := h.fetchFromAll(ctx, m.id(), want, ranks, phase == job.Succeeded)
	if nerr := note(found); nerr != nil {
		err = errors.Join(err, nerr)
	}
	if errors.Is(err, job.ErrTooMuch) {
		err = &withMore{err, "What came before is kept. Where that much is wanted, raise max_size_mib or max_files in outputs"}
	}
	if err != nil && phase == job.Succeeded {
		return nil, err
	}
	var all []string
	for _, f := range found {
		all = append(all, f.Files...)
	}
	slices.Sort(all)
	m.OutputFiles = kit.ListOf(slices.Compact(all))
	return refusals(*m, found), err
}

// fetchFromAll fetches from the first ranks, a few at a time. Where not all is
// wanted, one node's trouble does not keep the others' outputs away.
func (h *jobHandle) fetchFromAll(ctx context.Context, id job.ID, want outputsModel, ranks int, all bool) ([]job.Fetched, error) {
	found := make([]job.Fetched, ranks)
	group, groupCtx := errgroup.WithContext(ctx)
	if !all {
		groupCtx = ctx
	}
	group.SetLimit(fetchesAtOnce)
	for rank := range ranks {
		group.Go(func() (err error) {
			found[rank], err = h.fetchFrom(groupCtx, id, want, rank, all)
			return err
		})
	}
	return found, group.Wait() //nolint:wrapcheck // fetchFrom says what it was
}

// notingOutputs returns what notes, once outputs came into a folder, that no
// upload takes them along: all of the folder where they made it, else by name.
func notingOutputs(folder string) func([]job.Fetched) error {
	_, err := os.Stat(folder)
	fresh := errors.Is(err, fs.ErrNotExist)
	return func(found []job.Fetched) error {
		var names []string
		for _, f := range found {
			for _, name := range f.Files {
				if rel, err := filepath.Rel(folder, filepath.FromSlash(name)); err == nil {
					names = append(names, filepath.ToSlash(rel))
				}
			}
		}
		switch {
		case len(names) == 0:
			return nil
		case fresh:
			return broker.KeepFromUploads(folder)
		}
		return broker.KeepFromUploads(folder, names...)
	}
}

func (h *jobHandle) fetchFrom(ctx context.Context, id job.ID, want outputsModel, rank int, all bool) (job.Fetched, error) {
	folder := kit.ExpandHome(want.Folder.ValueString())
	if want.AllNodes.ValueBool() {
		folder = filepath.Join(folder, fmt.Sprintf("rank-%d", rank))
	}
	got, err := h.runner.Outputs(ctx, id, rank, job.Outputs{
		Patterns: kit.StringList(want.Files), Partial: !all, MaxBytes: want.MaxSizeMiB.ValueInt64() << 20, MaxFiles: int(want.MaxFiles.ValueInt64()),
	}, folder)
	for i, f := range got.Files {
		got.Files[i] = filepath.ToSlash(filepath.Join(folder, f))
	}
	return got, err
}

// saidRefusals is how many of them a warning names for each node.
const saidRefusals = 10

// refusals is the warning about outputs that were not taken.
func refusals(m jobModel, found []job.Fetched) diag.Diagnostics {
	var lines []string
	for rank, f := range found {
		for i, r := range f.Refused {
			line := strings.TrimPrefix(r.Name+": "+r.Why, ": ")
			if i == saidRefusals {
				line = fmt.Sprintf("and %d more", len(f.Refused)-i)
			}
			if len(found) > 1 {
				line = fmt.Sprintf("rank %d: %s", rank, line)
			}
			lines = append(lines, kit.Printable(line))
			if i == saidRefusals {
				break
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return diag.Diagnostics{diag.NewWarningDiagnostic(fmt.Sprintf("Some outputs of job %q were not taken", m.Name.ValueString()),
		"The others are here, and these are not tried again:\n\n"+kit.Indent(strings.Join(lines, "\n")))}
}
