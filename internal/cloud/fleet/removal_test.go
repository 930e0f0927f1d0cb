// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// latePods are pods whose disks are in use while their machine is there, and
// that show no machine before a certain time.
type latePods struct {
	*pods
	shown time.Time
}

func (p *latePods) List(ctx context.Context, ref cloud.ClusterRef) ([]Machine[string], error) {
	if time.Now().Before(p.shown) {
		return nil, nil
	}
	return p.pods.List(ctx, ref)
}

func (p *latePods) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]Machine[string], error) {
	if time.Now().Before(p.shown) {
		return nil, nil
	}
	return p.pods.Get(ctx, ref, ids)
}

func (p *latePods) Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	all, err := p.pods.Things(ctx, ref, kind)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range all {
		all[i].InUse = all[i].InUse || slices.ContainsFunc(p.machines, func(m Machine[string]) bool { return "disk-"+m.ID[len("pod-"):] == all[i].ID })
	}
	return all, err
}

// TestDiskThatSomebodyUsesStays: who attached a disk of ours to a machine of his
// own keeps it, and the removal ends.
func TestDiskThatSomebodyUsesStays(t *testing.T) {
	for name, narrow := range map[string]bool{"the cluster": false, "a machine": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &latePods{pods: &pods{}}
				f, cfg := fleetOf(p.pods, 1, func(c *Config[string, string]) { c.Calls = p })
				record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
				if err != nil {
					t.Fatal(err)
				}
				p.disks = append(p.disks, cloud.Thing{Kind: cloud.ThingDisk, ID: "rescued", Identity: cfg.Spec.Nodes[0].Identity, InUse: true})
				ref := cfg.Spec.Ref
				if narrow {
					ref.Instances = record.Created
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*f.Settle)
				defer cancel()
				start := time.Now()
				if err := f.Terminate(ctx, ref); err != nil || time.Since(start) < f.Settle {
					t.Errorf("Terminate = %v after %v, want success after %v", err, time.Since(start), f.Settle)
				}
				if len(p.machines) != 0 || len(p.disks) != 1 || p.disks[0].ID != "rescued" {
					t.Errorf("left are %v and %v, want the disk in use", p.machines, p.disks)
				}
			})
		})
	}
}

// TestDiskInUseGivesAwayItsMachine: a machine that no look showed at first has a
// disk in use; both go.
func TestDiskInUseGivesAwayItsMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &latePods{pods: &pods{}}
		f, cfg := fleetOf(p.pods, 1, func(c *Config[string, string]) { c.Calls = p })
		if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil {
			t.Fatal(err)
		}
		p.shown = time.Now().Add(f.Settle / 2)
		another := New(f.Config) // a process that knows nothing of the launch
		ctx, cancel := context.WithTimeout(t.Context(), 4*f.Settle)
		defer cancel()
		if err := another.Terminate(ctx, cfg.Spec.Ref); err != nil || len(p.machines)+len(p.disks) != 0 {
			t.Errorf("Terminate = %v and left %v and %v", err, p.machines, p.disks)
		}
	})
}

// TestElderKeepsItsDisk: of two machines of one identity the younger goes, with
// its disk. The elder's, which is in use, does not hold that up.
func TestElderKeepsItsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &latePods{pods: &pods{}}
		f, cfg := fleetOf(p.pods, 1, func(c *Config[string, string]) { c.Calls = p })
		p.fail = func(o Order[string]) error { // another session makes the same; the lesser id is the elder of equals
			p.machines = append(p.machines, Machine[string]{Instance: cloud.Instance{
				ID: "pod-Elder", Identity: o.Node.Identity, Region: "r", Type: "small", Market: cloud.OnDemand, State: cloud.StateRunning,
			}})
			p.disks = append(p.disks, cloud.Thing{Kind: cloud.ThingDisk, ID: "disk-Elder", Identity: o.Node.Identity})
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*f.Settle)
		defer cancel()
		record, err := f.Run(ctx, cfg.Spec.Ref, cfg)
		if err != nil || len(record.Created) != 0 || !slices.Equal(record.Adopted, []string{"pod-Elder"}) {
			t.Errorf("Run = %+v, %v; want the elder adopted", record, err)
		}
		if len(p.machines) != 1 || len(p.disks) != 1 || p.disks[0].ID != "disk-Elder" {
			t.Errorf("left are %v and %v, want the elder and its disk", p.machines, p.disks)
		}
	})
}

// TestGetEach: absence is what the error says alone, not beside another error.
func TestGetEach(t *testing.T) {
	refused := errors.New("refused")
	for name, tt := range map[string]struct {
		err    error
		absent bool
	}{
		"not found":                {cloud.ErrNotFound, true},
		"wrapped":                  {fmt.Errorf("machine m: %w", cloud.ErrNotFound), true},
		"twice":                    {errors.Join(nil, cloud.ErrNotFound, fmt.Errorf("m: %w", cloud.ErrNotFound)), true},
		"an answer that matches":   {fmt.Errorf("machine m: %w", answered404{}), true},
		"another error":            {refused, false},
		"beside another error":     {errors.Join(refused, cloud.ErrNotFound), false},
		"that within a wrapping":   {fmt.Errorf("machine m: %w", errors.Join(cloud.ErrNotFound, refused)), false},
		"that in the text's order": {fmt.Errorf("%w: %w", cloud.ErrNotFound, refused), false},
	} {
		got, err := GetEach([]string{"m", "n"}, func(id string) (Machine[string], error) {
			if id == "m" {
				return Machine[string]{}, tt.err
			}
			return Machine[string]{Instance: cloud.Instance{ID: id}}, nil
		})
		if tt.absent != (err == nil) || (tt.absent && !slices.Equal(ids(got), []string{"n"})) || (err != nil && !errors.Is(err, refused)) {
			t.Errorf("%s: GetEach = %v, %v; want absence: %t", name, got, err, tt.absent)
		}
	}
}

type answered404 struct{}

func (answered404) Error() string        { return "404" }
func (answered404) Is(target error) bool { return target == cloud.ErrNotFound }
