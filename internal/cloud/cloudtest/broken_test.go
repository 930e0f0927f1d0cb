// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/memcloud"
)

// mutant is a way to break the driver of the cloud in memory. What it does not
// set is as it should be.
type mutant struct {
	// in changes the reference that a method gets, spec what Bootstrap and Run do.
	in   func(method string, ref *cloud.ClusterRef)
	spec func(method string, spec *cloud.ClusterSpec)
	// out changes the machines that Query, Describe and Ended return.
	out func(d *broken, method string, ref cloud.ClusterRef, all []cloud.Instance) []cloud.Instance
	// instead replaces a method; done false calls the right one.
	instead func(ctx context.Context, d *broken, method string, ref cloud.ClusterRef) (done bool, err error)
	// after changes the error of a method, and the world.
	after func(d *broken, method string, ref cloud.ClusterRef, err error) error
	// ran changes the record of a Run, and the world.
	ran func(d *broken, ref cloud.ClusterRef, cfg cloud.RunConfig, rec *cloud.RunRecord, err error) error
	// renamed changes a machine that was renamed by hand.
	renamed func(*memcloud.Machine)
	// told changes what Bootstrap returns.
	told func(cfg *cloud.RunConfig)
	// things, drift and classify change what Survey, PortDrift and Classify return.
	things   func(d *broken, ref cloud.ClusterRef, all []cloud.Thing) []cloud.Thing
	drift    func(d *broken, ports []cloud.PortRange, lines []string) []string
	classify func(err error) cloud.Fault
	open     func(creds cloud.Credentials, s cloud.Session, err error) (cloud.Session, error)
	rows     func(all []cloudtest.ErrorRow) []cloudtest.ErrorRow
	// open changes what Open returns, rows the error table.
	// driver and caps change the driver's own settings, and what the factory says.
	driver  func(*memcloud.Driver)
	caps    func(*cloud.Capabilities)
	options func([]cloud.Option) []cloud.Option
	name    string
}

// broken is a session's driver with a mutant's faults, and what it remembers.
type broken struct {
	*memcloud.Driver
	m mutant
	// launched are the machines that this session made.
	launched ids
}

// ids is a set of machines; concurrent launches share it.
type ids struct {
	mu  sync.Mutex
	set map[string]bool
}

func (s *ids) add(all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range all {
		s.set[id] = true
	}
}

func (s *ids) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set[id]
}

func (s *ids) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.set) == 0
}

type brokenFactory struct {
	memcloud.Factory
	mutant mutant
}

func (f brokenFactory) Name() string {
	if f.mutant.name != "" {
		return f.mutant.name
	}
	return f.Factory.Name()
}

func (f brokenFactory) Capabilities() cloud.Capabilities {
	caps := f.Factory.Capabilities()
	if f.mutant.caps != nil {
		f.mutant.caps(&caps)
	}
	return caps
}

func (f brokenFactory) Options() []cloud.Option {
	if f.mutant.options != nil {
		return f.mutant.options(f.Factory.Options())
	}
	return f.Factory.Options()
}

func (f brokenFactory) Open(ctx context.Context, creds cloud.Credentials) (cloud.Session, error) {
	d := &memcloud.Driver{Cloud: f.Cloud}
	if f.mutant.driver != nil {
		f.mutant.driver(d)
	}
	f.Driver = func() *memcloud.Driver { return d }
	s, err := f.Factory.Open(ctx, creds)
	s.Provisioner = &broken{Driver: d, m: f.mutant, launched: ids{set: map[string]bool{}}}
	if f.mutant.open != nil {
		s, err = f.mutant.open(creds, s, err)
	}
	return s, err
}

// call runs a method with the mutant's faults.
func (d *broken) call(ctx context.Context, method string, ref cloud.ClusterRef, f func(cloud.ClusterRef) error) error {
	if d.m.in != nil {
		d.m.in(method, &ref)
	}
	done, err := false, error(nil)
	if d.m.instead != nil {
		done, err = d.m.instead(ctx, d, method, ref)
	}
	if !done {
		err = f(ref)
	}
	if d.m.after != nil {
		err = d.m.after(d, method, ref, err)
	}
	return err
}

func (d *broken) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cfg cloud.RunConfig, err error) {
	if d.m.spec != nil {
		d.m.spec("Bootstrap", &spec)
	}
	err = d.call(ctx, "Bootstrap", spec.Ref, func(cloud.ClusterRef) (err error) {
		cfg, err = d.Driver.Bootstrap(ctx, spec, at)
		return err
	})
	if d.m.told != nil {
		d.m.told(&cfg)
	}
	return cfg, err
}

func (d *broken) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (rec cloud.RunRecord, err error) {
	if d.m.spec != nil {
		d.m.spec("Run", &cfg.Spec)
	}
	err = d.call(ctx, "Run", ref, func(ref cloud.ClusterRef) (err error) {
		rec, err = d.Driver.Run(ctx, ref, cfg)
		return err
	})
	d.launched.add(rec.Created)
	if d.m.ran != nil {
		err = d.m.ran(d, ref, cfg, &rec, err)
	}
	return rec, err
}

func (d *broken) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	return d.call(ctx, "Wait for "+string(want), ref, func(ref cloud.ClusterRef) error { return d.Driver.Wait(ctx, ref, want) })
}

func (d *broken) Describe(ctx context.Context, ref cloud.ClusterRef) (info cloud.ClusterInfo, err error) {
	err = d.call(ctx, "Describe", ref, func(ref cloud.ClusterRef) (err error) {
		info, err = d.Driver.Describe(ctx, ref)
		return err
	})
	if d.m.out != nil {
		info.Instances = d.m.out(d, "Describe", ref, info.Instances)
	}
	return info, err
}

func (d *broken) Query(ctx context.Context, ref cloud.ClusterRef) (all []cloud.Instance, err error) {
	err = d.call(ctx, "Query", ref, func(ref cloud.ClusterRef) (err error) {
		all, err = d.Driver.Query(ctx, ref)
		return err
	})
	if d.m.out != nil {
		all = d.m.out(d, "Query", ref, all)
	}
	return all, err
}

// Ended implements cloud.Chronicler, which the cloud in memory leaves out.
func (d *broken) Ended(ctx context.Context, ref cloud.ClusterRef) (all []cloud.Instance, err error) {
	err = d.call(ctx, "Ended", ref, func(ref cloud.ClusterRef) error {
		d.each(ref, func(m *memcloud.Machine) {
			if !m.Alive(time.Now()) {
				in := m.Instance
				in.State = cloud.StateTerminated
				all = append(all, in)
			}
		})
		return nil
	})
	if d.m.out != nil {
		all = d.m.out(d, "Ended", ref, all)
	}
	return all, err
}

func (d *broken) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	return d.call(ctx, "Commit", ref, func(ref cloud.ClusterRef) error { return d.Driver.Commit(ctx, ref) })
}

func (d *broken) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	return d.call(ctx, "Stop", ref, func(ref cloud.ClusterRef) error { return d.Driver.Stop(ctx, ref) })
}

func (d *broken) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	return d.call(ctx, "Terminate", ref, func(ref cloud.ClusterRef) error { return d.Driver.Terminate(ctx, ref) })
}

func (d *broken) OpenPorts(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	if d.m.spec != nil {
		d.m.spec("OpenPorts", &cfg.Spec)
	}
	return d.call(ctx, "OpenPorts", ref, func(ref cloud.ClusterRef) error { return d.Driver.OpenPorts(ctx, ref, cfg, ports) })
}

func (d *broken) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	return d.call(ctx, "CleanupPorts", ref, func(ref cloud.ClusterRef) error { return d.Driver.CleanupPorts(ctx, ref) })
}

func (d *broken) PortDrift(ctx context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	lines, err := d.Driver.PortDrift(ctx, ref, prefixes, ports)
	if d.m.drift != nil {
		lines = d.m.drift(d, ports, lines)
	}
	return lines, err
}

func (d *broken) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	all, err := d.Driver.Survey(ctx, ref)
	if d.m.things != nil {
		all = d.m.things(d, ref, all)
	}
	return all, err
}

func (d *broken) Classify(err error) cloud.Fault {
	if d.m.classify != nil {
		return d.m.classify(err)
	}
	return d.Driver.Classify(err)
}

// each calls f on the machines of the world that belong to the ref, under the
// world's lock. It is how a driver leaves something undone, or does too much.
func (d *broken) each(ref cloud.ClusterRef, f func(*memcloud.Machine)) {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	for _, m := range d.Machines {
		if ref.Matches(m.Identity, m.Region, m.Zone) {
			f(m)
		}
	}
}

// groups is each for firewalls and keys.
func (d *broken) groups(ref cloud.ClusterRef, f func(*memcloud.Group)) {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	for _, g := range d.Groups {
		if ref.Matches(g.Owner, g.Region, ref.Zone) {
			f(g)
		}
	}
}
