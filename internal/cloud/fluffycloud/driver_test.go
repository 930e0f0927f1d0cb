// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// looks makes the fake answer the first n listings its own way.
func looks(f *fake, n int, h func(w http.ResponseWriter, r *http.Request)) {
	f.on("GET", "/v1/instances", n, h)
}

func none(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, map[string]any{"instances": []instance{}})
}

func gone(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, codeNotFound, "no such instance") }

func TestUnknownState(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	cfg, _ := up(t, d, 1)
	f.edit(func() { f.machines[0].State = "levitating" })
	got, err := d.Query(t.Context(), testRef)
	if err != nil || len(got) != 1 || got[0].State != cloud.StateUnknown {
		t.Errorf("Query = %+v, %v, want one machine in state unknown", got, err)
	}
	if _, err := d.Run(t.Context(), testRef, cfg); err == nil || !strings.Contains(err.Error(), `"levitating"`) {
		t.Errorf("Run beside a machine in an unknown state returned %v", err)
	}
	if len(f.machines) != 1 {
		t.Errorf("Run made %d machines beside one in an unknown state", len(f.machines)-1)
	}
	f.edit(func() { f.machines[0].StateReason = "gravity lost" })
	if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err == nil || !strings.Contains(err.Error(), "gravity lost") {
		t.Errorf("Wait returned %v, want the reason", err)
	}
}

// TestNullAddress: a machine that runs without an address is not there yet.
func TestNullAddress(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	up(t, d, 1)
	polls := 0
	looks(f, 3, func(w http.ResponseWriter, _ *http.Request) {
		polls++
		in := *f.machines[0]
		in.PublicIP = ""
		answer(w, 200, map[string]any{"instances": []instance{in}})
	})
	if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err != nil || polls != 3 {
		t.Errorf("Wait = %v after %d looks without an address, want success after 3", err, polls)
	}
}

// TestTagsDropped: a machine that cannot be found again is tagged once more,
// and removed when that does not help.
func TestTagsDropped(t *testing.T) {
	for name, stubborn := range map[string]bool{"once": false, "always": true} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			d := f.driver(t)
			f.on("POST", "/v1/instances", 1, func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 201, map[string]any{"instance": f.add(launchRequest{
					Region: "meadow-1", Zone: "meadow-1a", InstanceType: "small", Market: "on_demand", Tags: map[string]string{},
				})})
			})
			if stubborn {
				f.on("PATCH", "/v1/instances/i-0/tags", 0, func(w http.ResponseWriter, _ *http.Request) {
					answer(w, 202, map[string]any{"instance": f.machines[0]})
				})
			}
			spec, at := testSpec(1)
			cfg, err := d.Bootstrap(t.Context(), spec, at)
			if err != nil {
				t.Fatal(err)
			}
			record, err := d.Run(t.Context(), testRef, cfg)
			switch {
			case !stubborn && (err != nil || len(record.Created) != 1 || f.machines[0].State != "running"):
				t.Errorf("Run = %+v, %v; the machine is %s", record, err, f.machines[0].State)
			case stubborn && (err == nil || f.machines[0].State != "terminated"):
				t.Errorf("Run = %v; the machine nobody can find is %s", err, f.machines[0].State)
			}
		})
	}
}

// TestMachineNotAsAsked: it is reported, with its id, so that it is removed.
func TestMachineNotAsAsked(t *testing.T) {
	for name, change := range map[string]func(*instance){
		"dearer": func(in *instance) { in.HourlyUSD = 40 }, "elsewhere": func(in *instance) { in.Zone = "meadow-1b" },
		"other type": func(in *instance) { in.InstanceType = "tiny" }, "other market": func(in *instance) { in.Market = "spot" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			d := f.driver(t)
			f.on("POST", "/v1/instances", 1, func(w http.ResponseWriter, r *http.Request) {
				f.launch(&blackHole{}, r)
				change(f.machines[0])
				answer(w, 201, map[string]any{"instance": f.machines[0]})
			})
			spec, at := testSpec(1)
			cfg, err := d.Bootstrap(t.Context(), spec, at)
			if err != nil {
				t.Fatal(err)
			}
			record, err := d.Run(t.Context(), testRef, cfg)
			if err == nil || !slices.Equal(record.Created, []string{"i-0"}) {
				t.Errorf("Run = %+v, %v, want the machine and an error", record, err)
			}
			if err := d.Terminate(t.Context(), testRef); err != nil || name == "elsewhere" {
				return // in another zone only its id leads to it
			}
			if f.machines[0].State != "terminated" {
				t.Error("Terminate left it")
			}
		})
	}
}

func TestPrice(t *testing.T) {
	tests := map[string]struct {
		market            cloud.Market
		bound, offer, got float64
		bid               float64
		ok                bool
	}{
		"as offered":           {cloud.OnDemand, 0, 1, 1, 0, true},
		"dearer than offered":  {cloud.OnDemand, 0, 1, 1.1, 0, false},
		"dearer but in bounds": {cloud.OnDemand, 2, 1, 1.1, 0, true},
		"out of bounds":        {cloud.OnDemand, 1, 0.5, 1.1, 0, false},
		"spot moves":           {cloud.Spot, 0, 1, 1.5, 0, true},
		"spot in bounds":       {cloud.Spot, 2, 1, 1.5, 2, true},
		"spot out of bounds":   {cloud.Spot, 1.2, 1, 1.5, 1.2, false},
	}
	for name, test := range tests {
		var order fleet.Order[resources]
		order.Spec.MaxMachineUSD = test.bound
		order.Placement.Offer = cloud.Offer{Market: test.market, HourlyUSD: test.offer}
		if err := checkPrice(instance{HourlyUSD: test.got}, order); (err == nil) != test.ok {
			t.Errorf("%s: checkPrice = %v, want success: %t", name, err, test.ok)
		}
		if got := request(order).MaxPriceUSD; got != test.bid {
			t.Errorf("%s: the bid is %v, want %v", name, got, test.bid)
		}
	}
}

// TestDuplicate: a cloud that ignores the token makes a machine nobody knows of.
func TestDuplicate(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	f.on("POST", "/v1/instances", 1, func(w http.ResponseWriter, r *http.Request) {
		f.launch(&blackHole{}, r)
		first := f.machines[0]
		f.tokens = map[string]*instance{}
		in := f.add(launchRequest{Region: first.Region, Zone: first.Zone, InstanceType: "small", Market: "on_demand", Tags: first.Tags})
		answer(w, 201, map[string]any{"instance": in})
	})
	spec, at := testSpec(1)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	record, err := d.Run(t.Context(), testRef, cfg)
	var extra *cloud.ExtraNodesError
	if !errors.As(err, &extra) || !slices.Equal(extra.Extra, []string{"i-0"}) || !slices.Equal(record.Created, []string{"i-1"}) {
		t.Fatalf("Run = %+v, %v, want i-1 created and i-0 named as extra", record, err)
	}
	if _, err := d.Describe(t.Context(), testRef); !errors.As(err, &extra) {
		t.Errorf("Describe of two machines of one rank returned %v", err)
	}
	if err := d.Terminate(t.Context(), testRef); err != nil || f.machines[0].State != "terminated" || f.machines[1].State != "terminated" {
		t.Errorf("Terminate = %v, the machines are %s and %s", err, f.machines[0].State, f.machines[1].State)
	}
}

// TestLateListing: a machine just launched shows in no list and no lookup for
// a while. It is neither forgotten nor made again.
func TestLateListing(t *testing.T) {
	hide := func(f *fake, n int) {
		looks(f, n, none)
		f.on("GET", "/v1/instances/i-0", n, gone)
		f.on("DELETE", "/v1/instances/i-0", n, gone)
	}
	t.Run("terminate", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		hide(f, 9)
		up(t, d, 1)
		if err := d.Terminate(t.Context(), testRef); err != nil || f.machines[0].State != "terminated" {
			t.Errorf("Terminate = %v, the machine is %s", err, f.machines[0].State)
		}
	})
	t.Run("commit", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		hide(f, 9)
		up(t, d, 1)
		if err := d.Commit(t.Context(), testRef); err != nil || f.machines[0].Tags[cloud.TagCommitted] != committed {
			t.Errorf("Commit = %v, the tags are %v", err, f.machines[0].Tags)
		}
	})
	t.Run("wait", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		hide(f, 9)
		up(t, d, 1)
		if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err != nil {
			t.Errorf("Wait = %v", err)
		}
	})
	t.Run("never shown", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		d.Settle = 5 * time.Millisecond
		hide(f, 1000)
		up(t, d, 1)
		if err := d.Wait(t.Context(), testRef, cloud.StateRunning); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("Wait for a machine that never shows returned %v", err)
		}
	})
}

// TestOneEmptyListProvesNothing: the caller knows the id.
func TestOneEmptyListProvesNothing(t *testing.T) {
	f := newFake(t)
	up(t, f.driver(t), 1)
	d := f.driver(t) // another process: it launched nothing
	looks(f, 3, none)
	f.on("GET", "/v1/instances/i-0", 2, gone)
	ref := testRef
	ref.Instances = []string{"i-0"}
	if err := d.Terminate(t.Context(), ref); err != nil || f.machines[0].State != "terminated" {
		t.Errorf("Terminate = %v, the machine is %s", err, f.machines[0].State)
	}
}

// TestEmptyOnceByTags: a single listing without the machines is no proof either.
func TestEmptyOnceByTags(t *testing.T) {
	f := newFake(t)
	up(t, f.driver(t), 2)
	d := f.driver(t)
	looks(f, 1, none)
	if err := d.Terminate(t.Context(), testRef); err != nil || f.machines[0].State != "terminated" || f.machines[1].State != "terminated" {
		t.Errorf("Terminate = %v, the machines are %s and %s", err, f.machines[0].State, f.machines[1].State)
	}
}

// TestSilentTerminate: the request is taken and forgotten.
func TestSilentTerminate(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	up(t, d, 1)
	f.on("DELETE", "/v1/instances/i-0", 3, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 202, map[string]any{"instance": f.machines[0]})
	})
	if err := d.Terminate(t.Context(), testRef); err != nil || f.machines[0].State != "terminated" {
		t.Errorf("Terminate = %v, the machine is %s", err, f.machines[0].State)
	}
	t.Run("for good", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		up(t, d, 1)
		ctx, cancel := context.WithCancel(t.Context())
		f.on("DELETE", "/v1/instances/i-0", 0, func(w http.ResponseWriter, _ *http.Request) {
			cancel()
			answer(w, 202, map[string]any{"instance": f.machines[0]})
		})
		err := d.Terminate(ctx, testRef)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "i-0 (rank 0, running)") {
			t.Errorf("Terminate = %v, want the context's error and the survivor", err)
		}
	})
}

// TestTerminateRefused: it fails loudly, and tries the other machines all the same.
func TestTerminateRefused(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	up(t, d, 2)
	f.on("DELETE", "/v1/instances/i-0", 0, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, 403, codeForbidden, "not yours to remove")
	})
	err := d.Terminate(t.Context(), testRef)
	if got := classify(err); got.Kind != cloud.KindAuth || f.machines[1].State != "terminated" {
		t.Errorf("Terminate = %v (%s), the other machine is %s", err, got, f.machines[1].State)
	}
}

// TestLostAndTroubled: lists fail for a while; nobody is declared dead for it.
func TestTroubledListing(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	up(t, d, 1)
	looks(f, 6, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, codeInternal, "hiccup") })
	if err := d.Terminate(t.Context(), testRef); err != nil || f.machines[0].State != "terminated" {
		t.Errorf("Terminate = %v, the machine is %s", err, f.machines[0].State)
	}
	looks(f, 0, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, codeInternal, "down") })
	if err := d.Terminate(t.Context(), testRef); err == nil || classify(err).Kind != cloud.KindTransient {
		t.Errorf("Terminate without any listing returned %v", err)
	}
	if _, err := d.Query(t.Context(), testRef); err == nil {
		t.Error("Query without any listing reports success")
	}
}

// TestWaitAndTheDead: which of the dead are mourned.
func TestWaitAndTheDead(t *testing.T) {
	dead := func(f *fake, rank, attempt string, tags map[string]string) {
		in := f.add(launchRequest{Region: "meadow-1", Zone: "meadow-1a", Tags: map[string]string{
			cloud.TagOwner: "o", cloud.TagCluster: "c", cloud.TagGeneration: "g", cloud.TagRank: rank, cloud.TagAttempt: attempt,
		}})
		for k, v := range tags {
			in.Tags[k] = v
		}
		in.State, in.StateReason = "terminated", "host_failure"
	}
	t.Run("an earlier attempt is not", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		dead(f, "0", "7", nil)
		up(t, d, 1)
		if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err != nil {
			t.Error(err)
		}
	})
	t.Run("a recorded node is not", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		dead(f, "1", "0", map[string]string{cloud.TagCommitted: committed})
		up(t, d, 1)
		if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err != nil {
			t.Error(err)
		}
	})
	t.Run("a sibling is", func(t *testing.T) {
		f := newFake(t)
		d := f.driver(t)
		up(t, d, 2)
		f.edit(func() { f.machines[1].State, f.machines[1].StateReason = "terminated", "preempted" })
		err := d.Wait(t.Context(), testRef, cloud.StateRunning)
		if classify(err).Kind != cloud.KindCapacity || !strings.Contains(err.Error(), "machine i-1 (rank") {
			t.Errorf("Wait = %v", err)
		}
	})
}

// TestForeignFirewall: a name that is ours on something that is not.
func TestForeignGroups(t *testing.T) {
	spec, at := testSpec(1)
	t.Run("firewall", func(t *testing.T) {
		f := newFake(t)
		f.firewalls = []firewall{{ID: "fw-x", Name: testRef.Name(maxNameLength, "firewall"), Region: "meadow-1"}}
		if _, err := f.driver(t).Bootstrap(t.Context(), spec, at); classify(err).Kind != cloud.KindConfig {
			t.Errorf("Bootstrap = %v, want a refusal", err)
		}
	})
	t.Run("key", func(t *testing.T) {
		f := newFake(t)
		f.keys = []sshKey{{ID: "key-x", Name: testRef.Name(maxNameLength, spec.AuthorizedKeys[0]), PublicKey: "ssh-ed25519 EVIL", Tags: testRef.Tags()}}
		if _, err := f.driver(t).Bootstrap(t.Context(), spec, at); classify(err).Kind != cloud.KindConfig {
			t.Errorf("Bootstrap = %v, want a refusal", err)
		}
	})
}

func TestBadSpecs(t *testing.T) {
	for name, change := range map[string]func(*cloud.ClusterSpec, *cloud.Placement){
		"no generation":  func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Ref.Generation = "" },
		"no nodes":       func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes = nil },
		"rank twice":     func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[1].Identity.Rank = 0 },
		"other's node":   func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[1].Identity.Owner = "x" },
		"other cloud":    func(_ *cloud.ClusterSpec, p *cloud.Placement) { p.Offer.Cloud = "aws" },
		"no region":      func(_ *cloud.ClusterSpec, p *cloud.Placement) { p.Offer.Region = "" },
		"unknown image":  func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Image = "img-none" },
		"reserved label": func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Labels = map[string]string{"sky-x": "y"} },
	} {
		t.Run(name, func(t *testing.T) {
			spec, at := testSpec(2)
			change(&spec, &at)
			f := newFake(t)
			if _, err := f.driver(t).Bootstrap(t.Context(), spec, at); classify(err).Kind != cloud.KindConfig {
				t.Errorf("Bootstrap = %v, want a configuration error", err)
			}
			if len(f.keys)+len(f.firewalls)+len(f.machines) > 0 {
				t.Error("it made something all the same")
			}
		})
	}
}

func TestBadIDsNeverReachAPath(t *testing.T) {
	f := newFake(t)
	d := f.driver(t)
	for _, id := range []string{"..", "a/b", "i-1?x", "", "i-1\n"} {
		ref := testRef
		ref.Instances = []string{id}
		if err := d.Terminate(t.Context(), ref); classify(err).Kind != cloud.KindConfig {
			t.Errorf("Terminate of %q = %v", id, err)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, cluster := range []string{"a", "a-", "A", strings.Repeat("long", 40), strings.Repeat("long", 40) + "x", "---"} {
		for _, owner := range []string{"o", "p"} {
			ref := cloud.ClusterRef{Owner: owner, Cluster: cluster, Generation: "g"}
			for _, extra := range []string{"firewall", "key"} {
				name := ref.Name(maxNameLength, extra)
				if len(name) > maxNameLength || seen[name] || strings.Contains(name, "--") {
					t.Errorf("groupName(%q) = %q: too long, taken or ugly", cluster, name)
				}
				seen[name] = true
			}
		}
	}
}
