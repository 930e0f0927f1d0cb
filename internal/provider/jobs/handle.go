// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
	"github.com/skybroker/terraform-provider-sky/internal/provider/uploads"
)

// jobRunner runs jobs on one cluster.
type jobRunner interface {
	Submit(ctx context.Context, spec job.Spec) (job.ID, error)
	Status(ctx context.Context, id job.ID) (job.Status, error)
	Peek(ctx context.Context, id job.ID) (job.Status, error)
	Logs(ctx context.Context, id job.ID, rank int, offset int64, w io.Writer) (int64, error)
	Tail(ctx context.Context, id job.ID, rank int, most int64, w io.Writer) (size int64, torn bool, err error)
	WaitFrom(ctx context.Context, id job.ID, offset int64, log io.Writer) (job.Status, error)
	Outputs(ctx context.Context, id job.ID, rank int, want job.Outputs, dest string) (job.Fetched, error)
	Cancel(ctx context.Context, id job.ID) error
	Reap(ctx context.Context, id job.ID) error
	Remove(ctx context.Context, id job.ID) error
	Close() error
}

// runners makes the runner of a cluster's jobs.
type runners func(d *session.Session, c cluster.Cluster, p *progress) (jobRunner, error)

// newRunner is the real runner of a cluster's jobs. It tells p how they go.
func newRunner(d *session.Session, c cluster.Cluster, p *progress) (jobRunner, error) {
	b, err := session.Broker[keyRing](d)
	if err != nil {
		return nil, err
	}
	signers, err := b.SignersOf(c)
	if err != nil {
		return nil, err
	}
	hop, err := d.OpenBastion().To(d.Root, c.Cloud)
	if err != nil {
		return nil, err
	}
	return job.New(c, job.Options{Progress: p.saw, Signers: signers, Bastion: hop})
}

// jobHandle is one operation on a job.
type jobHandle struct {
	broker   clusters
	cluster  cluster.Cluster
	runner   jobRunner
	progress *progress
	stateDir string
	// unwanted are jobs whose removal their head was not told of.
	unwanted []job.ID
	// secrets are the values to hide, where the operation knows them.
	secrets map[string]string
	// uncopied is why the local copy of the log is not whole.
	uncopied error
}

// open finds the cluster and makes a runner for it.
func (r *jobResource) open(ctx context.Context, clusterID string, w broker.Whose) (*jobHandle, error) {
	b, c, err := r.find(ctx, clusterID, w)
	if err != nil {
		return nil, err
	}
	p := &progress{}
	runner, err := r.runners(r.data, c, p)
	if err != nil {
		return nil, err
	}
	dir, err := r.data.StateFolder()
	if err != nil {
		return nil, errors.Join(err, runner.Close())
	}
	return &jobHandle{broker: b, cluster: c, runner: runner, progress: p, stateDir: dir, unwanted: jobIDs(r.data.Unwanted.List())}, nil
}

func jobIDs(names []string) []job.ID {
	ids := make([]job.ID, len(names))
	for i, name := range names {
		ids[i] = job.ID(name)
	}
	return ids
}

func (h *jobHandle) close() { _ = h.runner.Close() }

// submit starts the job and fills in what is known of it then.
func (h *jobHandle) submit(ctx context.Context, m *jobModel) error {
	leave := append(m.outputsFolder(), h.stateDir)
	digest, err := uploads.WorkdirDigest(m.Workdir, leave...)
	if err != nil {
		return err
	}
	m.WorkdirDigest, m.ClusterGeneration = digest, types.StringValue(h.cluster.Generation)
	removed, err := removedCount(removedPath(h.stateDir, *m))
	if err != nil {
		return err
	}
	spec, err := m.spec()
	if err != nil {
		return err
	}
	spec.Removed, spec.Unwanted, spec.Secrets, spec.Leave = removed, h.unwanted, h.secrets, leave
	id, err := h.runner.Submit(ctx, spec)
	if err != nil {
		return err
	}
	m.ID = types.StringValue(string(id))
	m.LogPath = types.StringValue(h.logPath(m))
	m.LogTail = types.StringValue("")
	m.OutputFiles = types.ListNull(types.StringType)
	m.setStatus(job.Status{Phase: job.Init, FailedRank: -1})
	return nil
}

// follow waits for the job, if the model says so, else looks once, and fetches
// the outputs of one that is over. Whatever happens, the model is fully known
// afterwards. created says that an error would taint the job, which would run it
// a second time: then only a job that ended badly is one.
func (h *jobHandle) follow(ctx context.Context, m *jobModel, created bool) diag.Diagnostics {
	var diags diag.Diagnostics
	status, err := h.observe(ctx, m)
	diags.Append(h.unkept(m)...)
	if err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		defer cancel()
		if status, serr := h.runner.Status(last, m.id()); serr == nil {
			m.setStatus(status)
		}
		diags.Append(h.cutOff(ctx, *m, err, created))
		return diags
	}
	m.setStatus(status)
	refused, err := h.fetchOutputs(ctx, m)
	diags.Append(refused...)
	if err != nil {
		diags.Append(soften(session.ErrorDiag(ctx, fetching(*m), &withMore{err, unfetched(status.Phase)}), created))
	}
	if d := diagnose(*m, status, h.logPath(m), created); d != nil && m.Wait.ValueBool() {
		diags.Append(d)
	}
	return diags
}

// cutOff says why nobody waits any more for a job that goes on.
func (h *jobHandle) cutOff(ctx context.Context, m jobModel, err error, created bool) diag.Diagnostic {
	doing := fmt.Sprintf("Wait for job %q", m.Name.ValueString())
	goesOn := fmt.Sprintf("The job goes on: %s on cluster %s, last seen %s. It is not run again: the next apply waits for its end, and \"terraform destroy\" cancels it. Its log so far is in %s",
		m.ID.ValueString(), m.ClusterID.ValueString(), m.Status.ValueString(), h.logPath(&m))
	if errors.Is(err, errSilence) {
		goesOn = fmt.Sprintf("Whether the job goes on nobody can tell: %s on cluster %s, last seen %s. It is not run again: the next apply asks again and waits on. Where the machine never answers again, end it in the cloud's console: then the job is LOST, and the next apply makes the node anew. The log so far is in %s",
			m.ID.ValueString(), m.ClusterID.ValueString(), m.Status.ValueString(), h.logPath(&m))
	}
	if m.phase().Over() {
		goesOn = fmt.Sprintf("The job has ended meanwhile: %s. The next refresh or apply brings the rest of its log, which goes to %s", m.Status.ValueString(), h.logPath(&m))
	}
	if late := (session.TimeoutError{}); ctx.Err() != nil && !errors.As(context.Cause(ctx), &late) {
		return diag.NewWarningDiagnostic(doing+" was interrupted", kit.Sentence(goesOn))
	}
	return soften(session.ErrorDiag(ctx, doing, &withMore{err, goesOn}), created)
}

// withMore is an error with a paragraph after it.
type withMore struct {
	error
	more string
}

func (e *withMore) Error() string {
	return kit.Sentence(e.error.Error()) + "\n\n" + kit.Sentence(e.more)
}
func (e *withMore) Unwrap() error { return e.error }

// soften makes a warning of an error that must taint nothing.
func soften(d diag.Diagnostic, warn bool) diag.Diagnostic {
	if warn {
		return diag.NewWarningDiagnostic(d.Summary(), d.Detail())
	}
	return d
}

// diagnose is the diagnostic for a job that ended badly; nil for a good end.
func diagnose(m jobModel, s job.Status, log string, created bool) diag.Diagnostic {
	if s.Phase == job.Succeeded {
		return nil
	}
	summary := fmt.Sprintf("Job %q ended %s", m.Name.ValueString(), s.Phase)
	if s.ExitCode != nil {
		summary += fmt.Sprintf(" with exit code %d", *s.ExitCode)
	}
	if s.FailedRank >= 0 && (s.Phase == job.Failed || s.Phase == job.FailedSetup) {
		summary += fmt.Sprintf(" on rank %d", s.FailedRank)
	}
	text := ""
	if s.Reason != "" {
		text = kit.Sentence(s.Reason) + "\n\n"
	}
	next := "is kept in state as it ended, and not run again by itself: change run_id for that."
	if s.Phase == job.Lost && m.mayRunAgain() {
		next = "is kept in state; the next apply makes the lost node anew and runs the job again, as recover_on_exit_codes allows."
	}
	if created {
		next = "is kept in state as tainted; the next apply runs it again."
		if !s.Phase.Final() || s.Phase == job.Lost {
			next = "is kept in state as tainted. How far it came nobody knows: the next apply makes lost nodes anew and runs it a second time, unless you run \"terraform untaint\" before."
		}
	}
	text += fmt.Sprintf("Job %s on cluster %s %s\nThe whole log is in %s. Its end:\n\n%s",
		m.ID.ValueString(), m.ClusterID.ValueString(), next, log, kit.Indent(m.LogTail.ValueString()))
	return diag.NewErrorDiagnostic(summary, text)
}

// observe looks at the job and brings its log, to its end where it is waited for.
func (h *jobHandle) observe(ctx context.Context, m *jobModel) (job.Status, error) {
	if h.cluster.Status == cluster.StatusTerminated { // nobody would answer
		if lost := h.lostSince(ctx); lost != nil {
			return *lost, nil
		}
	}
	if m.Wait.ValueBool() {
		return h.followLog(ctx, m)
	}
	status, err := h.runner.Status(ctx, m.id()) // before the log: after the end the log is whole
	if err == nil {
		err = h.fetchLog(ctx, m)
	}
	return status, err
}
