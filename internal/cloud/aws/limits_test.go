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
// TestLimitsFollowAWS: calls are made at once until AWS says that they are too many;
// then those of that operation keep the documented pace, for a while, and no other.
func TestLimitsFollowAWS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limits
		took := func(operation string, n int) time.Duration {
			begun := time.Now()
			for range n {
				if err := l.wait(t.Context(), operation); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begun)
		}
		if got := took("RunInstances", 100); got != 0 {
			t.Errorf("before AWS refused any, 100 launches waited %s", got)
		}
		l.throttled("RunInstances")
		l.throttled("CreateTags")
		if got := took("RunInstances", 11); got < 5*time.Second || got > 6*time.Second {
			t.Errorf("11 launches behind a refusal took %s, want 2 a second", got)
		}
		if got := took("StartInstances", 10) + took("DescribeInstances", 10); got != 0 {
			t.Errorf("other operations waited %s", got)
		}
		if got := took("CreateTags", 11); got < 2*time.Second || got > 3*time.Second {
			t.Errorf("11 changes behind a refusal took %s, want 5 a second", got)
		}
		time.Sleep(throttledFor) //nolint:forbidigo // injected time
		if got := took("RunInstances", 100); got != 0 {
			t.Errorf("long after the refusal launches waited %s", got)
		}
	})
}

// TestClustersShareOneAccount: clusters of one apply share clients, so their
// limits, and what was found out about the account.
func TestClustersShareOneAccount(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, map[string]string{optionRegions: ""})
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

func TestIsThrottled(t *testing.T) {
	for code, want := range map[string]bool{"RequestLimitExceeded": true, "Throttling": true, "InsufficientInstanceCapacity": false, "InternalError": false} {
		if isThrottled(apiError(code, "text")) != want {
			t.Errorf("%s: throttled is %t", code, !want)
		}
	}
	if isThrottled(nil) {
		t.Error("success is throttled")
	}
}
