// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/lambda/lambdafake"
)

var testRef = cloud.ClusterRef{Owner: "sky-0123456789abcdef", Cluster: "c", Generation: "0123456789ab", Cloud: Name, Region: "us-east-1"}

func testSpec(nodes int) cloud.ClusterSpec {
	spec := cloud.ClusterSpec{Ref: testRef, AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Labels: map[string]string{"Team": "weather"}}
	for rank := range nodes {
		spec.Nodes = append(spec.Nodes, cloud.NodeSpec{
			HostKey:  "ssh-ed25519 " + strings.Repeat("K", 68),
			Identity: cloud.Identity{Owner: testRef.Owner, Cluster: testRef.Cluster, Generation: testRef.Generation, Attempt: 3, Rank: rank},
		})
	}
	return account{}.Spec(spec)
}

func at(instanceType, region, arch string, nodes int) cloud.Placement {
	p := account{}.Placement(nodes, cloud.OnDemand)
	p.Offer.Region, p.Offer.InstanceType.Name, p.Offer.InstanceType.Arch = region, instanceType, arch
	return p
}

// bubble runs f on injected time, on a Lambda of its own.
func bubble(t *testing.T, change func(*lambdafake.Options), f func(*testing.T, account, *driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts := slowAccount()
		if change != nil {
			change(&opts)
		}
		a := newAccount(t, opts)
		f(t, a, a.session(t))
	})
}

func (a account) session(t *testing.T) *driver {
	t.Helper()
	s, err := a.Factory().Open(t.Context(), a.Credentials())
	if err != nil {
		t.Fatal(err)
	}
	return s.Provisioner.(*driver) //nolint:forcetypeassert // it is this package's
}

// up launches a cluster and records it.
func up(t *testing.T, d *driver, spec cloud.ClusterSpec, p cloud.Placement) cloud.RunConfig {
	t.Helper()
	spec.Ref.Region = p.Offer.Region
	cfg, err := d.Bootstrap(t.Context(), spec, p)
	if err != nil {
		t.Fatal(err)
	}
	record, err := d.Run(t.Context(), spec.Ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ref := spec.Ref
	ref.Instances = record.Created
	if err := d.Wait(t.Context(), ref, cloud.StateRunning); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Describe(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func down(t *testing.T, d *driver, ref cloud.ClusterRef) {
	t.Helper()
	if err := errors.Join(d.Terminate(t.Context(), ref), d.CleanupPorts(t.Context(), ref)); err != nil {
		t.Fatal(err)
	}
}

// TestCallsOfALife counts the calls of one launch, one refresh and one destroy, and
// that none of them was too early for Lambda.
func TestCallsOfALife(t *testing.T) {
	for nodes, most := range map[int][3]int{1: {60, 1, 40}, 3: {75, 1, 55}} {
		bubble(t, nil, func(t *testing.T, a account, d *driver) {
			before := 0
			calls := func() int { n := a.Calls("*") - before; before += n; return n }
			calls()
			began := time.Now()
			up(t, d, testSpec(nodes), at("gpu_1x_a10", "us-east-1", "x86_64", nodes))
			took, launch := time.Since(began), calls()
			if _, err := d.Query(t.Context(), testRef); err != nil {
				t.Fatal(err)
			}
			refresh := calls()
			began = time.Now()
			down(t, d, testRef)
			destroy := calls()
			t.Logf("%d machines: a launch makes %d calls in %s, a refresh %d, a destroy %d in %s", nodes, launch, took, refresh, destroy, time.Since(began))
			if each := d.Capabilities.LaunchEvery; d.launching.Pace.Every != each || took < time.Duration(nodes-1)*each {
				t.Errorf("the broker is told of a launch every %s", each)
			}
			if launch > most[0] || refresh > most[1] || destroy > most[2] {
				t.Errorf("%d machines: a launch makes %d calls, a refresh %d, a destroy %d", nodes, launch, refresh, destroy)
			}
			for _, c := range a.Log() {
				if c.Status == http.StatusTooManyRequests {
					t.Errorf("%s was too early", c.Name)
				}
			}
		})
	}
}

// TestRoomIsAskedFirst: where Lambda says it has none nothing is made, and what it
// says is told; a cluster that is there needs none.
func TestRoomIsAskedFirst(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		a.Fill("gpu_1x_a10", "us-east-1")
		_, err := d.Bootstrap(t.Context(), testSpec(1), at("gpu_1x_a10", "us-east-1", "x86_64", 1))
		want := "Lambda has no gpu_1x_a10 free in us-east-1, it says, but in europe-central-1, us-south-1, us-west-2"
		if err == nil || err.Error() != want || d.Classify(err) != (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeRegion}) {
			t.Errorf("the error is %v", err)
		}
		up(t, d, testSpec(1), at("gpu_1x_a10", "us-west-2", "x86_64", 1))
		a.Fill("gpu_1x_a10", "*")
		_, err = d.Bootstrap(t.Context(), testSpec(1), at("gpu_1x_a10", "us-east-1", "x86_64", 1))
		if err == nil || !strings.Contains(err.Error(), "free in any region") || d.Classify(err) != (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeCloud}) {
			t.Errorf("the error is %v", err)
		}
		spec := testSpec(1)
		spec.Ref.Region = "us-west-2"
		if _, err := d.Bootstrap(t.Context(), spec, at("gpu_1x_a10", "us-west-2", "x86_64", 1)); err != nil {
			t.Errorf("a cluster that is there: %v", err)
		}
		if n := a.Calls(lambdafake.CallLaunch); n != 1 || len(a.Keys()) != 1 || len(a.Rulesets()) != 1 {
			t.Errorf("there were %d launches, with %d keys and %d rulesets", n, len(a.Keys()), len(a.Rulesets()))
		}
	})
}

// TestACloudWithoutTags: where Lambda keeps no tags its machines are known by the
// names that they have for life, in another session, too.
func TestACloudWithoutTags(t *testing.T) {
	bubble(t, func(o *lambdafake.Options) { o.DropTags = true }, func(t *testing.T, a account, d *driver) {
		up(t, d, testSpec(2), at("gpu_1x_a10", "us-east-1", "x86_64", 2))
		other := a.session(t)
		got, err := other.Query(t.Context(), cloud.ClusterRef{Owner: testRef.Owner, Cloud: Name})
		if err != nil || len(got) != 2 {
			t.Fatalf("another session sees %v, %v", got, err)
		}
		for rank, in := range got {
			if in.Identity != testSpec(2).Nodes[rank].Identity || !in.Committed {
				t.Errorf("rank %d is seen as %+v, recorded %t", rank, in.Identity, in.Committed)
			}
		}
		down(t, other, testRef)
		if n := len(a.Machines()); n != 0 {
			t.Errorf("%d machines are left", n)
		}
	})
}

// TestDeadlineWithoutTags: where Lambda keeps no tags a machine that no state holds
// shows when its end is due all the same, so that others find and remove it.
func TestDeadlineWithoutTags(t *testing.T) {
	for _, dropped := range []bool{true, false} {
		bubble(t, func(o *lambdafake.Options) { o.DropTags = dropped }, func(t *testing.T, a account, d *driver) {
			spec := testSpec(1)
			spec.Deadline = time.Now().Add(90*time.Minute + time.Second).UTC().Truncate(time.Second)
			cfg, err := d.Bootstrap(t.Context(), spec, at("gpu_1x_a10", "us-east-1", "x86_64", 1))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Run(t.Context(), testRef, cfg); err != nil {
				t.Fatal(err)
			}
			got, err := a.session(t).Query(t.Context(), cloud.ClusterRef{Owner: testRef.Owner, Cloud: Name})
			if err != nil || len(got) != 1 || got[0].Committed {
				t.Fatalf("the machine is %+v, %v", got, err)
			}
			late := got[0].Deadline.Sub(spec.Deadline)
			if late < 0 || late >= time.Minute || !dropped && late != 0 {
				t.Errorf("tags dropped %t: its end is %s, want %s", dropped, got[0].Deadline, spec.Deadline)
			}
			if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err != nil {
				t.Fatal(err)
			}
			if err := d.Commit(t.Context(), testRef); err != nil {
				t.Fatal(err)
			}
			down(t, d, testRef)
		})
	}
	far := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	long := cloud.Identity{Owner: testRef.Owner, Cluster: strings.Repeat("c", 63), Generation: testRef.Generation, Rank: 1 << 20}
	if name := nameOf(long) + mark(far); len(name) > maxName {
		t.Errorf("%q is too long", name)
	}
}

// TestWhatALaunchSays: tags that say all, a name that says that it is not recorded,
// the image of its processor, one key and one ruleset; and another name once it is.
func TestWhatALaunchSays(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		a.AddKey("somebody's laptop")
		spec := testSpec(1)
		spec.Deadline = time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		p := at("gpu_1x_gh200", "us-west-2", "arm64", 1)
		up(t, d, spec, p)
		m := a.Machines()[0]
		name := spec.Nodes[0].Identity.Name(53)
		if m.Order.Name != name+mark(spec.Deadline) || m.Name != name || m.Hostname != name || m.Order.Image.ID != lambdafake.StackArm || len(m.Rulesets) != 1 {
			t.Errorf("the machine is %+v", m)
		}
		if want := testRef.FullName(64); !slices.Equal(m.Keys, []string{want}) || len(a.Keys()) != 2 {
			t.Errorf("its key is %v, want %s; the account has %v", m.Keys, want, a.Keys())
		}
		anywhere := testRef
		anywhere.Region = ""
		got, err := d.Query(t.Context(), anywhere)
		if err != nil || len(got) != 1 || got[0].Labels["Team"] != "weather" || got[0].HostKey != spec.Nodes[0].HostKey || got[0].CreatedAt.IsZero() || !got[0].Deadline.IsZero() {
			t.Errorf("the machine is read as %+v, %v", got, err)
		}
		// Who renames a machine by hand does it no harm.
		a.Edit(m.ID, func(m *lambdafake.Machine) { m.Name = "my pet" })
		if got, err := d.Query(t.Context(), anywhere); err != nil || !got[0].Committed {
			t.Errorf("a machine with another name is %+v, %v", got, err)
		}
		down(t, d, anywhere)
		if k := a.Keys(); len(k) != 1 || k[0].Name != "somebody's laptop" {
			t.Errorf("the account's keys are %v", k)
		}
	})
}

// TestWithoutRules: in the region where none apply none are made, and ports are no error.
func TestWithoutRules(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		cfg := up(t, d, testSpec(2), at("gpu_1x_a6000", unguarded, "x86_64", 2))
		ref := cfg.Spec.Ref
		drift, err := d.PortDrift(t.Context(), ref, nil, nil)
		if n := len(a.Rulesets()); n != 0 || err != nil || drift != nil || d.OpenPorts(t.Context(), ref, cfg, nil) != nil {
			t.Errorf("there are %d rulesets; drift %v, %v", n, drift, err)
		}
		got, err := d.Query(t.Context(), ref)
		if err != nil || len(got) != 2 || got[0].InternalIP == "" || got[0].InternalIP != got[0].ExternalIP {
			t.Errorf("without addresses inside the machines are %+v, %v", got, err)
		}
		down(t, d, ref)
	})
}

// insiders are the sources from which everything is let in.
func (a account) insiders() (sources []string) {
	for _, r := range a.Rulesets() {
		for _, rule := range r.Rules {
			if rule.Protocol == everything {
				sources = append(sources, rule.Source)
			}
		}
	}
	return sources
}

// TestRulesByHand: a rule that lets in everything is drift, whoever it is for, and is
// taken away when ports are set; those of the machines stay.
func TestRulesByHand(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		spec := testSpec(2)
		cfg := up(t, d, spec, at("gpu_1x_a10", "us-east-1", "x86_64", 2))
		drift := func() []string {
			t.Helper()
			out, err := d.PortDrift(t.Context(), testRef, spec.AllowedCIDRs, nil)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		machines := a.insiders()
		if found := drift(); len(machines) != 2 || len(found) != 0 {
			t.Fatalf("%v are let in, the drift is %q", machines, found)
		}
		for source, want := range map[string]string{
			"0.0.0.0/0":       "all 1 65535 from 0.0.0.0/0 is open",
			"203.0.113.9":     "all 1 65535 from 203.0.113.9/32 is open",
			"198.51.100.1/32": "everything from 198.51.100.1/32 is open, which is no machine of the cluster", // with our words
		} {
			own, err := d.rulesets(t.Context(), testRef)
			if err != nil || len(own) != 1 {
				t.Fatal(own, err)
			}
			more := rule{Protocol: everything, Ports: []int{1, 65535}, Source: source, Description: "a test"}
			if strings.Contains(want, "machine") {
				more.Description = own[0].whose.FullName(maxDescription)
			}
			if err := d.setRules(t.Context(), own[0], append(own[0].Rules, more)); err != nil {
				t.Fatal(err)
			}
			if found := drift(); !slices.Equal(found, []string{want}) {
				t.Errorf("the drift is %q, want %q", found, want)
			}
			// The next launch step closes nothing, and does not take it for its own.
			if _, err := d.Bootstrap(t.Context(), cfg.Spec, cfg.Placement); err != nil {
				t.Fatal(err)
			}
			if found := drift(); !slices.Equal(found, []string{want}) {
				t.Errorf("afterwards the drift is %q, want %q", found, want)
			}
			if err := d.OpenPorts(t.Context(), testRef, cfg, nil); err != nil {
				t.Fatal(err)
			}
			if left, found := a.insiders(), drift(); !slices.Equal(left, machines) || len(found) != 0 {
				t.Errorf("%v are let in, the drift is %q", left, found)
			}
		}
		down(t, d, testRef)
	})
}

// TestRulesShrink: the address of a machine that was removed is not let in any more.
func TestRulesShrink(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		up(t, d, testSpec(3), at("gpu_1x_a10", "us-east-1", "x86_64", 3))
		for _, want := range []int{2, 0} { // one alone has nobody to talk to
			ref, last := testRef, a.Machines()
			ref.Instances = []string{last[len(last)-1].ID}
			if err := d.Terminate(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			if left := a.insiders(); len(left) != want || slices.Contains(left, last[len(last)-1].PrivateIP+"/32") {
				t.Errorf("%v are let in, want %d machines", left, want)
			}
		}
		down(t, d, testRef)
	})
}

// TestBigMachinesBoot: 25 minutes are waited for.
func TestBigMachinesBoot(t *testing.T) {
	bubble(t, nil, func(t *testing.T, _ account, d *driver) {
		began := time.Now()
		up(t, d, testSpec(1), at("gpu_8x_h100_sxm5", "us-east-1", "x86_64", 1))
		if took := time.Since(began); took < 25*time.Minute || took > 30*time.Minute {
			t.Errorf("it took %s", took)
		}
		if usual := 15 * time.Minute; d.Capabilities.BootTime("gpu_8x_h100_sxm5", usual) < 30*time.Minute || d.Capabilities.BootTime("gpu_1x_a10", usual) != usual {
			t.Error("the broker would not wait for it, or too long for others")
		}
		down(t, d, testRef)
	})
}

// TestStatuses: what Lambda's words mean.
func TestStatuses(t *testing.T) {
	for status, want := range map[string]cloud.State{
		"booting": cloud.StatePending, "active": cloud.StateRunning, "unhealthy": cloud.StateUnknown, "terminating": cloud.StateTerminating,
		"terminated": cloud.StateTerminated, "preempted": cloud.StateTerminated, "levitating": cloud.StateUnknown,
	} {
		m := newDriver(fleet.REST{}, nil).machine(instance{ID: "a", Status: status}, testRef)
		if m.State != want || (m.Ending == cloud.EndedPreempted) != (status == "preempted") || (m.Reason != "") != (status == "unhealthy" || status == "preempted") {
			t.Errorf("%s is %s, %q, %q", status, m.State, m.Reason, m.Ending)
		}
	}
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		spec := testSpec(1)
		cfg, err := d.Bootstrap(t.Context(), spec, at("gpu_1x_a10", "us-east-1", "x86_64", 1))
		if err != nil {
			t.Fatal(err)
		}
		record, err := d.Run(t.Context(), testRef, cfg)
		if err != nil {
			t.Fatal(err)
		}
		a.Edit(record.Created[0], func(m *lambdafake.Machine) { m.Status = "unhealthy" })
		began := time.Now()
		if err := d.Wait(t.Context(), testRef, cloud.StateRunning); err == nil || !strings.Contains(err.Error(), "unhealthy") || time.Since(began) > 5*time.Minute {
			t.Errorf("the wait for an unhealthy machine ends with %v after %s", err, time.Since(began))
		}
		down(t, d, testRef)
	})
}

// TestPreempted: a machine that Lambda took back is not gone as long as Lambda says
// that it can be terminated, and is terminated once.
func TestPreempted(t *testing.T) {
	for _, kept := range []bool{false, true} {
		bubble(t, func(o *lambdafake.Options) { o.KeepPreempted = kept }, func(t *testing.T, a account, d *driver) {
			up(t, d, testSpec(1), at("gpu_1x_a10", "us-east-1", "x86_64", 1))
			a.Edit(a.Machines()[0].ID, func(m *lambdafake.Machine) { m.Status = statusPreempted })
			got, err := d.Query(t.Context(), testRef)
			if err != nil || (len(got) > 0) != kept || kept && (got[0].State != cloud.StateUnknown || got[0].Ending != cloud.EndedPreempted) {
				t.Errorf("kept %t: the machine is %+v, %v", kept, got, err)
			}
			err = d.Wait(t.Context(), testRef, cloud.StateRunning)
			if kept && d.Classify(err) != (cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeRegion}) {
				t.Errorf("the wait for it ends with %v", err)
			}
			down(t, d, testRef)
			if n := len(a.Machines()); n != 0 || (a.Calls(lambdafake.CallTerminate) == 1) != kept {
				t.Errorf("kept %t: %d are left after %d calls", kept, n, a.Calls(lambdafake.CallTerminate))
			}
		})
	}
}

// TestTerminate: a machine that cannot be terminated yet is not asked to, and one
// that goes already is no trouble.
func TestTerminate(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		up(t, d, testSpec(1), at("gpu_1x_a10", "us-east-1", "x86_64", 1))
		m := a.Machines()[0]
		one := machine{Instance: cloud.Instance{ID: m.ID}}
		blocked := one
		blocked.Native.blocked = "vm-has-not-launched"
		for _, m := range []machine{blocked, one, one, {Instance: cloud.Instance{ID: "0"}}} {
			if err := d.DeleteMachines(t.Context(), []machine{m}); err != nil {
				t.Errorf("terminate %+v: %v", m, err)
			}
		}
		if n := a.Calls(lambdafake.CallTerminate); n != 3 {
			t.Errorf("there were %d calls, want 3", n)
		}
		down(t, d, testRef)
	})
}

// TestRefusals: what Lambda cannot do is told before anything is made.
func TestRefusals(t *testing.T) {
	for name, change := range map[string]func(*cloud.ClusterSpec){
		"IPv4": func(s *cloud.ClusterSpec) { s.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")} },
		"of more than 128": func(s *cloud.ClusterSpec) {
			s.Labels = map[string]string{strings.Repeat("l", 54): strings.Repeat("v", 129)}
		},
		"55":           func(s *cloud.ClusterSpec) { s.Labels = map[string]string{strings.Repeat("L", 30): "v"} },
		"file_systems": func(s *cloud.ClusterSpec) { s.NodeConfig = map[string]any{"subnet": "x"} },
		"gpu-base":     func(s *cloud.ClusterSpec) { s.Image = "img-none" },
	} {
		bubble(t, nil, func(t *testing.T, a account, d *driver) {
			spec := testSpec(1)
			change(&spec)
			_, err := d.Bootstrap(t.Context(), spec, at("gpu_1x_a10", "us-east-1", "x86_64", 1))
			if err == nil || !strings.Contains(err.Error(), name) || d.Classify(err).Kind != cloud.KindConfig || len(a.Keys())+len(a.Rulesets()) > 0 {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestCredentials: an option, else the file of SkyPilot's users; no error says the key.
func TestCredentials(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	f := New()
	none := cloud.Credentials{}
	if why := f.MissingCredentials(none); !strings.Contains(why, "LAMBDA_API_KEY") || !strings.Contains(why, "~/.lambda_cloud/lambda_keys") {
		t.Errorf("without a key the reason is %q", why)
	}
	if _, err := f.Open(t.Context(), none); err == nil || table().Classify(err).Kind != cloud.KindAuth {
		t.Errorf("without a key: %v", err)
	}
	if err := os.Mkdir(filepath.Join(home, ".lambda_cloud"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".lambda_cloud", "lambda_keys"), []byte("# mine\napi_key = secret_from_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, creds := range map[string]cloud.Credentials{"secret_from_file": none, "secret_set": {Values: map[string]string{optionKey: "secret_set"}}} {
		if key, err := findKey(creds); key != want || err != nil || f.MissingCredentials(creds) != "" {
			t.Errorf("the key is %q, %v, want %q", key, err, want)
		}
	}
	a := newAccount(t, lambdafake.Options{})
	a.Inject(fakekit.Fault{Call: lambdafake.CallTypes, Refuse: fakekit.Refusef(http.StatusForbidden, "global/account-inactive", "the key %s may not", lambdafake.Key)})
	_, err := a.Factory().Open(context.Background(), a.Credentials())
	if err == nil || strings.Contains(err.Error(), lambdafake.Key) || !strings.Contains(err.Error(), advice) {
		t.Errorf("a key that may not: %v", err)
	}
}
