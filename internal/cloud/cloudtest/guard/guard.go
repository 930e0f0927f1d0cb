// SPDX-License-Identifier: MPL-2.0

// Package guard ends the calls of a driver that do not obey their context, so that
// a test that waits for one ends with its name.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// grace is how long a call may go on after its context ended.
const grace = 30 * time.Second

// HungError says that a call did not obey its context.
type HungError struct{ call string }

func (e *HungError) Error() string {
	return fmt.Sprintf("%s hangs: it did not return within %s of the end of its context", e.call, grace)
}

// Call calls f, and gives it up where it goes on after its context ended.
// What hangs is left behind: nothing can end it.
func Call(ctx context.Context, call string, f func() error) error {
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
		return &HungError{call}
	}
}

// Driver is a driver whose calls end.
type Driver struct{ cloud.Provisioner }

// Answer is Call for what returns a value beside its error.
func Answer[T any](ctx context.Context, call string, f func() (T, error)) (T, error) {
	out := make(chan T, 1)
	err := Call(ctx, call, func() error {
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

// Bootstrap implements cloud.Provisioner.
func (g Driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	return Answer(ctx, "Bootstrap", func() (cloud.RunConfig, error) { return g.Provisioner.Bootstrap(ctx, spec, at) })
}

// Run implements cloud.Provisioner.
func (g Driver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	return Answer(ctx, "Run", func() (cloud.RunRecord, error) { return g.Provisioner.Run(ctx, ref, cfg) })
}

// Wait implements cloud.Provisioner.
func (g Driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	return Call(ctx, "Wait", func() error { return g.Provisioner.Wait(ctx, ref, want) })
}

// Describe implements cloud.Provisioner.
func (g Driver) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	return Answer(ctx, "Describe", func() (cloud.ClusterInfo, error) { return g.Provisioner.Describe(ctx, ref) })
}

// Query implements cloud.Provisioner.
func (g Driver) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	return Answer(ctx, "Query", func() ([]cloud.Instance, error) { return g.Provisioner.Query(ctx, ref) })
}

// Commit implements cloud.Provisioner.
func (g Driver) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	return Call(ctx, "Commit", func() error { return g.Provisioner.Commit(ctx, ref) })
}

// Stop implements cloud.Provisioner.
func (g Driver) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	return Call(ctx, "Stop", func() error { return g.Provisioner.Stop(ctx, ref) })
}

// Terminate implements cloud.Provisioner.
func (g Driver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	return Call(ctx, "Terminate", func() error { return g.Provisioner.Terminate(ctx, ref) })
}

// OpenPorts implements cloud.Provisioner.
func (g Driver) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	return Call(ctx, "OpenPorts", func() error { return g.Provisioner.OpenPorts(ctx, ref, cfg, ports) })
}

// CleanupPorts implements cloud.Provisioner.
func (g Driver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	return Call(ctx, "CleanupPorts", func() error { return g.Provisioner.CleanupPorts(ctx, ref) })
}

// Promptly runs f and returns its error; an f that does not come back in time
// is an error of its own.
func Promptly(what string, f func() error) (err, late error) {
	const patience = 30 * time.Second
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err, nil
	case <-timer.C:
		return nil, fmt.Errorf("%s did not return within %s", what, patience)
	}
}

// Unwrap is the driver without its guard.
func Unwrap(p cloud.Provisioner) cloud.Provisioner {
	if g, ok := p.(Driver); ok {
		return g.Provisioner
	}
	return p
}

// PortDrift is PortDrift of a driver that has it.
func PortDrift(ctx context.Context, p cloud.Provisioner, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	auditor, ok := Unwrap(p).(cloud.Auditor)
	if !ok {
		return nil, errors.New("the driver opens ports on running clusters and does not tell what is open: it is no cloud.Auditor")
	}
	return Answer(ctx, "PortDrift", func() ([]string, error) { return auditor.PortDrift(ctx, ref, prefixes, ports) })
}

// Survey is Survey of a driver that has it.
func Survey(ctx context.Context, p cloud.Provisioner, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	surveyor, ok := Unwrap(p).(cloud.Surveyor)
	if !ok {
		return nil, errors.New("the driver cannot list what the provider made: it is no cloud.Surveyor")
	}
	return Answer(ctx, "Survey", func() ([]cloud.Thing, error) { return surveyor.Survey(ctx, ref) })
}
