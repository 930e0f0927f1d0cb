// SPDX-License-Identifier: MPL-2.0

package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/jobs"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

func jobID() schema.Attribute {
	return schema.StringAttribute{Required: true, MarkdownDescription: "The job: `sky_job.<name>.id`.", Validators: []validator.String{kit.NotBlank()}}
}

func cancelSchema() described {
	return described{timeout: "10m", text: "Cancels a job, on all its nodes, and returns once nothing of it runs any more. One that has ended keeps its end. " +
		"In state, the next refresh says `CANCELLED`. That is not drift: the job is kept as it ended, plans are empty, and it runs again only after a change of `run_id`, or of what it runs." + needsNewest,
		attributes: map[string]schema.Attribute{"job_id": jobID()}}
}

type cancelModel struct {
	common
	JobID types.String `tfsdk:"job_id"`
}

func cancel(ctx context.Context, r *run, m cancelModel) error {
	runner, err := r.connect()
	if err != nil {
		return err
	}
	defer func() { _ = runner.Close() }()
	id := job.ID(m.JobID.ValueString())
	if _, err := runner.Peek(ctx, id); err != nil { // one that is not there was not cancelled
		return err
	}
	if err := runner.Cancel(ctx, id); err != nil {
		return err
	}
	status, err := runner.Peek(ctx, id)
	if err == nil {
		r.say("job %s is %s", id, status.Phase)
	}
	return err
}

// Bounds of tail_lines, and of the bytes that they may have.
const (
	defaultTail  = 100
	mostTail     = 10_000
	mostTailSize = 1 << 20
)

func logsSchema() described {
	return described{timeout: "60m", text: "Shows what a job prints, as it comes, until it ends or the time allowed has passed: the last lines so far, then all further ones, of all ranks, each with its rank before it where there are several. " +
		"Neither that the job goes on nor that it failed is an error of the action: the last message says how the job stands. " +
		"Nothing in state changes, and a job whose end was only seen here still counts as unread for `autostop`." + needsNewest,
		attributes: map[string]schema.Attribute{"job_id": jobID(), "tail_lines": schema.Int64Attribute{
			Optional: true, MarkdownDescription: "How many lines of before to show first, 1 to 10000, and never more than 1 MiB. Default 100.",
			Validators: []validator.Int64{kit.Between(1, mostTail, "a number of lines")},
		}}}
}

type logsModel struct {
	common
	JobID     types.String `tfsdk:"job_id"`
	TailLines types.Int64  `tfsdk:"tail_lines"`
}

func logs(ctx context.Context, r *run, m logsModel) error {
	runner, err := r.connect()
	if err != nil {
		return err
	}
	defer func() { _ = runner.Close() }()
	id, tail := job.ID(m.JobID.ValueString()), int64(defaultTail)
	if !m.TailLines.IsNull() {
		tail = m.TailLines.ValueInt64()
	}
	var before bytes.Buffer
	size, torn, err := runner.Tail(ctx, id, job.Merged, mostTailSize, &before)
	if err != nil {
		return err
	}
	out := &lines{show: r.say}
	_, _ = out.Write([]byte(jobs.LastLines(before.String(), torn, int(tail))))
	status, err := runner.WatchFrom(ctx, id, size, out)
	out.end()
	if err != nil && status.Phase != "" && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.say("job %s goes on and is %s; nobody watches it here any more, since the time allowed has passed", id, status.Phase)
		return nil
	}
	if err == nil {
		r.say("job %s ended: %s", id, ending(status))
	}
	return err
}

// ending says how a job ended.
func ending(s job.Status) string {
	text := string(s.Phase)
	if s.ExitCode != nil {
		text += fmt.Sprintf(" with exit code %d", *s.ExitCode)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}
