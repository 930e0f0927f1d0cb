// SPDX-License-Identifier: MPL-2.0

package memcloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Name is what the cloud is called in configurations.
const Name = "nimbus"

// defaultUser logs into machines for which no user was named.
const defaultUser = "ubuntu"

// Kinds of groups.
const (
	kindKey      = "key"
	kindFirewall = "firewall"
)

// Driver drives a Cloud as drivers should: it repeats what failed in passing,
// adopts before it creates, remembers what lists do not show yet, and believes
// what it sees.
type Driver struct {
	*Cloud
	// Process is the run of the provider that makes the calls; nil cannot die.
	Process *Process
	// Owner and Cluster say whose machines a fault's Vanish ends.
	Owner, Cluster string
	// Forgetful forgets what it launched: it knows what lists show.
	Forgetful bool
	// Stubborn keeps what it launched where another session was first; Trusting
	// does not look at the marks of a Commit, Careless not whether they disarmed. All
	// are faults, for tests of tests.
	Stubborn, Trusting, Careless bool
	// Attempts is how often a call is made that fails in passing; 0 is four times.
	Attempts int

	mu sync.Mutex
	// next is when the cloud takes another launch.
	next time.Time
	// recent are the machines that this driver made and no list has shown.
	recent map[string]bool
}

var _ interface {
	cloud.Provisioner
	cloud.Auditor
	cloud.Surveyor
} = (*Driver)(nil)

// At returns a client for one method.
func (d *Driver) At(phase string) *Client {
	return &Client{Cloud: d.Cloud, Process: d.Process, Owner: d.Owner, Cluster: d.Cluster, Phase: phase}
}

// enter begins a method; leave ends it.
func (d *Driver) enter(method, zone string) (leave func(error) error, err error) {
	d.Mu.Lock()
	d.methods = append(d.methods, method+" "+zone)
	d.Mu.Unlock()
	f := d.match(method, "", "", zone)
	if f == nil {
		return func(err error) error { return err }, nil
	}
	if f.Hook != nil {
		f.Hook()
	}
	if f.Err != nil && !f.Applied {
		return nil, f.Err
	}
	return func(err error) error { return cmp.Or(err, f.Err) }, nil
}

// again repeats transient failures a few times.
func (d *Driver) again(ctx context.Context, f func(context.Context) error) error {
	return retry.Do(ctx, retry.Policy{Initial: time.Second, Max: 4 * time.Second, Attempts: cmp.Or(d.Attempts, 4)}, func(ctx context.Context) error {
		err := f(ctx)
		if err != nil && Classify(err).Kind != cloud.KindTransient {
			return retry.Stop(err)
		}
		return err
	})
}

func groupOf(ref cloud.ClusterRef) cloud.Identity {
	return cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation}
}

// owned refuses a reference that would match everybody's machines.
func owned(ref cloud.ClusterRef) error {
	if ref.Owner == "" {
		return fmt.Errorf("the reference names no owner: %w", ErrConfig)
	}
	return nil
}

// look lists the machines of a ref by rank, those it names by id too. What is
// named and foreign is an error.
func (d *Driver) look(ctx context.Context, c *Client, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	if err := owned(ref); err != nil {
		return nil, err
	}
	var out []cloud.Instance
	err := d.again(ctx, func(ctx context.Context) (err error) {
		out, err = c.list(ctx, ref)
		return err
	})
	if err != nil {
		return nil, err
	}
	listed := func(id string) bool {
		return slices.ContainsFunc(out, func(i cloud.Instance) bool { return i.ID == id })
	}
	if ref.Instances != nil {
		out = slices.DeleteFunc(out, func(i cloud.Instance) bool { return !slices.Contains(ref.Instances, i.ID) })
	}
	for _, id := range d.unlisted(ref, listed) {
		in, err := d.one(ctx, c, id)
		named := slices.Contains(ref.Instances, id)
		switch {
		case errors.Is(err, cloud.ErrNotFound):
			d.remember(id, false)
		case err != nil:
			return nil, err
		case ref.Matches(in.Identity, in.Region, in.Zone):
			out = append(out, in)
		case named:
			return nil, fmt.Errorf("machine %s is somebody else's: %w", id, ErrConfig)
		}
	}
	slices.SortFunc(out, func(x, y cloud.Instance) int {
		return cmp.Or(cmp.Compare(x.Identity.Rank, y.Identity.Rank), cmp.Compare(x.ID, y.ID))
	})
	return out, nil
}

func (d *Driver) one(ctx context.Context, c *Client, id string) (in cloud.Instance, err error) {
	err = d.again(ctx, func(ctx context.Context) (err error) {
		in, err = c.get(ctx, id)
		return err
	})
	return in, err
}

// unlisted are the ids to ask for one by one: what the ref names, or else what
// was made lately, as far as no list shows them.
func (d *Driver) unlisted(ref cloud.ClusterRef, listed func(string) bool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id := range d.recent {
		switch {
		case listed(id):
			delete(d.recent, id)
		case ref.Instances == nil:
			ids = append(ids, id)
		}
	}
	for _, id := range ref.Instances {
		if !listed(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (d *Driver) remember(id string, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !is:
		delete(d.recent, id)
	case !d.Forgetful:
		if d.recent == nil {
			d.recent = map[string]bool{}
		}
		d.recent[id] = true
	}
}

// poll looks until f is content. It goes on after transient errors.
func (d *Driver) poll(ctx context.Context, c *Client, ref cloud.ClusterRef, f func([]cloud.Instance) (bool, error)) error {
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
		if failures++; failures > 3 || Classify(err).Kind != cloud.KindTransient {
			return false, retry.Stop(err)
		}
		return false, err
	})
}

// Describe implements cloud.Provisioner.
func (d *Driver) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	leave, err := d.enter("describe", ref.Zone)
	if err != nil {
		return cloud.ClusterInfo{}, err
	}
	now, err := d.look(ctx, d.At("describe"), ref)
	now = slices.DeleteFunc(now, func(i cloud.Instance) bool { return i.State != cloud.StateRunning })
	if err == nil && len(now) == 0 {
		err = cloud.ErrNotFound
	}
	info := cloud.ClusterInfo{Instances: now, SSHUser: defaultUser}
	if err == nil {
		d.Mu.Lock()
		defer d.Mu.Unlock()
		if g := d.group(kindKey, now[0].Region, groupOf(ref)); g != nil {
			info.SSHUser = cmp.Or(g.SSHUser, defaultUser)
		}
	}
	return info, leave(err)
}

// Query implements cloud.Provisioner.
func (d *Driver) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	leave, err := d.enter("query", ref.Zone)
	if err != nil {
		return nil, err
	}
	now, err := d.look(ctx, d.At("query"), ref)
	return now, leave(err)
}

// Wait implements cloud.Provisioner.
func (d *Driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	leave, err := d.enter("wait", ref.Zone)
	if err != nil {
		return err
	}
	if want == cloud.StateTerminated {
		return leave(d.quiet(ctx, d.At("wait"), ref, func(cloud.Instance) error { return nil }))
	}
	missing := 0
	return leave(d.poll(ctx, d.At("wait"), ref, func(now []cloud.Instance) (bool, error) {
		if len(now) < len(ref.Instances) || len(now) == 0 {
			if missing++; missing > 4 {
				return false, fmt.Errorf("only %d of %d machines are there: %w", len(now), len(ref.Instances), ErrCapacity)
			}
			return false, nil
		}
		missing = 0
		for _, in := range now {
			if in.State == cloud.StateTerminating {
				return false, fmt.Errorf("machine %s is going: %w", in.ID, ErrCapacity)
			}
			if in.State != want || (want == cloud.StateRunning && in.ExternalIP == "") {
				return false, nil
			}
		}
		return true, nil
	}))
}

// quiet calls each for what is there until two looks show nothing.
func (d *Driver) quiet(ctx context.Context, c *Client, ref cloud.ClusterRef, each func(cloud.Instance) error) error {
	quiet := 0
	return d.poll(ctx, c, ref, func(now []cloud.Instance) (bool, error) {
		if len(now) == 0 {
			quiet++
			return quiet >= 2, nil
		}
		quiet = 0
		for _, in := range now {
			if err := each(in); err != nil {
				return false, err
			}
		}
		return false, nil
	})
}

// Classify implements cloud.Provisioner.
func (d *Driver) Classify(err error) cloud.Fault {
	for is, fault := range d.Means {
		if errors.Is(err, is) {
			return fault
		}
	}
	return Classify(err)
}
