// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
)

// defaultRestarts is how often a job is recovered where nothing is said of it.
const defaultRestarts = 3

// spec is the job that the model asks for; run_id and secrets are the caller's.
func (m *jobModel) spec() (job.Spec, error) {
	s := job.Spec{
		Name: m.Name.ValueString(), Run: m.Run.ValueString(), Setup: m.Setup.ValueString(), NumNodes: int(m.NumNodes.ValueInt64()),
		Envs: kit.StringMap(m.Envs), Workdir: kit.ExpandHome(m.Workdir.ValueString()), SecretsVersion: m.SecretsVersion.ValueString(),
		Parallel: int(m.Parallel.ValueInt64()), MaxDuration: durationOf(m.MaxDuration), Grace: durationOf(m.GracePeriod),
		LogLimit: m.MaxLogMiB.ValueInt64() << 20,
	}
	for _, e := range m.RecoverOnExitCodes.Elements() {
		if n, ok := e.(types.Int64); ok {
			s.RecoverOnExitCodes = append(s.RecoverOnExitCodes, int(n.ValueInt64()))
		}
	}
	if len(s.RecoverOnExitCodes) > 0 {
		s.MaxRestarts = defaultRestarts
		if !m.MaxRestarts.IsNull() {
			s.MaxRestarts = int(m.MaxRestarts.ValueInt64())
		}
	}
	var err error
	s.Resources, err = m.share()
	return s, err
}

func (m *jobModel) id() job.ID { return job.ID(m.ID.ValueString()) }

func (m *outcomeModel) phase() job.Phase { return job.Phase(m.Status.ValueString()) }

// durationOf reads a checked duration; null is 0.
func durationOf(text types.String) time.Duration {
	d, _ := time.ParseDuration(text.ValueString()) // validated
	return d
}

// setStatus writes a status into the model.
func (m *jobModel) setStatus(s job.Status) {
	m.Status, m.StatusReason = types.StringValue(string(s.Phase)), types.StringValue(s.Reason)
	m.ExitCode, m.FailedRank = types.Int64Null(), types.Int64Null()
	if s.ExitCode != nil {
		m.ExitCode = types.Int64Value(int64(*s.ExitCode))
	}
	if s.FailedRank >= 0 {
		m.FailedRank = types.Int64Value(int64(s.FailedRank))
	}
	if m.SubmittedAt.IsUnknown() || m.SubmittedAt.ValueString() == "" {
		m.SubmittedAt = types.StringValue(s.SubmittedAt)
	}
	m.StartedAt, m.EndedAt = types.StringValue(s.StartedAt), types.StringValue(s.EndedAt)
	m.Restarts = types.Int64Value(int64(s.Restarts))
	m.ExitCodes = types.ListNull(types.Int64Type)
	if len(s.ExitCodes) == 0 {
		return
	}
	codes := make([]attr.Value, m.NumNodes.ValueInt64())
	for rank := range codes {
		codes[rank] = types.Int64Null()
		if code, ok := s.ExitCodes[rank]; ok {
			codes[rank] = types.Int64Value(int64(code))
		}
	}
	m.ExitCodes = types.ListValueMust(types.Int64Type, codes)
}
