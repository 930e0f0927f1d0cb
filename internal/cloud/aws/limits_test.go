// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fleet.Pace{Every: time.Second, Burst: 3}
		var mu sync.Mutex
		var passed []time.Duration
		start := time.Now()
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				if err := b.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				passed = append(passed, time.Since(start))
			})
		}
		all.Wait()
		if want := []time.Duration{0, 0, 0, time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(passed, want) {
			t.Errorf("six at once pass after %v, want %v", passed, want)
		}
		<-time.After(time.Hour) // saves up no more than the burst
		start, passed = time.Now(), nil
		for range 5 {
			if err := b.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			passed = append(passed, time.Since(start))
		}
		if want := []time.Duration{0, 0, 0, time.Second, 2 * time.Second}; !slices.Equal(passed, want) {
			t.Errorf("after a pause they pass after %v, want %v", passed, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that is given up: %v", err)
		}
	})
}

// TestLimitsByKind: launches, other changes and looks do not wait for each other.
func TestLimitsByKind(t *testing.T) {
	l := newLimits()
	for name, want := range map[string]*fleet.Pace{
		"RunInstances": l.launch, "StartInstances": l.launch, "TerminateInstances": l.change, "CreateTags": l.change,
		"DescribeInstances": l.look, "DescribeImages": l.look,
	} {
		if l.of(name) != want {
			t.Errorf("%s has another limit", name)
		}
	}
}

// TestClustersShareOneAccount: clusters of one apply share clients, so their
// limits, and what was found out about the account.
func TestClustersShareOneAccount(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	if _, err := w.launch(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, name := range []string{"h", "i", "j", "k"} {
		all.Go(func() {
			if _, err := w.launch(t.Context(), renamed(spec, name), at); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, action := range []string{"DescribeRegions", "DescribeInstanceTypes"} {
		if n := len(w.proxy.Requests(action)); n != 1 {
			t.Errorf("%s was asked %d times", action, n)
		}
	}
	if n := launches(w); n != 5 {
		t.Errorf("%d launches for five clusters", n)
	}
	if first, second := w.d.c.in(testRegion), w.d.c.in(testRegion); first != second {
		t.Error("a region has two clients")
	}
}

// TestOthersGroupsAreLeftAlone: groups of the user's are attached, and nothing
// else is ever done with them.
func TestOthersGroupsAreLeftAlone(t *testing.T) {
	const own = "sg-0123456789abcdef0"
	w := newWorld(t, &ec2proxy.Proxy{}, map[string]string{optionGroups: own})
	w.fake.groups = append(w.fake.groups, &fakeGroup{id: own, name: "mine"})
	if err := wholeLife(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	attached := 0
	for action := range w.fake.touchedForeign {
		if slices.Contains(w.fake.touchedForeign[action], own) {
			t.Errorf("%s was called for the user's own group", action)
		}
	}
	for _, r := range w.proxy.Requests("RunInstances") {
		if slices.Contains(numbered(r, "NetworkInterface.1.SecurityGroupId"), own) {
			attached++
		}
	}
	if attached != launches(w) || w.fake.group(own) == nil || len(w.fake.group(own).rules) > 0 {
		t.Errorf("the user's group is on %d of %d machines, and now %+v", attached, launches(w), w.fake.group(own))
	}
}
