// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// What stands between a job and its end: the head, which alone can end it in
// order. Together they stay under a minute.
const (
	// answerWithin is how long a head may stay silent before it counts as one that
	// does not answer.
	answerWithin = 30 * time.Second
	// reapWithin bounds ending what runs on the other nodes then, each for itself.
	reapWithin = 15 * time.Second
	// askEvery is how often a head that is cancelling is asked whether it is there.
	askEvery = 10 * time.Second
)

// errNoAnswer is a head that was given its time, or that cannot be told anything.
var errNoAnswer = fmt.Errorf("its head does not answer as it should; it was tried for at most %s", answerWithin)

// errNotNoted is a head that has ended a job and does not keep that it was removed.
var errNotNoted = errors.New("its head ended it, and could not note that it was removed")

// errHeadGone is a head that its cloud does not run.
var errHeadGone = errors.New("its head does not run any more, as its cloud says")

// remove ends a job and notes on its head that it was removed. What it cannot do
// it says: as a warning where the machines end as well, or where they do not
// answer at all, else as an error, which keeps the job in state.
func (r *jobResource) remove(ctx context.Context, m jobModel, w broker.Whose, f fate) diag.Diagnostic {
	goes := f.clusterGoes(r.data, m.ClusterGeneration.ValueString())
	if goes && m.phase().Final() {
		return nil
	}
	_, c, err := r.find(ctx, m.ClusterID.ValueString(), w)
	if errors.Is(err, cloud.ErrNotFound) || err == nil && c.Status == cluster.StatusTerminated {
		return nil // a job cannot run where no machine does
	}
	if err != nil && !fromHere(err) && (!goes || ctx.Err() != nil) {
		return session.ErrorDiag(ctx, cancelling(m), err)
	}
	if err == nil {
		err = r.end(ctx, c, m)
	}
	if err == nil {
		return nil
	}
	r.data.Unwanted.Add(string(m.id())) // where it comes back in this apply, it is another run
	return m.notRemoved(ctx, err, f, goes)
}

func cancelling(m jobModel) string { return fmt.Sprintf("Cancelling of job %q", m.Name.ValueString()) }

// end asks the head to end the job, and to note that it was removed.
func (r *jobResource) end(ctx context.Context, c cluster.Cluster, m jobModel) error {
	switch {
	case c.Status == cluster.StatusStopped:
		return errHeadGone
	case len(c.Nodes) > 0 && !c.Nodes[0].Runs():
		return r.endWithoutHead(ctx, c, m, errHeadGone)
	case len(c.Nodes) > 0 && c.Nodes[0].HostKey == "":
		return &cluster.MissingHostKeyError{Cluster: c.Name, InstanceID: c.Nodes[0].InstanceID}
	}
	runner, err := r.runners(r.data, c, &progress{})
	if err != nil {
		return err
	}
	defer func() { _ = runner.Close() }()
	if r.data.Silent.Has(c.Generation) { // one job waits for a head, not each
		return r.endWithoutHead(ctx, c, m, errNoAnswer)
	}
	if err = endOn(ctx, runner, m); !errors.Is(err, errNoAnswer) {
		return err
	}
	r.data.Silent.Add(c.Generation)
	return r.endWithoutHead(ctx, c, m, err)
}

// endOn is end with a head that may not answer. One that does is given the time
// that the job's processes are.
func endOn(ctx context.Context, runner jobRunner, m jobModel) error {
	err := answers(ctx, runner, m.id())
	if err == nil && !m.phase().Final() {
		watched, stop := whileItAnswers(ctx, runner, m.id())
		err = runner.Cancel(watched, m.id())
		if silent := context.Cause(watched); err != nil && errors.Is(silent, errNoAnswer) {
			err = silent
		}
		stop()
	}
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	if err != nil {
		return noAnswer(ctx, err)
	}
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err = noAnswer(ctx, runner.Remove(bounded, m.id())); job.Refused(err) {
		return fmt.Errorf("%w: %w", errNotNoted, err)
	}
	return err
}

// answers returns once the head has said anything of the job.
func answers(ctx context.Context, runner jobRunner, id job.ID) error {
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := job.Ask(bounded, func(ctx context.Context) error {
		_, err := runner.Status(ctx, id)
		return err
	})
	if errors.Is(err, job.ErrNotFound) {
		return nil // Cancel looks at the other nodes too
	}
	return noAnswer(ctx, err)
}

// noAnswer makes of an error of the head that it does not answer. A refusal, which
// is an answer, an interruption and what is missing on this computer stay what they are.
func noAnswer(ctx context.Context, err error) error {
	interrupted := ctx.Err() != nil && !errors.As(context.Cause(ctx), new(session.TimeoutError)) && !errors.Is(context.Cause(ctx), errNoAnswer)
	if err == nil || interrupted || fromHere(err) || job.Refused(err) || errors.Is(err, errNoAnswer) {
		return err
	}
	return fmt.Errorf("%w: %w", errNoAnswer, err)
}

// fromHere reports whether an error is this computer's: it lacks what another has.
func fromHere(err error) bool {
	return errors.As(err, new(*cluster.MissingHostKeyError)) || errors.As(err, new(*cluster.MissingKeyError)) || job.KeyRefused(err)
}

// whileItAnswers ends the returned context when the head falls silent.
func whileItAnswers(ctx context.Context, runner jobRunner, id job.ID) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		ticker := time.NewTicker(askEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := answers(ctx, runner, id); errors.Is(err, errNoAnswer) {
				cancel(err)
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// endWithoutHead ends what runs of the job on the other nodes, as far as they
// answer, and returns why that is not the job's end.
func (r *jobResource) endWithoutHead(ctx context.Context, c cluster.Cluster, m jobModel, why error) error {
	if m.phase().Final() || c.Size < 2 {
		return why
	}
	runner, err := r.runners(r.data, c, &progress{})
	if err != nil {
		return why
	}
	defer func() { _ = runner.Close() }()
	bounded, cancel := context.WithTimeout(ctx, reapWithin)
	defer cancel()
	if err := runner.Reap(bounded, m.id()); err != nil {
		return fmt.Errorf("%w, nor could all of the other nodes be told to end it: %w", why, err)
	}
	return fmt.Errorf("%w; the nodes beside it have ended it", why)
}

// notRemoved says what became of a job that could not be removed in order. It is
// an error where the machines stay and this computer is at fault, or where the job
// would come back beside one that may still run.
func (m *jobModel) notRemoved(ctx context.Context, err error, f fate, goes bool) diag.Diagnostic {
	noted := !errors.Is(err, errNotNoted)
	known := errors.Is(err, errHeadGone) || errors.Is(err, errNoAnswer) || !noted
	fatal := !known && !goes || errors.Is(err, errNoAnswer) && f.Replaced && !goes
	if goes && !noted {
		return nil
	}
	if m.phase().Final() || !noted {
		return m.notNoted(ctx, err, f, fatal)
	}
	where := fmt.Sprintf("%s on cluster %s", m.ID.ValueString(), m.ClusterID.ValueString())
	if fatal {
		return session.ErrorDiag(ctx, cancelling(*m), &withMore{err, m.wayOut(err, where, f)})
	}
	next := fmt.Sprintf("The job, %s, ends with the cluster's machines, which this plan removes.", where)
	if !goes {
		next = fmt.Sprintf("The job, %s, is dropped from state. It ends for certain when the machines do: destroy or replace the cluster. "+
			"Should the head come back before, the job may go on; the same job applied again takes it up.", where)
	}
	return diag.NewWarningDiagnostic(fmt.Sprintf("Job %q was not cancelled in order", m.Name.ValueString()), kit.Sentence(err.Error())+"\n\n"+next)
}

// wayOut is what to do about a job that cannot be cancelled from here.
func (m *jobModel) wayOut(err error, where string, f fate) string {
	text := fmt.Sprintf("The job, %s, was last seen %s and may still run; it stays in state.", where, m.Status.ValueString())
	if fromHere(err) {
		text += " Cancel it from where its cluster can be reached: in CI set owner and the SSH key of the provider block, or SKY_OWNER and SKY_SSH_PRIVATE_KEY, to those the cluster was launched with."
	}
	if f.Replaced {
		return text + " Where the cluster is of no more use, have it replaced too, which ends all its jobs: terraform apply -replace=<address of the cluster>."
	}
	return text + " Where the cluster is to go as well, destroy both in one run on one computer, without a saved plan; " +
		"or forget the job with \"terraform state rm\", and destroy the cluster."
}

// notNoted is notRemoved for a job that has ended: what is missing is only the
// note that lets the same job run again.
func (m *jobModel) notNoted(ctx context.Context, err error, f fate, fatal bool) diag.Diagnostic {
	if f.Replaced && fatal {
		return session.ErrorDiag(ctx, fmt.Sprintf("Removal of job %q", m.Name.ValueString()), err)
	}
	if f.Replaced {
		return nil // the run that follows in this apply knows of it
	}
	ended := "ended"
	if m.phase().Final() {
		ended += ", " + m.Status.ValueString() + ","
	}
	return diag.NewWarningDiagnostic(fmt.Sprintf("Removal of job %q could not be noted on its cluster", m.Name.ValueString()), kit.Sentence(err.Error())+"\n\n"+
		fmt.Sprintf("The job has %s and is dropped from state. As long as cluster %s lives, the same job applied again finds this one and does not run; change run_id then.",
			ended, m.ClusterID.ValueString()))
}
