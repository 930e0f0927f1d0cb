// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// resources are what Bootstrap finds or makes, for Create.
type resources struct {
	image, key string
	// ruleset is empty where there are no rules.
	ruleset     string
	fileSystems []string
}

// checkSpec refuses what Lambda cannot launch.
func checkSpec(spec cloud.ClusterSpec, _ cloud.Placement) error {
	for _, key := range slices.Sorted(maps.Keys(spec.Labels)) {
		if _, ok := flat().Key(key); !ok {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "label %q: keys on Lambda have 55 characters, of which capitals and signs take three each", key)
		}
		if _, err := flat().Encode(map[string]string{key: spec.Labels[key]}); err != nil {
			return fleet.ConfigErrorf(cloud.ScopeCloud, "label %q: a value of more than %d bytes goes on in tags of the same key with a number, for which the key is too long; shorten one of them", key, flat().MaxValue)
		}
	}
	return nil
}

// Bootstrap implements cloud.Provisioner. Nothing in it costs money.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	res := resources{}
	err := d.Check(spec, at)
	if err == nil {
		err = fleet.NodeConfig{"image": fleet.Into(&res.image), "file_systems": fleet.IntoList(&res.fileSystems)}.Decode("Lambda", spec.NodeConfig)
	}
	if err == nil {
		spec.AllowedCIDRs, err = d.sources(ctx, spec)
	}
	if err == nil {
		err = d.checkRoom(ctx, spec, at)
	}
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.Image != "" {
		res.image = spec.Image
	}
	if res.image, err = d.image(ctx, res.image, at.Offer); err != nil {
		return cloud.RunConfig{}, err
	}
	if res.key, err = d.ensureKey(ctx, spec.Ref); err != nil {
		return cloud.RunConfig{}, err
	}
	if res.ruleset, err = d.ensureRuleset(ctx, spec, at.Offer.Region); err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, nil
}

// sources are who may reach the machines.
func (d *driver) sources(ctx context.Context, spec cloud.ClusterSpec) ([]netip.Prefix, error) {
	all, err := d.AllowedCIDRs(ctx, spec, fleet.Firewall{})
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what to set
	}
	for _, p := range all {
		if !p.Addr().Is4() {
			return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "allowed_cidrs: %s is not IPv4, which is all that Lambda's firewall knows", p)
		}
	}
	return all, nil
}

// checkRoom asks where Lambda has room, and whether it matters: machines that are
// there need none.
func (d *driver) checkRoom(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) error {
	types, err := d.types(ctx)
	if err != nil {
		return err
	}
	offer := at.Offer
	var free []string
	for _, r := range types[offer.InstanceType.Name].Regions {
		free = append(free, r.Name)
	}
	if slices.Contains(free, offer.Region) {
		return nil
	}
	found, err := d.Look(ctx, spec.Ref)
	if err != nil {
		return err //nolint:wrapcheck // it says what was looked for
	}
	there := found.Staying()
	lacks := func(n cloud.NodeSpec) bool {
		return !slices.ContainsFunc(there, func(m machine) bool { return m.Identity == n.Identity })
	}
	switch {
	case !slices.ContainsFunc(spec.Nodes, lacks):
		return nil
	case len(free) == 0:
		return &noRoomError{fmt.Sprintf("Lambda has no %s free in any region, it says", offer.InstanceType.Name), cloud.ScopeCloud}
	}
	slices.Sort(free)
	return &noRoomError{fmt.Sprintf("Lambda has no %s free in %s, it says, but in %s", offer.InstanceType.Name, offer.Region, strings.Join(free, ", ")), cloud.ScopeRegion}
}

// launch is the body of a launch.
type launch struct {
	Region      string              `json:"region_name"`
	Type        string              `json:"instance_type_name"`
	Keys        []string            `json:"ssh_key_names"`
	Name        string              `json:"name"`
	Hostname    string              `json:"hostname"`
	Image       map[string]string   `json:"image"`
	UserData    string              `json:"user_data,omitempty"`
	Tags        []sentTag           `json:"tags"`
	Rulesets    []map[string]string `json:"firewall_rulesets,omitempty"`
	FileSystems []string            `json:"file_system_names,omitempty"`
}

type sentTag struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// moment is when it is sent, which may be long after it was asked for. Of machines
// that several sessions launch at once the eldest stays.
type moment struct{}

// MarshalText implements encoding.TextMarshaler.
func (moment) MarshalText() ([]byte, error) {
	return []byte(time.Now().UTC().Format(time.RFC3339Nano)), nil
}

// Create implements fleet.Calls. What says whose the machine is goes with the
// call, in tags and once more in names that stay.
func (d *driver) Create(ctx context.Context, order fleet.Order[resources]) (machine, error) {
	id, spec, res, offer := order.Node.Identity, order.Spec, order.Resources, order.Placement.Offer
	own := tags.Merge(spec.Labels, spec.Marks(id), id.Tags())
	if !spec.Deadline.IsZero() {
		own[tagDeadline] = spec.Deadline.UTC().Format(time.RFC3339)
	}
	held, err := flat().Encode(own)
	if err != nil {
		return machine{}, fleet.ConfigErrorf(cloud.ScopeCloud, "%v", err)
	}
	in := launch{
		Region: offer.Region, Type: offer.InstanceType.Name, Keys: []string{res.key}, Name: order.Name + mark(spec.Deadline), Hostname: order.Name,
		Image: map[string]string{"id": res.image}, UserData: string(order.Node.UserData), FileSystems: res.fileSystems,
	}
	for _, key := range slices.Sorted(maps.Keys(held)) {
		in.Tags = append(in.Tags, sentTag{key, held[key]})
	}
	in.Tags = append(in.Tags, sentTag{tagCreated, moment{}})
	if res.ruleset != "" {
		in.Rulesets = []map[string]string{{"id": res.ruleset}}
	}
	out, err := call[struct {
		IDs []string `json:"instance_ids"`
	}](ctx, &d.launching, "POST", "/instance-operations/launch", in)
	if err != nil || len(out.IDs) == 0 {
		return machine{}, err
	}
	return machine{Name: in.Name, Instance: cloud.Instance{
		ID: out.IDs[0], Identity: id, Region: offer.Region, Type: in.Type, Market: cloud.OnDemand, State: cloud.StatePending,
	}}, nil
}
