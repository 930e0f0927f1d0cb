// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// what is that which an opening lets in, for people.
func (o Opening) what() string {
	switch {
	case o.What != "":
		return o.What
	case o.Proto != "":
		return o.Proto + " " + o.Ports.String()
	}
	return o.Ports.String()
}

// Openings let the prefixes reach SSH and the ports.
func (f *Fleet[N, R]) Openings(prefixes []netip.Prefix, ports []cloud.PortRange) []Opening {
	var out []Opening
	for _, p := range append([]cloud.PortRange{{First: f.SSHPort, Last: f.SSHPort}}, ports...) {
		for _, prefix := range prefixes {
			o := Opening{Ports: p, From: prefix.Masked().String()} // clouds do that, and compare
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

// OpenFirewall brings the prefixes of a cluster's firewall up to date and adds
// the spec's ports. It closes nothing: that is for OpenPorts.
func (f *Fleet[N, R]) OpenFirewall(ctx context.Context, spec cloud.ClusterSpec, have Firewall) error {
	prefixes, err := f.AllowedCIDRs(ctx, spec, have)
	if err != nil {
		return err
	}
	ports := slices.Clone(spec.Ports)
	var others []Opening
	for _, o := range have.Open {
		if o.Proto == "" {
			ports = append(ports, o.Ports)
		} else {
			others = append(others, o)
		}
	}
	return f.setOpenings(ctx, have, append(f.Openings(prefixes, ports), others...))
}

func (f *Fleet[N, R]) setOpenings(ctx context.Context, have Firewall, want []Opening) error {
	firewalls, ok := any(f.Calls).(Firewalls)
	if !ok {
		return fmt.Errorf("set what firewall %s lets in: the driver has no firewalls", have.Name)
	}
	if err := firewalls.SetOpenings(ctx, have, want); err != nil {
		return fmt.Errorf("set what firewall %s lets in: %w", have.Name, err)
	}
	return nil
}

// firewalls are those of ref's clusters.
func (f *Fleet[N, R]) firewalls(ctx context.Context, ref cloud.ClusterRef) ([]Firewall, error) {
	if err := f.checkRef(cloud.ClusterRef{Owner: ref.Owner}); err != nil {
		return nil, err
	}
	calls, ok := any(f.Calls).(Firewalls)
	if !ok {
		return nil, nil
	}
	all, err := calls.Firewalls(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("list firewalls: %w", err)
	}
	return all, nil
}

// OpenPorts implements cloud.Provisioner. SSH always stays open.
func (f *Fleet[N, R]) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	own, err := f.firewalls(ctx, ref)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		return fmt.Errorf("cluster %q has no firewall: %w", ref.Cluster, cloud.ErrNotFound)
	}
	for _, have := range own {
		prefixes, err := f.AllowedCIDRs(ctx, cfg.Spec, have)
		if err != nil {
			return err
		}
		if err := f.setOpenings(ctx, have, f.Openings(prefixes, ports)); err != nil {
			return err
		}
	}
	return nil
}

// PortDrift implements cloud.Auditor.
func (f *Fleet[N, R]) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	own, err := f.firewalls(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return []string{"the firewall is gone"}, nil
	}
	var out []string
	for _, have := range own {
		out = append(out, drift(lines(have.Open), lines(f.Openings(prefixes, ports)))...)
	}
	return out, nil
}

func lines(openings []Opening) []string {
	var out []string
	for _, o := range openings {
		out = append(out, openingLine(o.what(), o.From))
	}
	return out
}

// FindOrMake returns what find shows, or makes it and looks until it is shown.
// Find returns false for what is not there, and an error for what is there and
// is another's. That a thing of the name exists already is no error of create's.
func FindOrMake[T any](ctx context.Context, poll retry.Policy, what string, find func(context.Context) (T, bool, error), create func(context.Context) error) (T, error) {
	have, ok, err := find(ctx)
	if err != nil || ok {
		return have, err
	}
	if err := create(ctx); err != nil {
		return have, fmt.Errorf("create %s: %w", what, err)
	}
	poll.Attempts = 15
	err = retry.Poll(ctx, poll, func(ctx context.Context) (bool, error) {
		var err error
		if have, ok, err = find(ctx); err != nil {
			return false, retry.Stop(err)
		}
		if !ok {
			return false, fmt.Errorf("%s was created but is not listed", what)
		}
		return true, nil
	})
	return have, err //nolint:wrapcheck // it names what was made, or is find's
}
