// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// pods is a made-up cloud in memory: tags at launch only, a short name, one
// launch at a time, disks that stay and are paid for.
type pods struct {
	Calls[string, string]
	mu       sync.Mutex
	machines []Machine[string]
	disks    []cloud.Thing
	names    []string
	launched []time.Time
	relabels int
	fail     func(Order[string]) error
	// show changes what a list shows.
	show func([]Machine[string]) []Machine[string]
}

var errFull = errors.New("no room")

func (p *pods) List(context.Context, cloud.ClusterRef) ([]Machine[string], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.show != nil {
		return p.show(slices.Clone(p.machines)), nil
	}
	return slices.Clone(p.machines), nil
}

func (p *pods) Get(ctx context.Context, _ cloud.ClusterRef, ids []string) ([]Machine[string], error) {
	all, err := p.List(ctx, cloud.ClusterRef{})
	return slices.DeleteFunc(all, func(m Machine[string]) bool { return !slices.Contains(ids, m.ID) }), err
}

func (p *pods) Create(_ context.Context, o Order[string]) (Machine[string], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names, p.launched = append(p.names, o.Name), append(p.launched, time.Now())
	if p.fail != nil {
		if err := p.fail(o); err != nil {
			return Machine[string]{}, err
		}
	}
	m := Machine[string]{Instance: cloud.Instance{
		ID: "pod-" + o.Name, Identity: o.Node.Identity, Region: "r", Zone: o.Place.Zone, Type: "small", Market: cloud.OnDemand,
		State: cloud.StateRunning, Labels: o.Spec.Labels, ExternalIP: "192.0.2.1", SSHPort: 22,
	}}
	p.machines = append(p.machines, m)
	p.disks = append(p.disks, cloud.Thing{Kind: cloud.ThingDisk, ID: "disk-" + o.Name, Identity: m.Identity})
	return m, nil
}

func (p *pods) DeleteMachines(_ context.Context, gone []Machine[string]) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machines = slices.DeleteFunc(p.machines, func(m Machine[string]) bool {
		return slices.ContainsFunc(gone, func(g Machine[string]) bool { return g.ID == m.ID })
	})
	return nil
}

func (p *pods) Relabel(context.Context, Machine[string], Relabeling) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.relabels++
	return nil
}

func (p *pods) Kinds() []cloud.ThingKind { return []cloud.ThingKind{cloud.ThingDisk, cloud.ThingKey} }

func (p *pods) Things(_ context.Context, _ cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.disks), func(t cloud.Thing) bool { return t.Kind != kind }), nil
}

func (p *pods) RemoveThing(_ context.Context, t cloud.Thing) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disks = slices.DeleteFunc(p.disks, func(d cloud.Thing) bool { return d.ID == t.ID })
	return nil
}

func (p *pods) Classify(err error) cloud.Fault {
	return Table{
		Rows: Rows(cloud.KindCapacity, cloud.ScopeZone, "full"),
		Read: func(err error) []Answer {
			if errors.Is(err, errFull) {
				return []Answer{{Code: "full", Status: http.StatusInternalServerError}}
			}
			return nil
		},
		Reasons: []Row{{Text: "cannot_start_capacity", Fault: cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}}},
	}.Classify(err)
}

// fleetOf is a fleet of the made-up cloud, and a cluster of n machines on it.
func fleetOf(p *pods, n int, change func(*Config[string, string])) (*Fleet[string, string], cloud.RunConfig) {
	c := Config[string, string]{
		Name: "pods", Calls: p, Poll: retry.Policy{Initial: time.Millisecond}, QuietLooks: 2, Settle: time.Hour,
		Capabilities: cloud.Capabilities{Labels: true, LabelsFixed: true, MaxNameLength: 24, MaxLabels: 1, MaxUserData: 10},
	}
	if change != nil {
		change(&c)
	}
	ref := cloud.ClusterRef{Owner: "o", Cluster: "a cluster of a long name", Generation: "g", Cloud: "pods"}
	spec := cloud.ClusterSpec{Ref: ref, Labels: map[string]string{"a": "b"}}
	for rank := range n {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{Identity: cloud.Identity{Owner: "o", Cluster: ref.Cluster, Generation: "g", Rank: rank}})
	}
	at := cloud.Placement{Nodes: n, Offer: cloud.Offer{Cloud: "pods", Region: "r", InstanceType: cloud.InstanceType{Name: "small"}}}
	return New(c), cloud.RunConfig{Spec: spec, Placement: at, Resources: "made"}
}

// TestLimitsAreRead: names are as short as the cloud wants them, labels that cannot
// change are left, and what is too much is refused before anything is made.
func TestLimitsAreRead(t *testing.T) {
	p := &pods{}
	f, cfg := fleetOf(p, 2, nil)
	if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(p.names, func(n string) bool { return len(n) > 24 }) || p.names[0] == p.names[1] {
		t.Errorf("names %v, want two of 24 characters at most", p.names)
	}
	cfg.Spec.Labels = map[string]string{"a": "c"}
	if record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil || len(record.Adopted) != 2 || p.relabels != 0 {
		t.Errorf("another label gave %+v, %v and %d changes of fixed labels", record, err, p.relabels)
	}
	cfg.Spec.Labels = map[string]string{"a": "b", "c": "d"}
	if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); f.Calls.Classify(err).Kind != cloud.KindConfig || !strings.Contains(err.Error(), "room for 1") {
		t.Errorf("too many labels: %v", err)
	}
	cfg.Spec.Labels, cfg.Spec.Nodes[1].UserData = nil, []byte("CANARY-CANARY")
	if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err == nil || !strings.Contains(err.Error(), "takes 10") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("too much user data: %v", err)
	}
}

// TestLaunchesKeepTheirPace: a cloud that takes one launch every 12 s gets no more.
func TestLaunchesKeepTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pods{}
		f, cfg := fleetOf(p, 3, func(c *Config[string, string]) { c.Launches = &Pace{Every: 12 * time.Second} })
		start := time.Now()
		if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil {
			t.Fatal(err)
		}
		for i, at := range p.launched {
			if want := time.Duration(i) * 12 * time.Second; at.Sub(start) != want {
				t.Errorf("launch %d came after %v, want %v", i, at.Sub(start), want)
			}
		}
	})
}

// TestPaidThingsGoWithTheirMachines: of some machines theirs only, of all every one.
func TestPaidThingsGoWithTheirMachines(t *testing.T) {
	p := &pods{}
	f, cfg := fleetOf(p, 3, nil)
	record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.disks = append(p.disks, cloud.Thing{Kind: cloud.ThingKey, ID: "key"})
	some := cfg.Spec.Ref
	some.Instances = record.Created[:1]
	for want, ref := range map[int]cloud.ClusterRef{3: some} {
		if err := f.Terminate(t.Context(), ref); err != nil || len(p.disks) != want {
			t.Errorf("left are %v, %v; want %d", p.disks, err, want)
		}
	}
	if err := f.Terminate(t.Context(), cfg.Spec.Ref); err != nil || len(p.disks) != 1 || p.disks[0].ID != "key" {
		t.Errorf("left are %v, %v; want the key, which is nobody's machine", p.disks, err)
	}
	if err := f.CleanupPorts(t.Context(), cfg.Spec.Ref); err != nil || len(p.disks) != 0 {
		t.Errorf("CleanupPorts left %v, %v", p.disks, err)
	}
}

// TestPlacesAreTriedInTurn: where the second node finds no room beside the first,
// what was made is taken back, and both go elsewhere.
func TestPlacesAreTriedInTurn(t *testing.T) {
	p := &pods{}
	inFirst := 0
	p.fail = func(o Order[string]) error {
		if o.Place.Zone == "a" {
			if inFirst++; inFirst > 1 {
				return errFull
			}
		}
		return nil
	}
	f, cfg := fleetOf(p, 2, func(c *Config[string, string]) {
		c.Hooks.Places = func(string) []Place { return []Place{{ID: "1", Zone: "a"}, {ID: "2", Zone: "b"}} }
	})
	record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	if err != nil || len(record.Created) != 2 || len(p.machines) != 2 || len(p.disks) != 2 {
		t.Fatalf("Run = %+v, %v with machines %v", record, err, p.machines)
	}
	for _, m := range p.machines {
		if m.Zone != "b" {
			t.Errorf("machine %s is in %s", m, m.Zone)
		}
	}
}

// TestUnansweredLaunchIsSettledFirst: without tokens a second launch waits until
// the first is either shown or too long ago.
func TestUnansweredLaunchIsSettledFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pods{}
		p.fail = func(Order[string]) error { return context.DeadlineExceeded }
		f, cfg := fleetOf(p, 1, nil)
		if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Run = %v", err)
		}
		p.fail = nil
		before := time.Now()
		if record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil || len(record.Created) != 1 || time.Since(before) < 59*time.Minute {
			t.Errorf("Run = %+v, %v after %v, want it to wait for an hour", record, err, time.Since(before))
		}
	})
}

// TestCapacityThatComesLate: a machine that is stopped right after its launch for
// want of capacity is a lack of capacity in Wait, as one in Run.
func TestCapacityThatComesLate(t *testing.T) {
	p := &pods{}
	f, cfg := fleetOf(p, 1, nil)
	record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.machines[0].State, p.machines[0].Reason = cloud.StateStopped, "cannot_start_capacity: none left"
	ref := cfg.Spec.Ref
	ref.Instances = record.Created
	err = f.Wait(t.Context(), ref, cloud.StateRunning)
	if got := p.Classify(err); got != (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}) {
		t.Errorf("Wait = %v, which is %s", err, got)
	}
}

// TestOverdue: a machine that stays as it is for too long is given up, with the
// cloud's reason; time begins anew with each status, and at none of one that runs.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pods{}
		f, cfg := fleetOf(p, 1, func(c *Config[string, string]) {
			c.Poll = retry.Policy{Initial: time.Second, Max: time.Second}
			c.Hooks.Overdue = func(m Machine[string], since time.Duration) string {
				if since < 5*time.Minute {
					return ""
				}
				return "cannot_start_capacity: still " + m.Status
			}
		})
		record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ref := cfg.Spec.Ref
		ref.Instances = record.Created
		set := func(state cloud.State, status string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.machines[0].State, p.machines[0].Status, p.machines[0].ExternalIP, p.machines[0].SSHPort = state, status, "", 0
		}
		set(cloud.StatePending, "placing")
		begun := time.Now()
		time.AfterFunc(4*time.Minute, func() { set(cloud.StateRunning, "pulling") })
		err = f.Wait(t.Context(), ref, cloud.StateRunning)
		if took := time.Since(begun); took < 9*time.Minute || took > 10*time.Minute || !strings.Contains(err.Error(), "still pulling") || p.Classify(err).Kind != cloud.KindCapacity {
			t.Errorf("after %s Wait = %v", took, err)
		}
	})
}

// lost is a cloud whose list answers as if it were not there.
type lost struct{ *pods }

func (lost) List(context.Context, cloud.ClusterRef) ([]Machine[string], error) {
	return nil, fmt.Errorf("404: %w: %w", cloud.ErrNotFound, errFull)
}

// TestFailedListIsNoAbsence: whoever asks for machines and hears of absence takes
// them for gone.
func TestFailedListIsNoAbsence(t *testing.T) {
	p := &pods{}
	f, cfg := fleetOf(p, 1, func(c *Config[string, string]) { c.Calls = lost{p} })
	_, query := f.Query(t.Context(), cfg.Spec.Ref)
	_, survey := f.Survey(t.Context(), cfg.Spec.Ref)
	_, run := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	for name, err := range map[string]error{"Query": query, "Survey": survey, "Run": run, "Terminate": f.Terminate(t.Context(), cfg.Spec.Ref)} {
		if err == nil || errors.Is(err, cloud.ErrNotFound) || !errors.Is(err, errFull) || p.Classify(err).Kind != cloud.KindCapacity {
			t.Errorf("%s = %v", name, err)
		}
	}
}
