// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"bytes"
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

var _ datasource.DataSourceWithConfigure = (*jobLogsDataSource)(nil)

// jobLogsDataSource is sky_job_logs: the end of what a job printed so far.
type jobLogsDataSource struct {
	data    *session.Session
	runners runners
}

// NewLogs makes the data source sky_job_logs.
func NewLogs() datasource.DataSource { return &jobLogsDataSource{runners: newRunner} }

type jobLogsModel struct {
	ClusterID types.String `tfsdk:"cluster_id"`
	JobID     types.String `tfsdk:"job_id"`
	Rank      types.Int64  `tfsdk:"rank"`
	TailLines types.Int64  `tfsdk:"tail_lines"`
	Content   types.String `tfsdk:"content"`
	Bytes     types.Int64  `tfsdk:"bytes"`
}

// Bounds of what goes into state.
const (
	defaultTailLines = 100
	maxTailLines     = 10_000
	maxTailBytes     = 1 << 20
)

func (d *jobLogsDataSource) Metadata(_ context.Context, _ datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = "sky_job_logs"
}

func (d *jobLogsDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The end of what a job has printed so far, read from the cluster; while that is stopped, from the local copy that `sky_job` made, with a warning, for all ranks only. The whole log of a job that was waited for is in the file `log_path` of `sky_job`. The cluster keeps the logs of the last 50 jobs that ended; asking for an earlier one is an error that says so.",
		Attributes: map[string]schema.Attribute{
			"cluster_id": schema.StringAttribute{Required: true, MarkdownDescription: "The `id` of the `sky_cluster` that it runs on, which reads `cloud/region/name`.", Validators: []validator.String{kit.NotBlank()}},
			"job_id":     schema.StringAttribute{Required: true, MarkdownDescription: "The `id` of the `sky_job`.", Validators: []validator.String{kit.NotBlank()}},
			"rank": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "Only this rank's lines. Default all ranks, each line with its rank before it where there are several.",
				Validators: []validator.Int64{kit.Between(0, kit.MaxNodes-1, "a rank")},
			},
			"tail_lines": schema.Int64Attribute{
				Optional: true, MarkdownDescription: "How many lines to return at most, 1 to 10000, and never more than 1 MiB. Default 100.",
				Validators: []validator.Int64{kit.Between(1, maxTailLines, "a number of lines")},
			},
			"content": schema.StringAttribute{Computed: true, MarkdownDescription: "The lines, without control characters and sequences; of one that was written over, as progress bars are, the last version."},
			"bytes":   schema.Int64Attribute{Computed: true, MarkdownDescription: "The size of the whole log so far, in bytes."},
		},
	}
}

func (d *jobLogsDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.data = session.Of(req.ProviderData, &resp.Diagnostics)
}

func (d *jobLogsDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m jobLogsModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	copied, err := d.read(ctx, &m)
	if err != nil {
		resp.Diagnostics.Append(session.ErrorDiag(ctx, "Reading the job's log", err))
		return
	}
	if copied != "" {
		resp.Diagnostics.AddAttributeWarning(path.Root("cluster_id"), "Cluster is at rest",
			fmt.Sprintf("The log is on its machines. What is returned is the local copy in %s, as far as the job was last followed.", copied))
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// read reads from the cluster, or from a local copy, whose path it returns.
func (d *jobLogsDataSource) read(ctx context.Context, m *jobLogsModel) (copied string, err error) {
	b, err := session.Broker[clusters](d.data)
	if err != nil {
		return "", err
	}
	c, err := b.Find(ctx, m.ClusterID.ValueString())
	if err != nil {
		return "", err
	}
	if fresh, oerr := b.Observe(ctx, c); oerr == nil { // its addresses may have changed since it was recorded
		c = fresh
	}
	rank, lines := job.Merged, defaultTailLines
	if !m.Rank.IsNull() {
		rank = int(m.Rank.ValueInt64())
	}
	if !m.TailLines.IsNull() {
		lines = int(m.TailLines.ValueInt64())
	}
	if s := c.Status; s == cluster.StatusStopped || s == cluster.StatusTerminated {
		if local, err := localLog(b, c.Name, m.JobID.ValueString()); err == nil && rank == job.Merged {
			if text, size, err := endOf(local, maxTailBytes, lines); err == nil {
				m.Content, m.Bytes = types.StringValue(kit.Printable(text)), types.Int64Value(size)
				return local, nil
			}
		}
		return "", fmt.Errorf("cluster %s is %s, the log is on its machines, and there is no local copy of it; start the cluster with desired_status = \"UP\"", c.ID, s)
	}
	runner, err := d.runners(d.data, c, &progress{})
	if err != nil {
		return "", err
	}
	defer func() { _ = runner.Close() }()
	var end bytes.Buffer
	size, torn, err := runner.Tail(ctx, job.ID(m.JobID.ValueString()), rank, maxTailBytes, &end)
	if err != nil {
		return "", err
	}
	m.Content, m.Bytes = types.StringValue(kit.Printable(lastLines(end.String(), torn, lines))), types.Int64Value(size)
	return "", nil
}
