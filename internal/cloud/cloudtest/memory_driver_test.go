// SPDX-License-Identifier: MPL-2.0

package cloudtest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// memoryDriver drives a memoryCloud, rightly unless the cloud says what to break.
type memoryDriver struct{ m *memoryCloud }

var _ cloud.Provisioner = (*memoryDriver)(nil)

func group(ref cloud.ClusterRef) cloud.Identity {
	return cloud.Identity{Owner: ref.Owner, Cluster: ref.Cluster, Generation: ref.Generation}
}

func (d *memoryDriver) Bootstrap(_ context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	defer d.m.lock()()
	for k := range spec.Labels {
		if strings.HasPrefix(k, cloud.TagPrefix) && !d.m.breaks("takes reserved labels") {
			return cloud.RunConfig{}, errBad
		}
	}
	ensure := func(all map[string]*memoryGroup, kind string) string {
		for id, g := range all {
			if g.owner == group(spec.Ref) && !d.m.breaks("bootstrap makes more") {
				return id
			}
		}
		id := d.m.id(kind)
		all[id] = &memoryGroup{owner: group(spec.Ref), ssh: true, from: spec.AllowedCIDRs}
		return id
	}
	fw := ensure(d.m.firewalls, "fw")
	if len(spec.Ports) > 0 && !d.m.breaks("ports are not opened at launch") {
		d.m.firewalls[fw].ports = slices.Clone(spec.Ports)
	}
	if d.m.breaks("bootstrap closes ports") {
		d.m.firewalls[fw].ports = slices.Clone(spec.Ports)
	}
	resources := map[string]string{"firewall": fw, "key": ensure(d.m.keys, "key")}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: resources}, nil
}

// find returns what belongs to ref and is not terminated, by rank.
func (d *memoryDriver) find(ref cloud.ClusterRef) ([]*memoryMachine, error) {
	if ref.Owner == "" && !d.m.breaks("no owner is everybody") {
		return nil, errBad
	}
	var out []*memoryMachine
	for _, in := range d.m.machines {
		identity, ok := cloud.IdentityFromTags(in.tags)
		ok = ok || (d.m.breaks("query leaks foreign") && identity.Owner == ref.Owner)
		ours := ref.Matches(identity, in.Region, in.Zone) || (ref.Owner == "" && d.m.breaks("no owner is everybody"))
		if !ok || !ours || (ref.Instances != nil && !slices.Contains(ref.Instances, in.ID)) {
			continue
		}
		if in.State == cloud.StateTerminated && !d.m.breaks("query shows the dead") {
			continue
		}
		if d.m.breaks("identity loses the attempt") {
			identity.Attempt = 0
		}
		in.Identity, in.Labels = identity, labelsOf(in.tags)
		in.HostKey, in.Notes = in.tags[cloud.TagHostKey], cloud.NotesFromTags(in.tags)
		in.Committed = in.tags[cloud.TagCommitted] == "true"
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b *memoryMachine) int {
		return cmp.Or(cmp.Compare(a.Identity.Rank, b.Identity.Rank), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

func (d *memoryDriver) Run(ctx context.Context, ref cloud.ClusterRef, cfg cloud.RunConfig) (cloud.RunRecord, error) {
	var record cloud.RunRecord
	if ctx.Err() != nil && !d.m.breaks("run ignores the context") {
		return record, fmt.Errorf("run: %w", ctx.Err())
	}
	defer d.m.lock()()
	have, extra, err := d.sort(ref, cfg)
	if err != nil {
		return record, err
	}
	if len(extra) > 0 {
		switch {
		case d.m.breaks("run deletes extra nodes"):
			for _, id := range extra {
				d.m.machines[id].kill()
			}
		case d.m.breaks("run creates beside extra nodes"):
			for _, n := range cfg.Spec.Nodes {
				if have[n.Identity] == nil {
					_ = d.launch(n, cfg, &record)
				}
			}
		case d.m.breaks("run ignores extra nodes"):
			return record, nil
		}
		return record, &cloud.ExtraNodesError{Cluster: ref.Cluster, Want: len(cfg.Spec.Nodes), Extra: extra}
	}
	for _, n := range cfg.Spec.Nodes {
		if in := have[n.Identity]; in != nil && !d.m.breaks("run duplicates") {
			d.take(in, cfg, &record)
		} else if err := d.launch(n, cfg, &record); err != nil {
			if d.m.breaks("partial record is lost") {
				record = cloud.RunRecord{}
			}
			if d.m.breaks("partial launch is success") {
				err = nil
			}
			return record, err
		}
	}
	return record, nil
}

func (d *memoryDriver) sort(ref cloud.ClusterRef, cfg cloud.RunConfig) (have map[cloud.Identity]*memoryMachine, extra []string, err error) {
	found, err := d.find(ref)
	if err != nil {
		return nil, nil, err
	}
	have = map[cloud.Identity]*memoryMachine{}
	for _, in := range found {
		wanted := slices.ContainsFunc(cfg.Spec.Nodes, func(n cloud.NodeSpec) bool { return n.Identity == in.Identity })
		if wanted || d.m.breaks("run duplicates") {
			have[in.Identity] = in
		} else {
			extra = append(extra, in.ID)
		}
	}
	return have, extra, nil
}

// take adopts or resumes a machine.
func (d *memoryDriver) take(in *memoryMachine, cfg cloud.RunConfig, record *cloud.RunRecord) {
	if !d.m.breaks("labels are only added") {
		maps.DeleteFunc(in.tags, func(k, _ string) bool { return !strings.HasPrefix(k, cloud.TagPrefix) })
	}
	if d.m.breaks("run takes the mark away") {
		delete(in.tags, cloud.TagCommitted)
	}
	maps.Copy(in.tags, cfg.Spec.Labels)
	if d.m.breaks("a new label takes the host key") {
		delete(in.tags, cloud.TagHostKey)
	}
	if !d.m.breaks("host keys come at launch only") {
		maps.Copy(in.tags, cfg.Spec.Marks(in.Identity))
	}
	if how := cfg.Spec.OnShutdown; (how != "" && !d.m.breaks("power-off never changes")) || d.m.breaks("power-off is forgotten") {
		in.onShutdown = how
	}
	switch {
	case in.State == cloud.StateRunning, cfg.Spec.LeaveStopped && !d.m.breaks("stopped machines are always resumed"):
		record.Adopted = append(record.Adopted, in.ID)
	case d.m.breaks("resume makes a new one"):
		in.kill()
		_ = d.launch(cloud.NodeSpec{Identity: in.Identity}, cfg, record)
	default:
		in.State = cloud.StateRunning
		record.Resumed = append(record.Resumed, in.ID)
	}
}

func (d *memoryDriver) launch(n cloud.NodeSpec, cfg cloud.RunConfig, record *cloud.RunRecord) error {
	if d.m.capacity == 0 {
		return errFull
	}
	d.m.capacity--
	offer := cfg.Placement.Offer
	in := &memoryMachine{tags: n.Identity.Tags(), disk: true, firewall: cfg.Resources.(map[string]string)["firewall"], onShutdown: cfg.Spec.OnShutdown}
	if d.m.breaks("power-off always stops") {
		in.onShutdown = cloud.ShutdownStop
	}
	maps.Copy(in.tags, cfg.Spec.Labels)
	if !d.m.breaks("host keys are forgotten") {
		maps.Copy(in.tags, cfg.Spec.Marks(n.Identity))
	}
	if d.m.breaks("names collide") {
		in.tags[cloud.TagCluster] = cloud.Slug(n.Identity.Cluster)
	}
	in.Instance = cloud.Instance{
		ID: d.m.id("i"), State: cloud.StateRunning, Region: offer.Region, Zone: offer.Zone,
		Type: offer.InstanceType.Name, Market: offer.Market, CreatedAt: time.Now(),
		InternalIP: "10.0.0.1", ExternalIP: "192.0.2.1", SSHPort: 22,
	}
	if !d.m.breaks("deadline is dropped") {
		in.Deadline = cfg.Spec.Deadline
	}
	if d.m.breaks("spot is on demand") {
		in.Market = cloud.OnDemand
	}
	for id, old := range d.m.machines {
		if identity, _ := cloud.IdentityFromTags(old.tags); d.m.breaks("spent identity is reported") && identity == n.Identity {
			record.Created = append(record.Created, id)
			return nil
		}
	}
	d.m.machines[in.ID] = in
	if d.m.lose {
		d.m.lose = false
		if d.m.breaks("lost answer launches again") {
			again := *in
			again.ID, again.tags = d.m.id("i"), maps.Clone(in.tags)
			again.tags[cloud.TagCluster] = "lost"
			d.m.machines[again.ID] = &again
		} else {
			return errAnswer
		}
	}
	record.Created = append(record.Created, in.ID)
	return nil
}

func (d *memoryDriver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		done, err := d.reached(ref, want)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if !d.m.breaks("wait ignores the context") {
				return fmt.Errorf("wait: %w", ctx.Err())
			}
			<-ticker.C
			if time.Now().After(bubbleEpoch.Add(time.Hour)) {
				return errors.New("waited too long")
			}
		case <-ticker.C:
		}
	}
}

// bubbleEpoch is when time begins in a synctest bubble.
var bubbleEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (d *memoryDriver) reached(ref cloud.ClusterRef, want cloud.State) (bool, error) {
	defer d.m.lock()()
	found, err := d.find(ref)
	if err != nil {
		return false, err
	}
	if want == cloud.StateTerminated {
		return len(found) == 0, nil
	}
	if len(found) < max(1, len(ref.Instances)) {
		if d.m.breaks("wait ignores death") {
			return false, nil
		}
		return false, errors.New("a machine died")
	}
	return !slices.ContainsFunc(found, func(in *memoryMachine) bool { return in.State != want }), nil
}

func (d *memoryDriver) Describe(_ context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	defer d.m.lock()()
	info := cloud.ClusterInfo{SSHUser: "memo"}
	found, err := d.find(ref)
	if err != nil {
		return info, err
	}
	for _, in := range found {
		if in.State == cloud.StateRunning {
			info.Instances = append(info.Instances, in.Instance)
		}
	}
	if d.m.breaks("describe is out of order") {
		slices.Reverse(info.Instances)
	}
	if len(info.Instances) == 0 && !d.m.breaks("describe of nothing succeeds") {
		return info, fmt.Errorf("describe: %w", cloud.ErrNotFound)
	}
	return info, nil
}

func (d *memoryDriver) Query(_ context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	defer d.m.lock()()
	found, err := d.find(ref)
	var out []cloud.Instance
	for _, in := range found {
		out = append(out, in.Instance)
	}
	return out, err
}

func (d *memoryDriver) Commit(_ context.Context, ref cloud.ClusterRef) error {
	defer d.m.lock()()
	found, err := d.find(ref)
	if err != nil {
		return err
	}
	if len(found) < max(1, len(ref.Instances)) && !d.m.breaks("commit of nothing succeeds") {
		return fmt.Errorf("commit: %w", cloud.ErrNotFound)
	}
	for _, in := range found {
		if !d.m.breaks("commit does not mark") {
			in.tags[cloud.TagCommitted] = "true"
		}
		if !d.m.breaks("commit does not disarm") {
			in.Deadline = time.Time{}
		}
	}
	return nil
}

func (d *memoryDriver) Stop(_ context.Context, ref cloud.ClusterRef) error {
	defer d.m.lock()()
	found, err := d.find(ref)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("stop: %w", cloud.ErrNotFound)
	}
	for _, in := range found {
		spot := in.Market == cloud.Spot && !d.m.caps.StopSpot
		if (spot || !d.m.caps.Stop) && !d.m.breaks("stop of what cannot stop") {
			return errBad
		}
		switch {
		case d.m.breaks("stop terminates"):
			in.kill()
		case d.m.breaks("stop loses the disk"):
			in.disk = false
			in.State = cloud.StateStopped
		case d.m.breaks("stop does nothing"):
		default:
			in.State = cloud.StateStopped
		}
	}
	return nil
}

func (d *memoryDriver) Terminate(_ context.Context, ref cloud.ClusterRef) error {
	defer d.m.lock()()
	if d.m.breaks("terminate ignores the generation") {
		ref.Generation = ""
	}
	if d.m.breaks("terminate takes the whole owner") {
		ref.Cluster, ref.Generation = "", ""
	}
	if d.m.breaks("terminate ignores Instances") {
		ref.Instances = nil
	}
	if err := d.checkForeign(ref); err != nil {
		return err
	}
	found, err := d.find(ref)
	for _, in := range found {
		switch {
		case d.m.breaks("terminate misses the stopped") && in.State == cloud.StateStopped:
		case d.m.breaks("terminate leaves disks"):
			in.State = cloud.StateTerminated
		case d.m.breaks("terminate returns early"):
			in.doomed = time.Now().Add(time.Second)
		case d.m.breaks("terminate leaves one") && in.Identity.Rank > 0:
		default:
			in.kill()
		}
	}
	if len(found) == 0 && d.m.breaks("terminate of nothing fails") {
		return fmt.Errorf("terminate: %w", cloud.ErrNotFound)
	}
	return err
}

func (d *memoryDriver) checkForeign(ref cloud.ClusterRef) error {
	for _, id := range ref.Instances {
		in := d.m.machines[id]
		identity, ok := cloud.IdentityFromTags(in.tags)
		if ok && ref.Matches(identity, in.Region, in.Zone) {
			continue
		}
		if !d.m.breaks("terminate takes foreign ids") {
			return errBad
		}
		in.kill()
	}
	return nil
}

func (d *memoryDriver) OpenPorts(_ context.Context, _ cloud.ClusterRef, cfg cloud.RunConfig, ports []cloud.PortRange) error {
	defer d.m.lock()()
	for id, g := range d.m.firewalls {
		if id != cfg.Resources.(map[string]string)["firewall"] && !d.m.breaks("ports open everywhere") {
			continue
		}
		if d.m.breaks("ports accumulate") {
			ports = append(slices.Clone(g.ports), ports...)
		}
		g.ports = slices.Compact(slices.Clone(ports))
		g.ssh = !d.m.breaks("ports close SSH")
	}
	return nil
}

func (d *memoryDriver) PortDrift(_ context.Context, ref cloud.ClusterRef, prefixes []netip.Prefix, ports []cloud.PortRange) ([]string, error) {
	defer d.m.lock()()
	if d.m.breaks("drift is never told") {
		return nil, nil
	}
	lines := func(from []netip.Prefix, ports []cloud.PortRange) []string {
		var out []string
		for _, f := range from {
			out = append(out, fleet.OpeningLine("22", f.String()))
			for _, p := range ports {
				out = append(out, fleet.OpeningLine(p.String(), f.String()))
			}
		}
		return out
	}
	for _, g := range d.m.firewalls {
		if g.owner == group(ref) {
			return fleet.Drift(lines(g.from, g.ports), lines(prefixes, ports)), nil
		}
	}
	return nil, errBad
}

func (d *memoryDriver) CleanupPorts(_ context.Context, ref cloud.ClusterRef) error {
	defer d.m.lock()()
	if ref.Owner == "" {
		return errBad
	}
	sweep := func(all map[string]*memoryGroup) {
		maps.DeleteFunc(all, func(_ string, g *memoryGroup) bool {
			sameName := g.owner.Owner == ref.Owner && g.owner.Cluster == ref.Cluster
			return g.owner == group(ref) || (sameName && d.m.breaks("cleanup ignores the generation"))
		})
	}
	sweep(d.m.firewalls)
	if !d.m.breaks("cleanup leaves keys") {
		sweep(d.m.keys)
	}
	return nil
}

func (d *memoryDriver) Classify(err error) cloud.Fault {
	if d.m.breaks("classify knows nothing") {
		return cloud.Fault{}
	}
	for _, row := range d.m.Errors() {
		if d.m.breaks("classify only bare errors") && err == row.Err { //nolint:errorlint // that is what is broken
			return row.Want
		}
		if !d.m.breaks("classify only bare errors") && errors.Is(err, row.Err) {
			return row.Want
		}
	}
	return cloud.Fault{Kind: cloud.KindUnknown, Scope: cloud.ScopeZone}
}

// Survey implements cloud.Surveyor.
func (d *memoryDriver) Survey(_ context.Context, ref cloud.ClusterRef) ([]cloud.Thing, error) {
	defer d.m.lock()()
	var out []cloud.Thing
	add := func(kind cloud.ThingKind, id string, tags map[string]string) {
		if d.m.breaks("survey is of one owner") && ref.Owner == "" && tags[cloud.TagOwner] == "somebody-else" {
			return
		}
		if t, ok := ref.ThingOf(kind, id, "", tags, ""); ok || (d.m.breaks("survey shows all") && kind == cloud.ThingMachine) {
			out = append(out, t)
		}
	}
	for id, in := range d.m.machines {
		if in.State != cloud.StateTerminated || d.m.breaks("survey shows the dead") {
			add(cloud.ThingMachine, id, in.tags)
		}
	}
	for kind, groups := range map[cloud.ThingKind]map[string]*memoryGroup{cloud.ThingFirewall: d.m.firewalls, cloud.ThingKey: d.m.keys} {
		for id, g := range groups {
			if !d.m.breaks("survey shows machines only") {
				add(kind, id, g.owner.Tags())
			}
		}
	}
	return out, nil
}
