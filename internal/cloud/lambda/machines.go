// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// Bounds of Lambda's API.
const (
	maxName = 64
	// unrecorded ends the name of a machine that no state holds yet. It is taken
	// away once one does, so that who renames a machine later puts it in no danger.
	// The machine's own end follows, in case tags do not: minutes of UNIX time.
	unrecorded = "-new"
	// longestName is that of a host, which leaves room for the mark.
	longestName = maxName - len(unrecorded) - len("-zzzzzz")
)

// Tags of a machine beside those that all clouds have.
const (
	tagCreated  = cloud.TagPrefix + "created" // the API does not tell
	tagDeadline = cloud.TagPrefix + "deadline"
)

// Statuses of a machine.
const (
	statusUnhealthy = "unhealthy"
	statusPreempted = "preempted"
)

// driver implements cloud.Provisioner, with what fleet makes of its calls.
type driver struct {
	*fleet.Fleet[native, resources]
	// c makes all calls, launching those that launch, at a pace of their own.
	c, launching fleet.REST
}

func newDriver(c fleet.REST, launches *fleet.Pace) *driver {
	d := &driver{c: c, launching: c}
	// Who launches at the same time takes turns with others of the account.
	d.launching.Pace, d.launching.Tries.Attempts = launches, 5*c.Tries.Attempts
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHUser: "ubuntu",
		Hooks: fleet.Hooks[native, resources]{Valid: isID, CheckSpec: checkSpec},
		Poll:  retry.Policy{Initial: 2 * time.Second, Max: 10 * time.Second, Factor: 1.5, Jitter: 0.2},
		// One after another: a launch that fails keeps the next from being made.
		Parallel: 1,
		// CreatedAt is by the clock of the computer that launched.
		Granularity: 10 * time.Second,
		// All sessions of an account together remove one machine a second, at most.
		TieTime: 10 * time.Minute,
	})
	return d
}

type (
	machine = fleet.Machine[native]
	native  struct {
		// blocked is why it cannot be terminated at the moment, by Lambda's word.
		blocked string
	}
)

var (
	_ cloud.Provisioner              = (*driver)(nil)
	_ fleet.Calls[native, resources] = (*driver)(nil)
	_ fleet.Things                   = (*driver)(nil)
	_ fleet.Firewalls                = (*driver)(nil)
)

// isID keeps ids of other clouds out of calls.
func isID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-'
	})
}

// flat is what tags can hold.
func flat() tags.Flat { return tags.Flat{MaxKey: 55, MaxValue: 128} }

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// instance is a machine as the API shows it. What else it shows holds secrets.
type instance struct {
	ID        string
	Name      string
	IP        string
	PrivateIP string `json:"private_ip"`
	Status    string
	Keys      []string `json:"ssh_key_names"`
	Hostname  string
	Region    struct{ Name string }
	Type      struct{ Name string } `json:"instance_type"`
	Tags      []tag
	Actions   struct {
		Terminate struct {
			Available *bool
			Reason    string `json:"reason_code"`
		}
	}
}

// states are Lambda's words in those that all clouds share. One that is unhealthy
// is neither alive nor gone.
func states() map[string]cloud.State {
	return map[string]cloud.State{
		"booting": cloud.StatePending, "active": cloud.StateRunning, "terminating": cloud.StateTerminating,
		"terminated": cloud.StateTerminated, statusPreempted: cloud.StateTerminated,
	}
}

// machine reads a machine. Ref is for whom it is looked for.
func (d *driver) machine(in instance, ref cloud.ClusterRef) machine {
	held := map[string]string{}
	for _, t := range in.Tags {
		held[t.Key] = t.Value
	}
	tags := flat().Decode(held)
	m := machine{Name: in.Name, Status: in.Status, Tags: tags, Instance: cloud.Instance{
		ID: in.ID, Region: in.Region.Name, Type: in.Type.Name, Market: cloud.OnDemand, State: cmp.Or(states()[in.Status], cloud.StateUnknown),
		SSHPort: int(d.SSHPort), HostKey: tags[cloud.TagHostKey], Notes: cloud.NotesFromTags(tags), Labels: maps.Clone(tags),
	}}
	maps.DeleteFunc(m.Labels, func(key, _ string) bool { return strings.HasPrefix(key, cloud.TagPrefix) })
	switch in.Status {
	case statusUnhealthy:
		m.Reason = "it is unhealthy: Lambda's checks of it fail"
	case statusPreempted:
		m.Reason, m.Ending = statusPreempted+": Lambda took it back", cloud.EndedPreempted
	case "active":
		m.ExternalIP, m.InternalIP = in.IP, cmp.Or(in.PrivateIP, in.IP) // not every place has private ones
	}
	switch action := in.Actions.Terminate; {
	case action.Available == nil:
	case !*action.Available:
		m.Native.blocked = action.Reason
	case in.Status == statusPreempted: // it may be billed until it is terminated
		m.State = cloud.StateUnknown
	}
	id, tagged := cloud.IdentityFromTags(tags)
	if !tagged && tags[cloud.TagOwner] == "" {
		if id, tagged = namedAs(in, ref); tagged {
			m.Tags = nil // those of the identity
		}
	}
	if !tagged {
		return m
	}
	m.Identity = id
	m.CreatedAt, _ = time.Parse(time.RFC3339Nano, tags[tagCreated]) // zero where it is unreadable
	end, marked := strings.CutPrefix(in.Name, nameOf(id)+unrecorded)
	m.Committed = in.Name != "" && !(marked && (end == "" || end[0] == '-'))
	if !m.Committed {
		m.Deadline = deadline(tags, end)
	}
	return m
}

// nameOf is what a machine is called: its host's name from the launch on, and the
// machine's once it is recorded.
func nameOf(id cloud.Identity) string { return id.Name(longestName) }

// mark is what a machine that no state holds has behind its name.
func mark(deadline time.Time) string {
	if deadline.IsZero() {
		return unrecorded
	}
	return unrecorded + "-" + strconv.FormatInt((deadline.Unix()+59)/60, 36)
}

// deadline reads it back, from the tag, which has seconds, or the end of a mark.
func deadline(tags map[string]string, end string) time.Time {
	if t, err := time.Parse(time.RFC3339, tags[tagDeadline]); err == nil {
		return t
	}
	minutes, err := strconv.ParseInt(strings.TrimPrefix(end, "-"), 36, 32)
	if err != nil {
		return time.Time{} // the launch had none
	}
	return time.Unix(60*minutes, 0).UTC()
}

// namedAs is the identity of a machine that lost its tags, by the names it has
// for life: that of its cluster's key, and its host's.
func namedAs(in instance, ref cloud.ClusterRef) (cloud.Identity, bool) {
	whose, ok := cloud.RefOf(maxName, []cloud.ClusterRef{ref}, in.Keys...)
	if !ok {
		return cloud.Identity{}, false
	}
	return whose.IdentityOf(in.Hostname, longestName)
}

// List implements fleet.Calls. Lambda has one list for all regions.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	all, err := get[[]instance](ctx, d, "/instances")
	out := make([]machine, len(all))
	for i, in := range all {
		out[i] = d.machine(in, ref)
	}
	return out, err
}

// Get implements fleet.Calls.
func (d *driver) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]machine, error) {
	return fleet.GetEach(ids, func(id string) (machine, error) { //nolint:wrapcheck // it names the call
		in, err := get[instance](ctx, d, "/instances/"+id)
		return d.machine(in, ref), err
	})
}

// StartMachine implements fleet.Calls. Nothing is ever stopped.
func (*driver) StartMachine(context.Context, machine) error { return errors.ErrUnsupported }

// StopMachines implements fleet.Calls. The Capabilities say that it is not called.
func (*driver) StopMachines(context.Context, []machine) error { return errors.ErrUnsupported }

// notNow are the reasons of Lambda's for which a machine cannot be terminated yet,
// or need not be. A later look asks again.
func notNow() []string {
	return []string{"vm-has-not-launched", "vm-is-terminating", "vm-action-in-progress"}
}

// DeleteMachines implements fleet.Calls. One id a call: one that is gone fails the
// call for all. One that is on its way gives an error without a meaning.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error { //nolint:wrapcheck // it names the call
		if slices.Contains(notNow(), m.Native.blocked) {
			return nil
		}
		err := d.c.Do(ctx, http.MethodPost, "/instance-operations/terminate", nil, map[string][]string{"instance_ids": {m.ID}}, nil)
		if errors.Is(err, cloud.ErrNotFound) || table().HasCode(err, codeUnknown) {
			return nil
		}
		return err //nolint:wrapcheck // it names the call
	})
}

// Relabel implements fleet.Calls. The Capabilities say that it is not called.
func (*driver) Relabel(context.Context, machine, fleet.Relabeling) error {
	return errors.ErrUnsupported
}

// Mark implements fleet.Calls: a machine's name is all that can change.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error { //nolint:wrapcheck // it names the call
		if m.Committed {
			return nil
		}
		return d.c.Do(ctx, http.MethodPost, "/instances/"+m.ID, nil, map[string]string{"name": nameOf(m.Identity)}, nil) //nolint:wrapcheck // it names the call
	})
}
