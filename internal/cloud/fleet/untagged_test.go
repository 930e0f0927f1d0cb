// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// bare is a cloud that makes machines without tags, and is told how they get some.
type bare struct {
	*pods
	dear error
	// keeps says that tags take effect, once the machine was asked for so often.
	keeps bool
	late  int
	// stays is how many removals fail, lasting how many disarmings do nothing.
	stays, lasting int
	gets           int
	// hangs says that removals last as long as they may.
	hangs bool
}

var errTooDear, errStays = errors.New("it costs too much"), errors.New("it cannot be removed now")

func (b *bare) Create(ctx context.Context, o Order[string]) (Machine[string], error) {
	m, err := b.pods.Create(ctx, o)
	m.Identity = cloud.Identity{}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.machines {
		if b.machines[i].ID == m.ID {
			b.machines[i].Identity, b.machines[i].Tags = cloud.Identity{}, map[string]string{}
		}
	}
	return m, errors.Join(err, b.dear)
}

func (b *bare) Get(ctx context.Context, ref cloud.ClusterRef, ids []string) ([]Machine[string], error) {
	all, err := b.pods.Get(ctx, ref, ids)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gets++; b.gets < b.late {
		for i := range all {
			all[i].Identity, all[i].Tags = cloud.Identity{}, nil
		}
	}
	return all, err
}

func (b *bare) Relabel(_ context.Context, m Machine[string], change Relabeling) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.machines {
		if b.keeps && b.machines[i].ID == m.ID {
			b.machines[i].Tags = tags.Merge(b.machines[i].Tags, change.Marks)
			b.machines[i].Identity, _ = cloud.IdentityFromTags(b.machines[i].Tags)
		}
	}
	return nil
}

func (b *bare) DeleteMachines(ctx context.Context, gone []Machine[string]) error {
	b.mu.Lock()
	stays := b.stays > 0
	b.stays--
	b.mu.Unlock()
	if b.hangs {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if stays {
		return errStays
	}
	return b.pods.DeleteMachines(ctx, gone)
}

func (b *bare) Mark(_ context.Context, machines []Machine[string]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.machines {
		if slices.ContainsFunc(machines, func(m Machine[string]) bool { return m.ID == b.machines[i].ID }) {
			b.machines[i].Committed = true
			if b.lasting--; b.lasting < 0 {
				b.machines[i].Deadline = time.Time{}
			}
		}
	}
	return nil
}

func bareFleet(b *bare, n int) (*Fleet[string, string], cloud.RunConfig) {
	b.pods = &pods{}
	return fleetOf(b.pods, n, func(c *Config[string, string]) {
		c.Calls, c.Capabilities.LabelsFixed, c.MissingLooks = b, false, 3
		c.Poll, c.Granularity = retry.Policy{Initial: time.Millisecond, Max: time.Millisecond}, time.Nanosecond
	})
}

// named is the ref with what Run made, as teardown asks for it.
func named(cfg cloud.RunConfig, record cloud.RunRecord) cloud.ClusterRef {
	ref := cfg.Spec.Ref
	ref.Instances = record.Created
	return ref
}

// TestDearMachineWithoutTagsIsFoundAgain: that a machine is not as asked for does
// not keep it from being tagged, and so it can be removed.
func TestDearMachineWithoutTagsIsFoundAgain(t *testing.T) {
	b := &bare{dear: errTooDear, keeps: true}
	f, cfg := bareFleet(b, 1)
	record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	if !errors.Is(err, errTooDear) || len(record.Created) != 1 {
		t.Fatalf("Run = %+v, %v, want the machine and why it will not do", record, err)
	}
	other, _ := fleetOf(b.pods, 1, func(c *Config[string, string]) { c.Calls = b }) // another process
	if err := other.Terminate(t.Context(), named(cfg, record)); err != nil || len(b.machines) != 0 {
		t.Errorf("Terminate = %v, left are %v", err, b.machines)
	}
}

// TestMachineWithoutTagsThatStays: what this process launched is its own although
// it shows no tags and its removal failed at first; it is not committed. One that
// shows another's tags is not its own.
func TestMachineWithoutTagsThatStays(t *testing.T) {
	b := &bare{stays: 1}
	f, cfg := bareFleet(b, 1)
	record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	if !errors.Is(err, errStays) || !strings.Contains(err.Error(), "could not be removed") || len(record.Created) != 1 {
		t.Fatalf("Run = %+v, %v, want the machine and that it could not be removed", record, err)
	}
	ref := named(cfg, record)
	if err := f.Commit(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "no ownership tags") {
		t.Errorf("Commit = %v", err)
	}
	b.machines[0].Tags = map[string]string{cloud.TagOwner: "another"}
	if err := f.Terminate(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "left alone") || len(b.machines) != 1 {
		t.Errorf("Terminate of a machine with another's tag = %v, left are %v", err, b.machines)
	}
	b.machines[0].Tags = map[string]string{cloud.TagOwner: "o"}
	if err := f.Terminate(t.Context(), ref); err != nil || len(b.machines) != 0 {
		t.Errorf("Terminate = %v, left are %v", err, b.machines)
	}
}

// TestMachineWithoutTagsIsTaggedWhenAdopted: a later Run of this process tags it.
func TestMachineWithoutTagsIsTaggedWhenAdopted(t *testing.T) {
	b := &bare{stays: 1}
	f, cfg := bareFleet(b, 1)
	if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); !errors.Is(err, errStays) {
		t.Fatal(err)
	}
	b.keeps = true
	record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
	if err != nil || len(record.Adopted) != 1 || b.machines[0].Identity != cfg.Spec.Nodes[0].Identity {
		t.Errorf("Run = %+v, %v with %v", record, err, b.machines)
	}
}

// TestRemovalOfAMachineWithoutTagsIsBounded: it goes on when the launch is
// interrupted, and ends although the cloud does not answer.
func TestRemovalOfAMachineWithoutTagsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{hangs: true}
		f, cfg := bareFleet(b, 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		began := time.Now()
		_, err := f.Run(ctx, cfg.Spec.Ref, cfg)
		if err == nil || !strings.Contains(err.Error(), "could not be removed") || time.Since(began) < reclaimTime || time.Since(began) > reclaimTime+time.Second {
			t.Errorf("Run = %v after %s", err, time.Since(began))
		}
	})
}

// TestTagsThatShowLate: a cloud may show the tags of a new machine some looks
// late; a good machine is not removed for that, one without tags is.
func TestTagsThatShowLate(t *testing.T) {
	for name, test := range map[string]struct{ late, left, looks int }{
		"at the last look": {late: 3, left: 1, looks: 3},
		"never":            {late: 1000, left: 0, looks: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bare{keeps: true, late: test.late}
				f, cfg := bareFleet(b, 1)
				record, err := f.Run(t.Context(), cfg.Spec.Ref, cfg)
				if len(b.machines) != test.left || (err == nil) != (test.left == 1) || len(record.Created) != 1 || b.gets != test.looks {
					t.Errorf("Run = %+v, %v after %d looks; left are %v", record, err, b.gets, b.machines)
				}
			})
		})
	}
}

// TestCommitSeesTheDeadlineGo: a machine that is marked and still has its deadline
// would be gone then; Commit asks again until it has none.
func TestCommitSeesTheDeadlineGo(t *testing.T) {
	b := &bare{keeps: true, lasting: 3}
	f, cfg := bareFleet(b, 1)
	if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil {
		t.Fatal(err)
	}
	b.machines[0].Deadline = time.Now().Add(time.Hour)
	if err := f.Commit(t.Context(), cfg.Spec.Ref); err != nil || !b.machines[0].Deadline.IsZero() || !b.machines[0].Committed {
		t.Errorf("Commit = %v with the machine %+v", err, b.machines[0].Instance)
	}
}

// TestSurveyShowsWhatLostATag: a machine that lost the tag of its rank or attempt
// is nobody's rank any more, and is still paid for.
func TestSurveyShowsWhatLostATag(t *testing.T) {
	b := &bare{keeps: true}
	f, cfg := bareFleet(b, 3)
	if _, err := f.Run(t.Context(), cfg.Spec.Ref, cfg); err != nil {
		t.Fatal(err)
	}
	for i, lost := range []string{cloud.TagRank, cloud.TagAttempt, cloud.TagOwner} {
		b.machines[i].Identity, b.machines[i].Tags = cloud.Identity{}, maps.Clone(b.machines[i].Tags)
		delete(b.machines[i].Tags, lost)
	}
	things, err := f.Survey(t.Context(), cloud.ClusterRef{})
	things = slices.DeleteFunc(things, func(t cloud.Thing) bool { return t.Kind != cloud.ThingMachine })
	if err != nil || len(things) != 2 || things[0].Ref.Cluster != cfg.Spec.Ref.Cluster || things[0].ID == things[1].ID {
		t.Errorf("Survey = %+v, %v, want the two machines of which the cluster is known", things, err)
	}
}
