// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guard"
)

func portCases() []Case {
	filters := func(c cloud.Capabilities) bool { return c.SourcesOpen == "" }
	return []Case{
		{Name: "ports/at launch", applies: func(c cloud.Capabilities) bool { return c.PortsLaunch }, run: portsAtLaunch},
		{Name: "ports/open, replace, close", applies: func(c cloud.Capabilities) bool { return c.PortsLater }, run: portsLater},
		{Name: "ports/survive another Bootstrap", applies: func(c cloud.Capabilities) bool { return c.PortsLater }, run: portsSurvive},
		{Name: "ports/drift is told", applies: func(c cloud.Capabilities) bool { return c.PortsLater }, run: portDrift},
		{Name: "ports/sources", applies: filters, run: portSources},
		{Name: "ports/sources left to the cloud", applies: filters, run: sourcesTold},
		{Name: "ports/cleanup twice", run: cleanupTwice},
	}
}

func portRange(first, last uint16) cloud.PortRange { return cloud.PortRange{First: first, Last: last} }

// suitePrefix is who may reach the suite's clusters, unless a case says otherwise.
func suitePrefix() netip.Prefix { return netip.MustParsePrefix("127.0.0.0/8") }

// gateIs says whether exactly these ports, and SSH, are reachable, from where
// the suite's clusters may be reached.
func (w *world) gateIs(ctx context.Context, id string, want ...cloud.PortRange) error {
	return w.gateOpensTo(ctx, id, []netip.Prefix{suitePrefix()}, want...)
}

// gateOpensTo says whether exactly these ports, and SSH, are reachable from
// exactly these prefixes.
func (w *world) gateOpensTo(ctx context.Context, id string, from []netip.Prefix, want ...cloud.PortRange) error {
	g, err := hook[Gatekeeper](w)
	if err != nil {
		return err
	}
	gate, err := g.OpenPorts(ctx, id)
	if err != nil {
		return fmt.Errorf("look at the ports of %s: %w", id, err)
	}
	if w.caps.SourcesOpen != "" { // from where is for nobody to say
		from = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
		for i := range gate.Openings {
			gate.Openings[i].From = from[0]
		}
	}
	lines := map[string]bool{}
	for _, prefix := range from {
		for _, p := range append([]cloud.PortRange{portRange(22, 22)}, want...) {
			lines[p.String()+" from "+prefix.String()] = true
		}
	}
	have := map[string]bool{}
	for _, o := range gate.Openings {
		have[o.Ports.String()+" from "+o.From.String()] = true
	}
	if !maps.Equal(lines, have) {
		return fmt.Errorf("of %s is open: %v, want %v (22 is SSH)", id, slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(lines)))
	}
	return nil
}

func portsAtLaunch(ctx context.Context, w *world) error {
	want := []cloud.PortRange{portRange(8080, 8080), portRange(9000, 9010)}
	_, machines, err := w.up(ctx, 1, ports(want...))
	if err != nil {
		return err
	}
	return w.gateIs(ctx, machines[0].ID, want...)
}

func portsLater(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, min(2, w.most()))
	if err != nil {
		return err
	}
	_, neighbours, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	for _, want := range [][]cloud.PortRange{
		{portRange(8080, 8080), portRange(9000, 9010)},
		{portRange(8080, 8080), portRange(9000, 9010)},
		{portRange(9000, 9010), portRange(443, 443)},
		nil,
		nil,
	} {
		if err := w.OpenPorts(ctx, c.ref, c.cfg, want); err != nil {
			return fmt.Errorf("OpenPorts %v: %w", want, err)
		}
		for _, m := range machines {
			if err := w.gateIs(ctx, m.ID, slices.Clone(want)...); err != nil {
				return fmt.Errorf("after OpenPorts %v: %w", want, err)
			}
		}
		if err := w.gateIs(ctx, neighbours[0].ID); err != nil {
			return fmt.Errorf("after OpenPorts %v of another cluster: %w", want, err)
		}
	}
	return nil
}

// portsSurvive: growing a cluster closes none of its ports.
func portsSurvive(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	if err := w.OpenPorts(ctx, c.ref, c.cfg, []cloud.PortRange{portRange(8080, 8080)}); err != nil {
		return fmt.Errorf("OpenPorts: %w", err)
	}
	if _, err := c.up(ctx); err != nil {
		return err
	}
	return w.gateIs(ctx, machines[0].ID, portRange(8080, 8080))
}

// portDrift: what is open otherwise than asked for is told, and nothing else is.
func portDrift(ctx context.Context, w *world) error {
	want := []cloud.PortRange{portRange(8080, 8080), portRange(9000, 9010)}
	c, machines, err := w.up(ctx, 1, ports(want...))
	if err != nil {
		return err
	}
	prefixes := c.cfg.Spec.AllowedCIDRs
	told := func(when string, prefixes []netip.Prefix, lines int) error {
		got, err := guard.PortDrift(ctx, w.Provisioner, c.ref, prefixes, want)
		if err != nil {
			return fmt.Errorf("PortDrift: %w", err)
		}
		if len(got) != lines {
			return fmt.Errorf("%s PortDrift tells %q, want %d lines", when, got, lines)
		}
		return nil
	}
	if err := told("after the launch", prefixes, 0); err != nil {
		return err
	}
	if err := w.OpenPorts(ctx, c.ref, c.cfg, []cloud.PortRange{portRange(8080, 8080), portRange(1, 65535)}); err != nil {
		return fmt.Errorf("OpenPorts: %w", err)
	}
	if err := told("after one port was closed and all were opened", prefixes, 2); err != nil {
		return err
	}
	if err := w.gateIs(ctx, machines[0].ID, portRange(1, 65535), portRange(8080, 8080)); err != nil {
		return fmt.Errorf("after PortDrift, which changes nothing: %w", err)
	}
	if err := w.OpenPorts(ctx, c.ref, c.cfg, want); err != nil {
		return fmt.Errorf("OpenPorts: %w", err)
	}
	if err := told("after the repair", prefixes, 0); err != nil {
		return err
	}
	// Another source is another opening of SSH and of both ports, and closes as many.
	return told("under another source", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/9")}, 6)
}

func cleanupTwice(ctx context.Context, w *world) error {
	c := w.cluster(1, ports(portRange(8080, 8080)))
	if _, err := c.up(ctx); err != nil {
		return err
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	for _, when := range []string{"after CleanupPorts", "after CleanupPorts again"} {
		if err := w.CleanupPorts(ctx, c.ref); err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		if err := w.countsAre(ctx, w.before, when); err != nil {
			return err
		}
	}
	return nil
}

// portSources: who may reach a cluster is who was named, at launch and when the
// spec changes.
func portSources(ctx context.Context, w *world) error {
	var want []cloud.PortRange
	if w.caps.PortsLaunch {
		want = []cloud.PortRange{portRange(8080, 8080)}
	}
	c := w.cluster(1, ports(want...))
	var id string
	for _, from := range [][]netip.Prefix{
		{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("203.0.113.0/24")},
		{netip.MustParsePrefix("198.51.100.7/32")},
	} {
		c.spec.AllowedCIDRs = from
		machines, err := c.up(ctx)
		if err != nil {
			return err
		}
		id = machines[0].ID
		if w.caps.PortsLater {
			if err := w.OpenPorts(ctx, c.ref, c.cfg, want); err != nil {
				return fmt.Errorf("OpenPorts: %w", err)
			}
		}
		if err := w.gateOpensTo(ctx, id, from, want...); err != nil {
			return fmt.Errorf("with %v allowed: %w", from, err)
		}
	}
	return nil
}

// sourcesTold: where the caller leaves it to the cloud who may reach the
// machines, Bootstrap says who that is, and it is never everybody.
func sourcesTold(ctx context.Context, w *world) error {
	c := w.cluster(1)
	c.spec.AllowedCIDRs = nil
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	told := c.cfg.Spec.AllowedCIDRs
	if len(told) == 0 || slices.ContainsFunc(told, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		return fmt.Errorf("Bootstrap says that %v may reach the machines, where nobody was named", told)
	}
	return w.gateOpensTo(ctx, machines[0].ID, told)
}
