// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// simDriver is a driver of simCloud as drivers should be: it repeats what
// failed in passing, adopts before it creates, and believes what it sees.
type simDriver struct {
	*simCloud
	process *simProcess
	owner   string
}

var _ cloud.Provisioner = simDriver{}

// at returns a client for one method.
func (d simDriver) at(phase string) *simClient {
	return &simClient{simCloud: d.simCloud, process: d.process, owner: d.owner, phase: phase}
}

func (d simDriver) Name() string { return "nimbus" }
func (d simDriver) Capabilities() cloud.Capabilities {
	return cloud.Capabilities{
		Stop: true, Spot: true, StopSpot: true, MultiNode: true, PortsLater: true, PortsLaunch: true,
		UserData: true, CustomImage: true, CustomDisk: true, Labels: true, DeadMan: true,
	}
}
func (d simDriver) Options() []cloud.Option { return nil }
func (d simDriver) Open(context.Context, cloud.Credentials) (cloud.Session, error) {
	return cloud.Session{Provisioner: d, Account: d.account}, nil
}

// again repeats transient failures a few times.
func again(ctx context.Context, f func(context.Context) error) error {
	return retry.Do(ctx, retry.Policy{Initial: time.Second, Max: 4 * time.Second, Attempts: 4}, func(ctx context.Context) error {
		err := f(ctx)
		if err != nil && classifySim(err).Kind != cloud.KindTransient {
			return retry.Stop(err)
		}
		return err
	})
}

func groupOf(ref cloud.ClusterRef) cloud.Identity {
	return cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation}
}

func (d simDriver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	c := d.at("bootstrap")
	for _, kind := range []string{"key", "firewall"} {
		g := simGroup{kind: kind, region: at.Offer.Region, owner: groupOf(spec.Ref)}
		if err := again(ctx, func(ctx context.Context) error { return c.ensureGroup(ctx, g) }); err != nil {
			return cloud.RunConfig{}, fmt.Errorf("make the %s: %w", kind, err)
		}
	}
	return cloud.RunConfig{Spec: spec, Placement: at}, nil
}

// look lists the machines of a ref, those it names by id too. What is named
// and foreign is an error.
func (d simDriver) look(ctx context.Context, c *simClient, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	var out []cloud.Instance
	err := again(ctx, func(ctx context.Context) (err error) {
		out, err = c.list(ctx, ref)
		return err
	})
	if err != nil || ref.Instances == nil {
		return out, err
	}
	out = slices.DeleteFunc(out, func(i cloud.Instance) bool { return !slices.Contains(ref.Instances, i.ID) })
	for _, id := range ref.Instances {
		if slices.ContainsFunc(out, func(i cloud.Instance) bool { return i.ID == id }) {
			continue
		}
		var in cloud.Instance
		err := again(ctx, func(ctx context.Context) (err error) {
			in, err = c.get(ctx, id)
			return err
		})
		switch {
		case errors.Is(err, cloud.ErrNotFound):
		case err != nil:
			return nil, err
		case !ref.Matches(in.Identity, in.Region, in.Zone):
			return nil, fmt.Errorf("machine %s is somebody else's: %w", id, errSimConfig)
		default:
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(x, y cloud.Instance) int {
		return cmp.Or(cmp.Compare(x.Identity.Rank, y.Identity.Rank), cmp.Compare(x.ID, y.ID))
	})
	return out, nil
}

func (d simDriver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	c := d.at("run")
	var rec cloud.RunRecord
	ref.Instances = nil
	have, err := d.look(ctx, c, ref)
	if err != nil {
		return rec, err
	}
	for _, n := range cfg.Spec.Nodes {
		i := slices.IndexFunc(have, func(i cloud.Instance) bool { return i.Identity == n.Identity })
		if i >= 0 && have[i].State == cloud.StateStopped {
			if err := again(ctx, func(ctx context.Context) error { return c.start(ctx, have[i].ID) }); err != nil {
				return rec, err
			}
			rec.Resumed = append(rec.Resumed, have[i].ID)
			continue
		}
		if i >= 0 {
			rec.Adopted = append(rec.Adopted, have[i].ID)
			continue
		}
		var id string
		err := again(ctx, func(ctx context.Context) (err error) {
			id, err = c.create(ctx, n, cfg.Placement, cfg.Spec.Deadline)
			return err
		})
		if err != nil {
			return rec, fmt.Errorf("create rank %d: %w", n.Identity.Rank, err)
		}
		rec.Created = append(rec.Created, id)
	}
	after, err := d.look(ctx, c, ref)
	for _, in := range after {
		if all := slices.Concat(rec.Created, rec.Adopted, rec.Resumed); err == nil && !slices.Contains(all, in.ID) {
			return rec, &cloud.ExtraNodesError{Cluster: ref.Cluster, Want: len(all), Extra: []string{in.ID}}
		}
	}
	return rec, err
}

func (c *simClient) start(ctx context.Context, id string) error {
	return c.change(ctx, "start", id, func(m *simMachine) {
		m.stoppedAt, m.running = time.Time{}, time.Now().Add(c.boot)
	})
}

// poll looks until f is content. Trouble in passing is borne.
func (d simDriver) poll(ctx context.Context, c *simClient, ref cloud.ClusterRef, f func([]cloud.Instance) (bool, error)) error {
	failures := 0
	return retry.Poll(ctx, retry.Policy{Initial: time.Second, Max: 2 * time.Second}, func(ctx context.Context) (bool, error) {
		now, err := d.look(ctx, c, ref)
		if err == nil {
			failures = 0
			done, err := f(now)
			if err != nil {
				err = retry.Stop(err)
			}
			return done, err
		}
		if failures++; failures > 3 || classifySim(err).Kind != cloud.KindTransient {
			return false, retry.Stop(err)
		}
		return false, err
	})
}

func (d simDriver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if want == cloud.StateTerminated {
		quiet := 0
		return d.poll(ctx, d.at("wait"), ref, func(now []cloud.Instance) (bool, error) {
			if quiet++; len(now) > 0 {
				quiet = 0
			}
			return quiet >= 2, nil
		})
	}
	missing := 0
	return d.poll(ctx, d.at("wait"), ref, func(now []cloud.Instance) (bool, error) {
		if len(now) < len(ref.Instances) || len(now) == 0 {
			if missing++; missing > 4 {
				return false, fmt.Errorf("only %d of %d machines are there: %w", len(now), len(ref.Instances), errSimCapacity)
			}
			return false, nil
		}
		missing = 0
		for _, in := range now {
			if in.State == cloud.StateTerminating {
				return false, fmt.Errorf("machine %s is going: %w", in.ID, errSimCapacity)
			}
			if in.State != want {
				return false, nil
			}
		}
		return true, nil
	})
}

func (d simDriver) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	now, err := d.look(ctx, d.at("describe"), ref)
	now = slices.DeleteFunc(now, func(i cloud.Instance) bool { return i.State != cloud.StateRunning })
	if err == nil && len(now) == 0 {
		err = cloud.ErrNotFound
	}
	return cloud.ClusterInfo{Instances: now, SSHUser: "ubuntu"}, err
}

func (d simDriver) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	return d.look(ctx, d.at("query"), ref)
}

func (d simDriver) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	c := d.at("commit")
	now, err := d.look(ctx, c, ref)
	if err != nil {
		return err
	}
	if len(now) == 0 || len(now) < len(ref.Instances) {
		return fmt.Errorf("%d machines: %w", len(now), cloud.ErrNotFound)
	}
	for _, in := range now {
		err := again(ctx, func(ctx context.Context) error {
			return c.change(ctx, "tag", in.ID, func(m *simMachine) { m.Committed = true })
		})
		if err == nil {
			err = again(ctx, func(ctx context.Context) error {
				return c.change(ctx, "disarm", in.ID, func(m *simMachine) { m.Deadline = time.Time{} })
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d simDriver) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	c := d.at("stop")
	asked := map[string]bool{}
	missing := 0
	return d.poll(ctx, c, ref, func(now []cloud.Instance) (bool, error) {
		if len(now) < max(len(ref.Instances), 1) {
			if missing++; missing > 4 {
				return false, cloud.ErrNotFound
			}
			return false, nil
		}
		done := true
		for _, in := range now {
			done = done && in.State == cloud.StateStopped
			if in.State == cloud.StateRunning || in.State == cloud.StatePending {
				err := c.change(ctx, "stop", in.ID, func(m *simMachine) { m.stoppedAt = time.Now().Add(5 * time.Second) })
				if err != nil && classifySim(err).Kind != cloud.KindTransient {
					return false, err
				}
				asked[in.ID] = true
			}
		}
		return done, nil
	})
}

func (d simDriver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	c := d.at("terminate")
	quiet := 0
	return d.poll(ctx, c, ref, func(now []cloud.Instance) (bool, error) {
		if len(now) == 0 {
			quiet++
			return quiet >= 2, nil
		}
		quiet = 0
		for _, in := range now {
			if in.State == cloud.StateTerminating {
				continue
			}
			err := again(ctx, func(ctx context.Context) error { return c.terminate(ctx, in.ID) })
			if err != nil && !errors.Is(err, cloud.ErrNotFound) {
				return false, err
			}
		}
		return false, nil
	})
}

func (d simDriver) OpenPorts(context.Context, cloud.ClusterRef, cloud.RunConfig, []cloud.PortRange) error {
	return nil
}

func (d simDriver) CleanupPorts(ctx context.Context, ref cloud.ClusterRef) error {
	c := d.at("cleanup")
	var errs []error
	for _, kind := range []string{"firewall", "key"} {
		errs = append(errs, again(ctx, func(ctx context.Context) error { return c.dropGroup(ctx, kind, ref) }))
	}
	return errors.Join(errs...)
}

// Survey shows what lists show of machines, and all firewalls and keys.
func (d simDriver) Survey(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	c := d.at("survey")
	var out []cloud.Thing
	err := again(ctx, func(ctx context.Context) error {
		return c.call(ctx, "things", "", func(*simFault) error {
			out = nil
			add := func(kind cloud.ThingKind, id, region string, owner cloud.Identity) {
				if t, ok := ref.ThingOf(kind, id, "", owner.Tags(), region); ok {
					out = append(out, t)
				}
			}
			for _, m := range c.machines {
				if m.alive(time.Now()) && !time.Now().Before(m.visible) {
					add(cloud.ThingMachine, m.ID, m.Region, m.Identity)
				}
			}
			for _, g := range c.groups {
				add(cloud.ThingKind(g.kind), g.kind+" of "+g.owner.Generation, g.region, g.owner)
			}
			return nil
		})
	})
	return out, err
}

func (d simDriver) Classify(err error) cloud.Fault { return classifySim(err) }

func classifySim(err error) cloud.Fault {
	switch {
	case errors.Is(err, errSimCapacity):
		return cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}
	case errors.Is(err, errSimAuth):
		return cloud.Fault{Kind: cloud.KindAuth, Scope: cloud.ScopeCloud}
	case errors.Is(err, errSimConfig):
		return cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}
	case errors.Is(err, errSimTimeout), errors.Is(err, errSimServer), errors.Is(err, errSimThrottle), errors.Is(err, errSimInUse):
		return cloud.Fault{Kind: cloud.KindTransient, Scope: cloud.ScopeZone}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}
