// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// defaultSSHUser is that of Ubuntu's images.
const defaultSSHUser = "ubuntu"

// Wait implements cloud.Provisioner.
func (d *driver) Wait(ctx context.Context, ref cloud.ClusterRef, want cloud.State) error {
	if want == cloud.StateTerminated {
		quiet := 0
		return d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
			return d.gone(c, nil, &quiet), nil
		})
	}
	w := d.newWaiter(want)
	err := d.watch(ctx, ref, func(_ context.Context, c census) (bool, error) {
		return w.Look(ref, c.view())
	})
	return d.explain(ctx, ref, err)
}

func (d *driver) newWaiter(want cloud.State) *fleet.Waiter[machine] {
	return &fleet.Waiter[machine]{
		Want: want, Looks: d.quietLooks, MissingLooks: d.missingLooks,
		As:    func(m machine) cloud.Instance { return m.portable(d.sshPort) },
		Stuck: func(m machine) error { return m.stuck(want) },
	}
}

// gone reports whether nothing of c is left, seen often enough in a row. ended
// are machines whose removal Compute Engine confirmed.
func (d *driver) gone(c census, ended map[string]bool, quiet *int) bool {
	if len(c.machines)+len(c.late) > 0 {
		*quiet = 0
		return false
	}
	*quiet++
	if slices.ContainsFunc(c.missing, func(id string) bool { return !ended[id] }) {
		return *quiet >= d.missingLooks
	}
	return *quiet >= d.quietLooks
}

// Describe implements cloud.Provisioner.
func (d *driver) Describe(ctx context.Context, ref cloud.ClusterRef) (cloud.ClusterInfo, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return cloud.ClusterInfo{}, err
	}
	info := cloud.ClusterInfo{SSHUser: defaultSSHUser}
	shown := make([]cloud.Instance, 0, len(found.machines))
	for _, m := range found.machines {
		shown = append(shown, m.portable(d.sshPort))
		if user := m.metadata[metaSSHUser]; user != "" && m.state == cloud.StateRunning {
			info.SSHUser = user
		}
	}
	info.Instances, err = fleet.Running(ref.Cluster, shown)
	return info, err //nolint:wrapcheck // it names the cluster
}

// Query implements cloud.Provisioner.
func (d *driver) Query(ctx context.Context, ref cloud.ClusterRef) ([]cloud.Instance, error) {
	found, err := d.look(ctx, ref)
	if err != nil {
		return nil, err
	}
	d.explainStopped(ctx, found.machines)
	out := make([]cloud.Instance, 0, len(found.machines))
	for _, m := range found.machines {
		out = append(out, m.portable(d.sshPort))
	}
	return out, nil
}

// Commit implements cloud.Provisioner. The machine's own timer asks the
// metadata server whether the mark is there, so the mark alone disarms it; the
// timer goes from the metadata with the same call.
func (d *driver) Commit(ctx context.Context, ref cloud.ClusterRef) error {
	for _, id := range ref.Instances {
		if !isID(id) {
			return fmt.Errorf("commit cluster %q: %q is no machine of Compute Engine: %w", ref.Cluster, id, cloud.ErrNotFound)
		}
	}
	return d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		if len(c.late) > 0 {
			return false, nil
		}
		live := c.staying()
		if err := fleet.CheckPresent(ref, ids(live)); err != nil {
			return false, fmt.Errorf("commit %w", err)
		}
		armed := slices.DeleteFunc(live, machine.committed)
		return len(armed) == 0, each(armed, func(m machine) error { // the next look tells
			return d.setMetadata(ctx, m, map[string]string{metaCommitted: committed}, []string{metaStartup, metaDeadline})
		})
	})
}

// setMetadata changes some keys of a machine's metadata and leaves the others.
// Compute Engine refuses it where somebody else changed them meanwhile.
func (d *driver) setMetadata(ctx context.Context, m machine, set map[string]string, remove []string) error {
	in, err := call(ctx, d.c, "look up machine "+m.name, func(ctx context.Context) (*compute.Instance, error) {
		return d.c.api.getInstance(ctx, m.zone, m.id)
	})
	if err != nil {
		return err
	}
	values := metadataOf(in.Metadata)
	for _, k := range remove {
		delete(values, k)
	}
	maps.Copy(values, set)
	changed := &compute.Metadata{Items: metadataItems(values)}
	if in.Metadata != nil {
		changed.Fingerprint = in.Metadata.Fingerprint
	}
	return d.c.do(ctx, "set the metadata of machine "+m.name, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.setMetadata(ctx, m.zone, m.id, changed)
	})
}

// setLabels brings the user's labels of a machine and its disks up to date, and
// the marks, which are metadata.
func (d *driver) setLabels(ctx context.Context, m machine, spec cloud.ClusterSpec) error {
	own, _ := ownership(m.identity.Tags())
	user, rest := userLabels(spec.Labels)
	merge := func(have map[string]string) map[string]string {
		out := map[string]string{}
		for k, v := range have {
			if strings.HasPrefix(k, googleLabelPrefix) {
				out[k] = v
			}
		}
		maps.Copy(out, user)
		maps.Copy(out, own)
		return out
	}
	if want := merge(m.labels); !maps.Equal(want, m.labels) {
		// The disks first: what the machine shows is then true of both.
		err := each(m.disks, func(disk string) error { return d.setDiskLabels(ctx, m.zone, disk, merge) })
		if err == nil {
			err = d.c.do(ctx, "set the labels", func(ctx context.Context) (*compute.Operation, error) {
				return d.c.api.setLabels(ctx, m.zone, m.id, &compute.InstancesSetLabelsRequest{
					LabelFingerprint: m.labelFingerprint, Labels: want,
				})
			})
		}
		if err != nil {
			return err
		}
	}
	set, remove := spec.Marks(m.identity), []string(nil)
	set[metaLabels] = rest
	maps.DeleteFunc(set, func(k, v string) bool { return m.metadata[k] == v })
	if v, ok := set[metaLabels]; ok && v == "" {
		delete(set, metaLabels)
		remove = []string{metaLabels}
	}
	if len(set)+len(remove) == 0 {
		return nil
	}
	return d.setMetadata(ctx, m, set, remove)
}

// Stop implements cloud.Provisioner.
func (d *driver) Stop(ctx context.Context, ref cloud.ClusterRef) error {
	w := d.newWaiter(cloud.StateStopped)
	return d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		busy := slices.DeleteFunc(slices.Clone(c.machines), func(m machine) bool {
			return m.state != cloud.StateRunning && m.state != cloud.StatePending
		})
		err := each(busy, func(m machine) error {
			err := d.c.do(ctx, "stop machine "+m.name, func(ctx context.Context) (*compute.Operation, error) {
				// As on every cloud, local disks do not outlive a stop.
				return d.c.api.stopInstance(ctx, m.zone, m.id, m.scratch)
			})
			if isNotFound(err) {
				return nil // the next look tells
			}
			return err
		})
		if err != nil {
			return false, err
		}
		return w.Look(ref, c.view())
	})
}

// Terminate implements cloud.Provisioner. It asks again at every look, since a
// request may be lost, and believes only what it sees.
func (d *driver) Terminate(ctx context.Context, ref cloud.ClusterRef) error {
	quiet, ended, removed := 0, map[string]bool{}, map[cloud.Identity]bool{}
	err := d.watch(ctx, ref, func(ctx context.Context, c census) (bool, error) {
		for _, m := range c.machines {
			removed[m.identity] = true
		}
		err := each(c.machines, func(m machine) error { return d.remove(ctx, m) })
		if err != nil {
			return false, err
		}
		for _, m := range c.machines {
			ended[m.id] = true
		}
		for _, l := range c.late { // it may be there; the next look tells
			if err := d.delete(ctx, l.zone, l.name); err != nil {
				return false, err
			}
		}
		return d.gone(c, ended, &quiet), nil
	})
	if err == nil {
		err = d.removeDisks(ctx, ref, removed)
	}
	if err != nil {
		return fmt.Errorf("terminate cluster %q: %w", ref.Cluster, err)
	}
	d.recent.forget(ref)
	return nil
}

func (d *driver) remove(ctx context.Context, m machine) error {
	if m.state == cloud.StateTerminating {
		return nil
	}
	return d.delete(ctx, m.zone, m.id)
}

// delete deletes a machine by id or name, with its disks, and sees that through.
func (d *driver) delete(ctx context.Context, zone, which string) error {
	err := d.c.do(ctx, "delete machine "+zone+"/"+which, func(ctx context.Context) (*compute.Operation, error) {
		return d.c.api.deleteInstance(ctx, zone, which)
	})
	if isNotFound(err) {
		return nil
	}
	return err
}
