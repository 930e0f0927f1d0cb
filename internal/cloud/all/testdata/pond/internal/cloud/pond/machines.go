// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// guide: driver

// driver implements cloud.Provisioner, with what fleet makes of its calls.
type driver struct {
	*fleet.Fleet[native, resources]
	c *fleet.REST
}

func newDriver(c *fleet.REST) *driver {
	d := &driver{c: c}
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHUser: "root",
		Hooks: fleet.Hooks[native, resources]{Valid: isID},
	})
	return d
}

// machine is a droplet; native is empty: droplets have nothing of their own.
type (
	machine = fleet.Machine[native]
	native  struct{}
)

// guide: end

var (
	_ cloud.Provisioner              = (*driver)(nil)
	_ fleet.Calls[native, resources] = (*driver)(nil)
	_ fleet.Things                   = (*driver)(nil)
	_ fleet.Firewalls                = (*driver)(nil)
)

// isID keeps ids of other clouds out of calls: Pond's are numbers.
func isID(id string) bool {
	_, err := strconv.ParseUint(id, 10, 63)
	return err == nil
}

// guide: tags

// escape writes a text in the characters that Pond's tags and names may have, so
// that unescape gives it back: "_" and two digits stand for any other byte.
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

func unescape(text string) string {
	plain, err := url.PathUnescape(strings.ReplaceAll(text, "_", "%"))
	if err != nil {
		return text // nothing of ours
	}
	return plain
}

// tag is how a droplet carries a tag: Pond's have no values.
func tag(key, value string) string { return escape(key) + ":" + escape(value) }

func tagsOf(words []string) map[string]string {
	tags := map[string]string{}
	for _, w := range words {
		if key, value, ok := strings.Cut(w, ":"); ok {
			tags[unescape(key)] = unescape(value)
		}
	}
	return tags
}

// guide: end

// droplet is a machine as the API shows it.
type droplet struct {
	ID        uint64
	Name      string
	Status    string
	Reason    string `json:"status_reason"`
	SizeSlug  string `json:"size_slug"`
	Region    struct{ Slug string }
	CreatedAt time.Time `json:"created_at"`
	Tags      []string
	Networks  struct {
		V4 []struct {
			IPAddress string `json:"ip_address"`
			Type      string
		}
	}
}

// guide: machine

// states are Pond's words in those that all clouds share.
func states() map[string]cloud.State {
	return map[string]cloud.State{"new": cloud.StatePending, "active": cloud.StateRunning, "off": cloud.StateStopped, "archive": cloud.StateTerminating}
}

func newMachine(in droplet) machine {
	tags := tagsOf(in.Tags)
	m := machine{Name: in.Name, Status: in.Status, Tags: tags, Instance: cloud.Instance{
		ID: strconv.FormatUint(in.ID, 10), Region: in.Region.Slug, Type: in.SizeSlug, Market: cloud.OnDemand,
		State: cloud.StateUnknown, Reason: in.Reason, CreatedAt: in.CreatedAt, Committed: tags[cloud.TagCommitted] == "true", SSHPort: 22,
		HostKey: tags[cloud.TagHostKey], Notes: cloud.NotesFromTags(tags), Labels: maps.Clone(tags),
	}}
	if state, ok := states()[in.Status]; ok {
		m.State = state
	}
	if id, ok := cloud.IdentityFromTags(tags); ok {
		m.Identity = id
	}
	maps.DeleteFunc(m.Labels, func(key, _ string) bool { return strings.HasPrefix(key, cloud.TagPrefix) })
	for _, at := range in.Networks.V4 {
		if at.Type == "public" {
			m.ExternalIP = at.IPAddress
		} else {
			m.InternalIP = at.IPAddress
		}
	}
	return m
}

// guide: end

// guide: list

// List implements fleet.Calls. Pond has one list for all regions, and narrows it
// by one tag.
func (d *driver) List(ctx context.Context, ref cloud.ClusterRef) ([]machine, error) {
	query := url.Values{"per_page": {"100"}}
	if ref.Owner != "" {
		query.Set("tag_name", tag(cloud.TagOwner, ref.Owner))
	}
	return listed(ctx, d.c, "droplets", query, newMachine)
}

// listed reads all pages of a list, each item as the driver knows it.
func listed[A, M any](ctx context.Context, c *fleet.REST, what string, query url.Values, of func(A) M) ([]M, error) {
	return fleet.Pages(what, func(page string) ([]M, string, error) {
		query.Set("page", page)
		var out struct {
			Items []A `json:"items"`
			Next  string
		}
		err := c.Do(ctx, http.MethodGet, "/v2/"+what, query, nil, &out)
		items := make([]M, len(out.Items))
		for i, item := range out.Items {
			items[i] = of(item)
		}
		return items, out.Next, err
	})
}

// Get implements fleet.Calls.
func (d *driver) Get(ctx context.Context, _ cloud.ClusterRef, ids []string) ([]machine, error) {
	return fleet.GetEach(ids, func(id string) (machine, error) {
		var out struct{ Droplet droplet }
		err := d.c.Do(ctx, http.MethodGet, "/v2/droplets/"+id, nil, nil, &out)
		return newMachine(out.Droplet), err
	})
}

// guide: end

// guide: life

// StartMachine implements fleet.Calls: somebody may have powered a droplet off.
func (d *driver) StartMachine(ctx context.Context, m machine) error {
	return d.c.Do(ctx, http.MethodPost, "/v2/droplets/"+m.ID+"/actions", nil, map[string]string{"type": "power_on"}, nil)
}

// StopMachines implements fleet.Calls. The Capabilities say that it is not called.
func (*driver) StopMachines(context.Context, []machine) error { return errors.ErrUnsupported }

// DeleteMachines implements fleet.Calls. What is gone is gone.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		err := d.c.Do(ctx, http.MethodDelete, "/v2/droplets/"+m.ID, nil, nil, nil)
		if errors.Is(err, cloud.ErrNotFound) {
			return nil
		}
		return err
	})
}

// Relabel implements fleet.Calls. The old value of a tag goes before the new one
// comes, since a droplet may carry both.
func (d *driver) Relabel(ctx context.Context, m machine, change fleet.Relabeling) error {
	set := tags.Merge(change.Set, change.Marks)
	for _, key := range append(slices.Sorted(maps.Keys(set)), change.Remove...) {
		if old, ok := m.Tags[key]; ok && old != set[key] {
			if err := d.tagging(ctx, http.MethodDelete, m, tag(key, old)); err != nil {
				return err
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if err := d.tagging(ctx, http.MethodPost, m, tag(key, set[key])); err != nil {
			return err
		}
	}
	return nil
}

// Mark implements fleet.Calls. There is no dead-man timer to disarm.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		if m.Committed {
			return nil
		}
		return d.tagging(ctx, http.MethodPost, m, tag(cloud.TagCommitted, "true"))
	})
}

// guide: end

func (d *driver) tagging(ctx context.Context, method string, m machine, word string) error {
	return d.c.Do(ctx, method, "/v2/tags/"+url.PathEscape(word)+"/resources", nil, map[string]string{"droplet": m.ID}, nil)
}
