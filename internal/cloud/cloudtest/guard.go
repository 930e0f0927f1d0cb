// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// grace is how long a call may go on after its context ended.
const grace = 30 * time.Second

// hungError says that a call did not obey its context.
type hungError struct{ call string }

func (e *hungError) Error() string {
	return fmt.Sprintf("%s hangs: it did not return within %s of the end of its context", e.call, grace)
}

// guarded calls f, and gives it up where it goes on after its context ended.
// What hangs is left behind: nothing can end it.
func guarded(ctx context.Context, call string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return &hungError{call}
	}
}

// guard is a driver whose calls end.
type guard struct{ cloud.Provisioner }

// answer is what a guarded call returns beside its error.
func answer[T any](ctx context.Context, call string, f func() (T, error)) (T, error) {
	out := make(chan T, 1)
	err := guarded(ctx, call, func() error {
		v, err := f()
		out <- v
		return err
	})
	select {
	case v := <-out:
		return v, err
	default:
		var none T
		return none, err
	}
}

func (g guard) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	return answer(ctx, "Bootstrap", func() (cloud.RunConfig, error) { return g.Provisioner.Bootstrap(ctx, spec, at) })
}

func (g guard) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	return answer(ctx, "Run", func() (cloud.RunRecord, error) { return g.Provisioner.Run(ctx, ref, cfg) })
}

func (g guard) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	return guarded(ctx, "Wait", func() error { return g.Provisioner.Wait(ctx, ref, want) })
}

func (g guard) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	return answer(ctx, "Describe", func() (cloud.ClusterInfo, error) { return g.Provisioner.Describe(ctx, ref) })
}

func (g guard) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	return answer(ctx, "Query", func() ([]cloud.Instance, error) { return g.Provisioner.Query(ctx, ref) })
}

func (g guard) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	return guarded(ctx, "Commit", func() error { return g.Provisioner.Commit(ctx, ref) })
}

func (g guard) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	return guarded(ctx, "Stop", func() error { return g.Provisioner.Stop(ctx, ref) })
}

func (g guard) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	return guarded(ctx, "Terminate", func() error { return g.Provisioner.Terminate(ctx, ref) })
}

func (g guard) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	return guarded(ctx, "OpenPorts", func() error { return g.Provisioner.OpenPorts(ctx, ref, cfg, ports) })
}

func (g guard) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	return guarded(ctx, "CleanupPorts", func() error { return g.Provisioner.CleanupPorts(ctx, ref) })
}

// audit is PortDrift of a driver that has it.
func (w *world) audit(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	auditor, ok := w.driver().(cloud.Auditor)
	if !ok {
		return nil, fmt.Errorf("the driver opens ports on running clusters and does not tell what is open: it is no cloud.Auditor")
	}
	return answer(ctx, "PortDrift", func() ([]string, error) { return auditor.PortDrift(ctx, ref, prefixes, ports) })
}

// survey is Survey of a driver that has it.
func (w *world) survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	surveyor, ok := w.driver().(cloud.Surveyor)
	if !ok {
		return nil, fmt.Errorf("the driver cannot list what the provider made: it is no cloud.Surveyor")
	}
	return answer(ctx, "Survey", func() ([]cloud.Thing, error) { return surveyor.Survey(ctx, ref) })
}

// driver is the driver without its guard.
func (w *world) driver() cloud.Provisioner {
	if g, ok := w.Provisioner.(guard); ok {
		return g.Provisioner
	}
	return w.Provisioner
}
