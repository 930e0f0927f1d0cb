// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// driver implements cloud.Provisioner, with what fleet makes of its calls.
type driver struct {
	*fleet.Fleet[native, resources]
	c *client
	// group is the id of the resource group, vpc the name of the network; empty are
	// the account's default group and a network of our own.
	group, vpc string

	mu     sync.Mutex
	images map[string][]image // by region
}

// native is what else is to be known of a machine.
type native struct {
	// nic is its network interface, which an address is tied to; attachment is that
	// of its boot volume, boot the volume itself.
	nic, attachment, boot string
}

type machine = fleet.Machine[native]

var (
	_ cloud.Provisioner              = (*driver)(nil)
	_ fleet.Calls[native, resources] = (*driver)(nil)
	_ fleet.Things                   = (*driver)(nil)
	_ fleet.Firewalls                = (*driver)(nil)
)

func newDriver(c *client) *driver {
	d := &driver{c: c, images: map[string][]image{}}
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHUser: sshUser,
		Hooks: fleet.Hooks[native, resources]{Valid: isID, CheckSpec: checkSpec, Find: d.find},
		// A machine's name is unique in its region.
		Idempotent: true,
		Poll:       retry.Policy{Initial: time.Second, Max: 8 * time.Second, Factor: 1.5, Jitter: 0.2},
	})
	return d
}

// isID keeps ids of other clouds out of calls.
func isID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	})
}

// named and ided are references as the API has them.
type (
	byID   struct{ ID string }
	byName struct{ Name string }
)

// instance is a machine as the API shows it.
type instance struct {
	ID, Name, Status string
	CreatedAt        time.Time `json:"created_at"`
	Reasons          []struct {
		Code, Message string
	} `json:"status_reasons"`
	Zone, Profile byName
	Boot          struct {
		ID, Name string
		Volume   byID
	} `json:"boot_volume_attachment"`
	Net struct {
		NIC byID `json:"virtual_network_interface"`
		IP  struct {
			Address string
		} `json:"primary_ip"`
	} `json:"primary_network_attachment"`
	Availability struct{ Class string }
}

// volume is a disk as the API shows it.
type volume struct {
	ID, Name, Status string
	Tags             []string  `json:"user_tags"`
	CreatedAt        time.Time `json:"created_at"`
	Zone             byName
	Attachments      []byID `json:"volume_attachments"`
}

// states are IBM's words in those that all clouds share. One that failed is neither
// alive nor gone: it is there until it is deleted.
func states() map[string]cloud.State {
	return map[string]cloud.State{
		"pending": cloud.StatePending, "starting": cloud.StatePending, "restarting": cloud.StatePending, "running": cloud.StateRunning,
		"stopping": cloud.StateStopping, "stopped": cloud.StateStopped, "deleting": cloud.StateTerminating,
	}
}

// machine reads a machine with the tags of its boot volume and its address.
func (d *driver) machine(region string, in instance, words []string, address string) machine {
	held := tagsOf(words)
	m := machine{
		Name: in.Name, Status: in.Status, Tags: held, Native: native{nic: in.Net.NIC.ID, attachment: in.Boot.ID, boot: in.Boot.Volume.ID},
		Instance: cloud.Instance{
			ID: in.ID, Region: region, Zone: in.Zone.Name, Type: in.Profile.Name, Market: cloud.OnDemand, State: cmp.Or(states()[in.Status], cloud.StateUnknown),
			CreatedAt: in.CreatedAt, InternalIP: in.Net.IP.Address, ExternalIP: address, SSHPort: int(d.SSHPort),
			HostKey: held[cloud.TagHostKey], Notes: cloud.NotesFromTags(held), Labels: maps.Clone(held),
		},
	}
	if in.Availability.Class == "spot" {
		m.Market = cloud.Spot
	}
	for _, r := range in.Reasons {
		m.Reason = strings.TrimPrefix(m.Reason+"; "+r.Code+": "+r.Message, "; ")
	}
	if m.Reason == "" && in.Status == "failed" {
		m.Reason = "its launch failed"
	}
	m.Committed, m.Deadline = marked(in.Boot.Name)
	if id, ok := cloud.IdentityFromTags(held); ok {
		m.Identity = id
	}
	maps.DeleteFunc(m.Labels, func(key, _ string) bool { return strings.HasPrefix(key, cloud.TagPrefix) })
	return m
}

// List implements fleet.Calls.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	regions, err := d.c.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(d.Parallel, regions, func(region string) ([]machine, error) { return d.listIn(ctx, region, ref) }) //nolint:wrapcheck // it names the call
}

// listIn joins the three lists of a region that make its machines.
func (d *driver) listIn(ctx context.Context, region string, ref cloud.ClusterRef) ([]machine, error) {
	var (
		instances []instance
		volumes   []volume
		addresses []address
	)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { instances, err = listed[instance](gctx, d.c, region, "instances", nil); return err })
	group.Go(func() (err error) { volumes, err = d.volumes(gctx, region, ref); return err })
	group.Go(func() (err error) {
		addresses, err = listed[address](gctx, d.c, region, "floating_ips", nil)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // it names the call
	}
	tagged := map[string][]string{}
	for _, v := range volumes {
		tagged[v.ID] = v.Tags
	}
	var out []machine
	for _, in := range instances {
		words, ok := tagged[in.Boot.Volume.ID]
		if _, ours := ref.IdentityOf(in.Name, maxName); !ok && ours && isWhole(ref) {
			var err error
			if words, err = d.tagsOf(ctx, region, in, ref); err != nil {
				return nil, err
			}
		}
		out = append(out, d.machine(region, in, words, reachable(addresses, in.Net.NIC.ID)))
	}
	return out, nil
}

// volumes are those that may be ref's, tagged with the owner at least.
func (d *driver) volumes(ctx context.Context, region string, ref cloud.ClusterRef) ([]volume, error) {
	query := url.Values{}
	if tag := ownerTag(ref.Owner); tag != "" {
		query.Set("tag", tag)
	}
	return listed[volume](ctx, d.c, region, "volumes", query)
}

func isWhole(ref cloud.ClusterRef) bool {
	return ref.Owner != "" && ref.Cluster != "" && ref.Generation != ""
}

// tagsOf are the tags of a machine's boot volume, which lists may not show yet. A
// machine whose volume is not made yet has none: its name, which was derived of the
// identity, says until then whose it is to whom looks for that very cluster.
func (d *driver) tagsOf(ctx context.Context, region string, in instance, ref cloud.ClusterRef) ([]string, error) {
	var v volume
	err := cloud.ErrNotFound
	if in.Boot.Volume.ID != "" {
		err = d.c.do(ctx, region, http.MethodGet, "/volumes/"+in.Boot.Volume.ID, nil, nil, &v)
	}
	if !errors.Is(err, cloud.ErrNotFound) {
		return v.Tags, err
	}
	if id, ours := ref.IdentityOf(in.Name, maxName); ours && isWhole(ref) {
		return tagWords(id.Tags())
	}
	return nil, nil
}

// Get implements fleet.Calls. A machine's id does not tell its region.
func (d *driver) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]machine, error) {
	regions, err := d.c.regionsOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	return fleet.Across(d.Parallel, regions, func(region string) ([]machine, error) { //nolint:wrapcheck // it names the call
		return fleet.GetEach(ids, func(id string) (machine, error) {
			var in instance
			if err := d.c.do(ctx, region, http.MethodGet, "/instances/"+id, nil, nil, &in); err != nil {
				return machine{}, err
			}
			return d.whole(ctx, region, in, ref)
		})
	})
}

// whole asks for what an instance itself does not show.
func (d *driver) whole(ctx context.Context, region string, in instance, ref cloud.ClusterRef) (machine, error) {
	words, err := d.tagsOf(ctx, region, in, ref)
	if err != nil {
		return machine{}, err
	}
	held, err := d.addressesOf(ctx, region, in.Net.NIC.ID)
	return d.machine(region, in, words, reachable(held, in.Net.NIC.ID)), err
}

// find looks for a machine by its name, which is unique in the region.
func (d *driver) find(ctx context.Context, m machine) (machine, fleet.Sight, error) {
	found, err := listed[instance](ctx, d.c, m.Region, "instances", url.Values{"name": {m.Name}})
	if err != nil || len(found) == 0 {
		return machine{}, fleet.SightUnsure, err
	}
	out, err := d.whole(ctx, m.Region, found[0], refOf(m.Identity))
	return out, fleet.SightHere, err
}

func refOf(id cloud.Identity) cloud.ClusterRef {
	return cloud.ClusterRef{Owner: id.Owner, Cluster: id.Cluster, Generation: id.Generation}
}

// act asks for an action. A machine that is gone, or in a state in which it takes
// none, is no error: the next look tells.
func (d *driver) act(ctx context.Context, m machine, what string) error {
	return unlessPast(d.c.do(ctx, m.Region, http.MethodPost, "/instances/"+m.ID+"/actions", nil, map[string]string{"type": what}, nil))
}

func unlessPast(err error) error {
	if errors.Is(err, cloud.ErrNotFound) || hasStatus(err, http.StatusConflict) {
		return nil
	}
	return err
}

// StartMachine implements fleet.Calls.
func (d *driver) StartMachine(ctx context.Context, m machine) error { return d.act(ctx, m, "start") }

// StopMachines implements fleet.Calls.
func (d *driver) StopMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error { return d.act(ctx, m, "stop") }) //nolint:wrapcheck // it names the call
}

// DeleteMachines implements fleet.Calls. A machine whose launch was not answered is
// looked for by its name.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error { //nolint:wrapcheck // it names the call
		if m.ID == "" {
			found, err := listed[instance](ctx, d.c, m.Region, "instances", url.Values{"name": {m.Name}})
			if err != nil || len(found) == 0 {
				return err
			}
			m.ID = found[0].ID
		}
		return unlessPast(d.c.do(ctx, m.Region, http.MethodDelete, "/instances/"+m.ID, nil, nil, nil))
	})
}

// Relabel implements fleet.Calls. A change of a volume's tags replaces them all, and
// is refused of who has not seen the last ones. A volume that is not made yet comes
// with those of its launch.
func (d *driver) Relabel(ctx context.Context, m machine, change fleet.Relabeling) error {
	if m.Native.boot == "" {
		return nil
	}
	var now volume
	rev := &revision{}
	seeing := context.WithValue(ctx, revisionKey{}, rev)
	if err := d.c.do(seeing, m.Region, http.MethodGet, "/volumes/"+m.Native.boot, nil, nil, &now); err != nil {
		return err
	}
	want := tags.Merge(tagsOf(now.Tags), change.Set, change.Marks)
	maps.DeleteFunc(want, func(key, _ string) bool { return slices.Contains(change.Remove, key) })
	words, err := tagWords(want)
	if err != nil {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "%v", err)
	}
	for _, w := range now.Tags { // somebody's, without a value
		if !strings.Contains(w, ":") {
			words = append(words, w)
		}
	}
	changing := context.WithValue(ctx, revisionKey{}, &revision{seen: rev.tag})
	return d.c.do(changing, m.Region, http.MethodPatch, "/volumes/"+m.Native.boot, nil, map[string]any{"user_tags": words}, nil)
}

// Mark implements fleet.Calls.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error { //nolint:wrapcheck // it names the call
		if m.Committed {
			return nil
		}
		path := "/instances/" + m.ID + "/volume_attachments/" + m.Native.attachment
		return d.c.do(ctx, m.Region, http.MethodPatch, path, nil, map[string]string{"name": recorded}, nil)
	})
}
