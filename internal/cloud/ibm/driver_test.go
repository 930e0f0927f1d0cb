// SPDX-License-Identifier: MPL-2.0

package ibm

import (
	"errors"
	"fmt"
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
	"github.com/skybroker/terraform-provider-sky/internal/cloud/ibm/ibmfake"
)

var testRef = cloud.ClusterRef{Owner: "sky-0123456789abcdef", Cluster: "c", Generation: "0123456789ab", Cloud: Name, Region: "us-south", Zone: "us-south-1"}

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

// bubble runs f on injected time, on an IBM Cloud of its own.
func bubble(t *testing.T, change func(*ibmfake.Options), f func(*testing.T, account, *driver)) {
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

// run launches the machines of a spec, and waits for them unless that fails.
func run(t *testing.T, d *driver, spec cloud.ClusterSpec) (cloud.RunRecord, error) {
	t.Helper()
	cfg, err := d.Bootstrap(t.Context(), spec, account{}.Placement(len(spec.Nodes), cloud.OnDemand))
	if err != nil {
		return cloud.RunRecord{}, err
	}
	record, err := d.Run(t.Context(), spec.Ref, cfg)
	if err != nil {
		return record, err
	}
	return record, d.Wait(t.Context(), spec.Ref, cloud.StateRunning)
}

func up(t *testing.T, d *driver, spec cloud.ClusterSpec) cloud.RunRecord {
	t.Helper()
	record, err := run(t, d, spec)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func down(t *testing.T, a account, d *driver) {
	t.Helper()
	if err := errors.Join(d.Terminate(t.Context(), testRef), d.CleanupPorts(t.Context(), testRef)); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Machines()) + len(a.Volumes()) + len(a.Addresses()) + len(a.SecurityGroups()) + len(a.Interfaces()); n > 0 {
		t.Errorf("left are %+v, %+v, %+v, %+v, %+v", a.Machines(), a.Volumes(), a.Addresses(), a.SecurityGroups(), a.Interfaces())
	}
}

// TestAddressIsRepaired: a machine that lost its address gets one by the next Run,
// and one that was made and not tied is used.
func TestAddressIsRepaired(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		up(t, d, testSpec(2))
		for _, address := range a.Addresses() {
			a.RemoveAddress(address.ID)
		}
		free := a.AddAddress(addressName(testSpec(2).Nodes[1].Identity), "us-south-1")
		record := up(t, d, testSpec(2))
		if all := a.Addresses(); len(record.Adopted) != 2 || len(all) != 2 || all[0].NIC == "" || all[1].NIC == "" || all[0].ID != free {
			t.Errorf("the record is %+v, the addresses are %+v", record, all)
		}
		down(t, a, d)
	})
}

// TestAddressOfADeadMachine: an address outlives its machine, is found by who looks
// for all that is left, also of a cluster with a long name, and goes with the rest.
func TestAddressOfADeadMachine(t *testing.T) {
	for _, name := range []string{"c", strings.Repeat("Long.Name_", 6)} {
		bubble(t, nil, func(t *testing.T, a account, d *driver) {
			spec := testSpec(1)
			spec.Ref.Cluster, spec.Nodes[0].Identity.Cluster = name, name
			record := up(t, d, spec)
			a.Kill(record.Created[0])
			if n := len(a.Addresses()); n != 1 {
				t.Fatalf("there are %d addresses", n)
			}
			// Another computer, which knows nothing, sees it and whose it is.
			other := a.session(t)
			found, err := other.Survey(t.Context(), cloud.ClusterRef{Cloud: Name})
			found = slices.DeleteFunc(found, func(f cloud.Thing) bool { return f.Kind == cloud.ThingFirewall })
			if err != nil || len(found) != 1 || found[0].Kind != cloud.ThingAddress || found[0].Ref.Owner != testRef.Owner || found[0].Ref.Generation != testRef.Generation {
				t.Fatalf("left are %+v, %v", found, err)
			}
			if name == "c" && found[0].Ref.Cluster != name {
				t.Errorf("it is of cluster %q", found[0].Ref.Cluster)
			}
			if err := other.Terminate(t.Context(), found[0].Ref); err != nil {
				t.Fatal(err)
			}
			if n := len(a.Addresses()); n != 0 {
				t.Errorf("left are %d addresses", n)
			}
		})
	}
}

// TestAddressOfOneNode: a node that is removed takes its own address with it.
func TestAddressOfOneNode(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		record := up(t, d, testSpec(3))
		ref := testRef
		ref.Instances = record.Created[1:2]
		if err := d.Terminate(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		if all := a.Addresses(); len(all) != 2 || all[0].NIC == "" || all[1].NIC == "" || len(a.Volumes()) != 2 {
			t.Errorf("the addresses are %+v", all)
		}
		down(t, a, d)
	})
}

// TestNoAddressLeft: an account that may have no more addresses in the zone is told
// so, once, and the machines that were made can be removed.
func TestNoAddressLeft(t *testing.T) {
	bubble(t, func(o *ibmfake.Options) { o.AddressQuota = 1 }, func(t *testing.T, a account, d *driver) {
		record, err := run(t, d, testSpec(2))
		if d.Classify(err) != (cloud.Fault{Kind: cloud.KindQuota, Scope: cloud.ScopeZone}) || len(record.Created) != 2 || !strings.Contains(err.Error(), "floating address of machine") {
			t.Errorf("the record is %+v, the error %v", record, err)
		}
		if n := a.Calls(ibmfake.CallAddress); n > 2 {
			t.Errorf("%d addresses were asked for", n)
		}
		down(t, a, d)
	})
}

// TestAddressIsNotMadeTwice: where the answer to its making is lost, or it comes after
// a refusal, there is one in the end.
func TestAddressIsNotMadeTwice(t *testing.T) {
	for name, fault := range map[string]fakekit.Fault{
		"answer lost":     {Call: ibmfake.CallAddress, Lose: true, Times: 1},
		"made, refused":   {Call: ibmfake.CallAddress, Refuse: fakekit.Refusef(500, "internal_error", "m"), Late: true, Times: 1},
		"refused, thrice": {Call: ibmfake.CallAddress, Refuse: fakekit.Refusef(400, "bad_field", "not yet"), Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, a account, d *driver) {
				a.Inject(fault)
				up(t, d, testSpec(1))
				if all := a.Addresses(); len(all) != 1 || all[0].NIC == "" {
					t.Errorf("the addresses are %+v", all)
				}
				down(t, a, d)
			})
		})
	}
}

// TestLaunchFailsLater: what IBM says of a machine after it took the launch is the
// error of the wait, with its meaning, and all of it is removed.
func TestLaunchFailsLater(t *testing.T) {
	for _, tt := range []struct {
		status, code string
		want         cloud.Fault
	}{
		{"stopped", "cannot_start_capacity", cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{"stopped", "cannot_start_storage", cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{"failed", "cannot_start_compute", cloud.Fault{Kind: cloud.KindCapacity, Scope: cloud.ScopeZone}},
		{"failed", "encryption_key_deleted", cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeCloud}},
	} {
		t.Run(tt.status+" "+tt.code, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, a account, d *driver) {
				a.Inject(fakekit.Fault{Call: ibmfake.CallCreate, After: a.Fail(tt.status, ibmfake.Reason{Code: tt.code, Message: "The reason."})})
				_, err := run(t, d, testSpec(1))
				if err == nil || d.Classify(err) != tt.want || !strings.Contains(err.Error(), tt.code+": The reason.") {
					t.Errorf("the error is %v, which means %v", err, d.Classify(err))
				}
				if n := a.Calls(ibmfake.CallAddress); n > 0 {
					t.Errorf("%d addresses were asked for", n)
				}
				down(t, a, d)
			})
		})
	}
}

// TestLeftOfALaunch: a disk and an interface of a launch that failed halfway are
// found, the disk as what is paid for, and go with the cluster.
func TestLeftOfALaunch(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		record := up(t, d, testSpec(1))
		a.Strand(record.Created[0])
		found, err := a.session(t).Survey(t.Context(), cloud.ClusterRef{Cloud: Name, Owner: testRef.Owner})
		kinds := map[cloud.ThingKind]int{}
		for _, f := range found {
			kinds[f.Kind]++
		}
		if err != nil || kinds[cloud.ThingDisk] != 1 || kinds[cloud.ThingAddress] != 1 || kinds[cloud.ThingMachine] != 0 {
			t.Errorf("left are %+v, %v", found, err)
		}
		a.AddVolume("somebodys", "us-south-1", []string{"sky-owner:somebody-else"})
		if err := errors.Join(d.Terminate(t.Context(), testRef), d.CleanupPorts(t.Context(), testRef)); err != nil {
			t.Fatal(err)
		}
		if v := a.Volumes(); len(v) != 1 || v[0].Name != "somebodys" || len(a.Addresses())+len(a.SecurityGroups())+len(a.Interfaces()) != 0 {
			t.Errorf("left are %+v, %+v, %+v", v, a.SecurityGroups(), a.Interfaces())
		}
	})
}

// TestNameIsTaken: a stranger's machine with the name of ours is left alone.
func TestNameIsTaken(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		id := a.Add(testSpec(1).Nodes[0].Identity.Name(maxName), "us-south", "us-south-2", "bx2-2x8", []string{"mine"})
		_, err := run(t, d, testSpec(1))
		if d.Classify(err) != (cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeRegion}) || !strings.Contains(err.Error(), "taken by a machine that is not this cluster's") {
			t.Errorf("the error is %v", err)
		}
		if err := d.Terminate(t.Context(), testRef); err != nil {
			t.Fatal(err)
		}
		if all := a.Machines(); len(all) != 1 || all[0].ID != id || all[0].Status != "running" {
			t.Errorf("the machines are %+v", all)
		}
	})
}

// TestTokens: one token serves until four fifths of its time, a session that lives
// longer renews it, and one that was revoked is renewed at once.
func TestTokens(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		query := func() {
			t.Helper()
			if _, err := d.Query(t.Context(), testRef); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []struct {
			pass time.Duration
			want int
		}{{0, 1}, {47 * time.Minute, 1}, {2 * time.Minute, 2}, {20 * time.Hour, 3}} {
			time.Sleep(step.pass) //nolint:forbidigo // injected time
			query()
			if n := a.Tokens(); n != step.want {
				t.Errorf("after %s more there were %d tokens, want %d", step.pass, n, step.want)
			}
		}
		a.Revoke()
		query()
		a.Inject(fakekit.Fault{Call: ibmfake.CallToken, Refuse: fakekit.Refusef(503, "BXNIM0513E", "m"), Times: 2})
		a.Revoke()
		query()
	})
}

// TestNoSecretIsTold: neither the key nor a token is in an error, whatever the cloud
// quotes.
func TestNoSecretIsTold(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		a.Inject(fakekit.Fault{Call: ibmfake.CallList, Answer: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"errors":[{"code":"odd","message":"what is %s"}]}`, r.Header.Get("Authorization"))
		}})
		_, err := d.Query(t.Context(), testRef)
		if err == nil || !strings.Contains(err.Error(), "what is Bearer (the token)") {
			t.Errorf("the error is %v", err)
		}
		a.Inject(fakekit.Fault{Call: ibmfake.CallToken, Refuse: fakekit.Refusef(400, "BXNIM0415E", "what is %s", ibmfake.Key)})
		_, err = a.Factory().Open(t.Context(), a.Credentials())
		if err == nil || strings.Contains(err.Error(), ibmfake.Key) || !strings.Contains(err.Error(), "what is (the API key)") || !strings.Contains(err.Error(), "IC_API_KEY") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestSession: the account is the one that pays, whoever's key it is.
func TestSession(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, _ *driver) {
		for _, key := range []string{ibmfake.Key, ibmfake.OtherKey} {
			s, err := a.Factory().Open(t.Context(), a.with(key))
			if err != nil || s.Account != ibmfake.Account || s.Identity != "me@example.com" {
				t.Errorf("the session is of %q, as %q, %v", s.Account, s.Identity, err)
			}
		}
	})
}

// TestCredentials: the key of the settings, else that of SkyPilot's file.
func TestCredentials(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	none := cloud.Credentials{Values: map[string]string{}}
	if why := New().MissingCredentials(none); !strings.Contains(why, "IC_API_KEY") || !strings.Contains(why, "credentials.yaml") {
		t.Errorf("without a key it says %q", why)
	}
	path := filepath.Join(home, ".ibm", "credentials.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]credentials{
		"iam_api_key: abc\nresource_group_id: def # mine\n":                 {"abc", "def"},
		"# of IBM\nresource_group_id: 'd'\niam_api_key: \"a b#c\" # mine\n": {"a b#c", "d"},
		"iam_api_key:\n":                       {},
		"image_id:\n  iam_api_key: not-this\n": {},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := findKey(none)
		if got != want || (err != nil) != (want.key == "") {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
	if got, err := findKey(cloud.Credentials{Values: map[string]string{optionKey: " mine "}}); err != nil || got != (credentials{key: "mine"}) {
		t.Errorf("of settings it is %+v, %v", got, err)
	}
}

// TestNames: what a name holds is read back, and names are such as IBM takes.
func TestNames(t *testing.T) {
	for _, cluster := range []string{"c", "train", "-a--b-", "Zebra.Z_z", strings.Repeat("x", 63), strings.Repeat("z", 63), strings.Repeat("Z.", 31), "ends-in-z"} {
		ref := testRef
		ref.Cluster = cluster
		id := cloud.Identity{Owner: ref.Owner, Cluster: cluster, Generation: ref.Generation, Attempt: 12, Rank: 345}
		for _, name := range []string{clusterName(ref), addressName(id)} {
			if !ibmfake.IsName(name) {
				t.Errorf("%q is no name", name)
			}
			whose, machine, ok := named(name, ref)
			if !ok || whose.Owner != ref.Owner || whose.Cluster != cluster || whose.Generation != ref.Generation || (machine != nil) != (name == addressName(id)) || (machine != nil && *machine != id) {
				t.Errorf("%q of cluster %q is read as %+v, %+v, %t", name, cluster, whose, machine, ok)
			}
			// Who does not know the cluster reads a name of it by which it is found.
			if whose, _, _ = named(name, cloud.ClusterRef{}); whose.Cluster != cluster {
				if again, _, _ := named(name, whose); again.Cluster != whose.Cluster {
					t.Errorf("%q is read as %+v and then as %+v", name, whose, again)
				}
			}
		}
		near := ref
		near.Cluster += "2"
		if clusterName(near) == clusterName(ref) {
			t.Errorf("%q and %q have one name", near.Cluster, cluster)
		}
	}
}

// TestTags: what tags hold is read back although IBM knows no case.
func TestTags(t *testing.T) {
	all := map[string]string{"Team": "Weather & Climate", cloud.TagHostKey: "ssh-ed25519 " + strings.Repeat("aB/+", 40), "a:b": "c:d_e", "empty": "", "ü": strings.Repeat("ü", 60)}
	words, err := tagWords(all)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range words {
		if !ibmfake.IsTag(w) {
			t.Errorf("%q is no tag", w)
		}
		words[i] = strings.ToLower(w)
	}
	got := tagsOf(append(words, "somebodys"))
	if len(got) != len(all) {
		t.Errorf("read are %q", got)
	}
	for k, v := range all {
		if got[k] != v {
			t.Errorf("%s is read as %q, want %q", k, got[k], v)
		}
	}
	if _, err := tagWords(map[string]string{strings.Repeat("K", 40): "v"}); err == nil {
		t.Error("a key that does not fit is taken")
	}
}

// TestLabelsOfSomebody: a change of labels keeps tags that have no value.
func TestLabelsOfSomebody(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		up(t, d, testSpec(1))
		a.EditVolume(a.Volumes()[0].ID, func(v *ibmfake.Volume) { v.Tags = append(v.Tags, "keep") })
		spec := testSpec(1)
		spec.Labels = map[string]string{"Team": "Climate"}
		up(t, d, spec)
		words := a.Volumes()[0].Tags
		if held := tagsOf(words); held["Team"] != "Climate" || !slices.Contains(words, "keep") || held[cloud.TagOwner] != testRef.Owner {
			t.Errorf("the tags are %q", words)
		}
		down(t, a, d)
	})
}

// TestBootstrapRefuses: what IBM Cloud cannot make is told before anything is asked of it.
func TestBootstrapRefuses(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		for want, change := range map[string]func(*cloud.ClusterSpec, *cloud.Placement){
			"250 at most": func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.DiskGiB = 251 },
			"needs 100":   func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.DiskGiB = 20 },
			"is not IPv4": func(s *cloud.ClusterSpec, _ *cloud.Placement) {
				s.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
			},
			"names no zone":           func(_ *cloud.ClusterSpec, p *cloud.Placement) { p.Offer.Zone = "" },
			"no price of spot":        func(_ *cloud.ClusterSpec, p *cloud.Placement) { p.Offer.Market = cloud.Spot },
			"IBM Cloud has no region": func(_ *cloud.ClusterSpec, p *cloud.Placement) { p.Offer.Region = "mars" },
			`no "nic" on IBM Cloud`:   func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"nic": "x"} },
			`no VPC "theirs"`:         func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"vpc": "theirs"} },
			"is obsolete":             func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Image = ibmfake.ObsoleteName },
			"keys on IBM Cloud have": func(s *cloud.ClusterSpec, _ *cloud.Placement) {
				s.Labels = map[string]string{strings.Repeat("K", 40): "v"}
			},
		} {
			spec, at := testSpec(1), account{}.Placement(1, cloud.OnDemand)
			change(&spec, &at)
			if _, err := d.Bootstrap(t.Context(), spec, at); err == nil || !strings.Contains(err.Error(), want) || d.Classify(err).Kind != cloud.KindConfig {
				t.Errorf("the error is %v, want %q", err, want)
			}
		}
		if n := len(a.Machines()); n > 0 {
			t.Errorf("there are %d machines", n)
		}
	})
}

// TestNetworkOfTheUser: machines go into the VPC that is named, with its subnet of the
// zone; where there is none, that is told and none is made.
func TestNetworkOfTheUser(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		a.Add("theirs", "us-south", "us-south-1", "bx2-2x8", nil)
		theirs := a.Networks()[0]
		d.vpc = theirs.Name
		up(t, d, testSpec(1))
		mine := a.Machines()[1]
		if mine.Order.VPC.ID != theirs.ID || len(a.Networks()) != 1 {
			t.Errorf("it is in %+v of %+v", mine.Order.VPC, a.Networks())
		}
		at := account{}.Placement(1, cloud.OnDemand)
		at.Offer.Zone = "us-south-2"
		_, err := d.Bootstrap(t.Context(), testSpec(1), at)
		if d.Classify(err) != (cloud.Fault{Kind: cloud.KindConfig, Scope: cloud.ScopeZone}) || !strings.Contains(err.Error(), "no subnet in us-south-2") {
			t.Errorf("the error is %v", err)
		}
		if err := errors.Join(d.Terminate(t.Context(), testRef), d.CleanupPorts(t.Context(), testRef)); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNetworkIsMadeOnce: sessions that launch at the same time share one network.
func TestNetworkIsMadeOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, _ *driver) {
		err := fleet.Each(4, []int{1, 2, 3, 4}, func(int) error {
			_, err := a.session(t).Bootstrap(t.Context(), testSpec(1), account{}.Placement(1, cloud.OnDemand))
			return err
		})
		if err != nil || len(a.Networks()) != 1 || len(a.Subnets()) != 1 || len(a.SecurityGroups()) != 1 {
			t.Errorf("there are %+v, %+v, %+v, %v", a.Networks(), a.Subnets(), a.SecurityGroups(), err)
		}
	})
}

// TestCallsOfALife counts the calls of one launch, one refresh and one destroy.
func TestCallsOfALife(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		before := 0
		calls := func() int { n := a.Calls("*") - before; before += n; return n }
		calls()
		up(t, d, testSpec(3))
		launch := calls()
		if _, err := d.Query(t.Context(), testRef); err != nil {
			t.Fatal(err)
		}
		refresh := calls()
		down(t, a, d)
		destroy := calls()
		t.Logf("3 machines: a launch makes %d calls, a refresh %d, a destroy %d", launch, refresh, destroy)
		if launch > 110 || refresh > 3 || destroy > 70 {
			t.Errorf("3 machines: a launch makes %d calls, a refresh %d, a destroy %d", launch, refresh, destroy)
		}
	})
}

// TestAddressesGoWithTheRules: of a cluster whose machines ended without us the addresses
// go with its rules; its disk stays, since somebody may have kept it for what is on it,
// and so does an address that somebody has given to something else.
func TestAddressesGoWithTheRules(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		record := up(t, d, testSpec(2))
		other := testSpec(1)
		other.Ref.Generation, other.Nodes[0].Identity.Generation = "fedcba987654", "fedcba987654"
		up(t, d, other)
		a.Strand(record.Created[0])
		a.Kill(record.Created[1])
		if err := d.CleanupPorts(t.Context(), testRef); err != nil {
			t.Fatal(err)
		}
		if len(a.Machines()) != 1 || len(a.Addresses()) != 1 || len(a.Volumes()) != 2 || len(a.SecurityGroups()) != 1 || a.Addresses()[0].NIC == "" {
			t.Errorf("left are %+v, %+v, %+v", a.Addresses(), a.Volumes(), a.SecurityGroups())
		}
	})
}

// TestVolumeComesLate: a machine whose disk is not made yet is known by its name to
// its own cluster: a lost answer makes no second one, in this session or another.
func TestVolumeComesLate(t *testing.T) {
	for _, another := range []bool{false, true} {
		bubble(t, nil, func(t *testing.T, a account, d *driver) {
			a.Inject(fakekit.Fault{Call: ibmfake.CallCreate, Lose: true, Times: 1, After: a.Provision(3 * time.Minute)})
			if _, err := run(t, d, testSpec(1)); d.Classify(err).Kind != cloud.KindTransient {
				t.Fatalf("the error is %v", err)
			}
			if another {
				d = a.session(t)
			}
			if found, err := d.Query(t.Context(), testRef); err != nil || len(found) != 1 || found[0].Identity != testSpec(1).Nodes[0].Identity {
				t.Errorf("found are %+v, %v", found, err)
			}
			if record := up(t, d, testSpec(1)); len(record.Adopted) != 1 || len(a.Machines()) != 1 {
				t.Errorf("the record is %+v of %d machines", record, len(a.Machines()))
			}
			time.Sleep(3 * time.Minute) //nolint:forbidigo // injected time
			down(t, a, d)
		})
	}
}

// TestTagsAreReadBack: a disk that did not keep its tags gets them again at once.
func TestTagsAreReadBack(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		a.Inject(fakekit.Fault{Call: ibmfake.CallCreate, Times: 1, After: a.DropTags()})
		up(t, d, testSpec(1))
		if id, ok := cloud.IdentityFromTags(tagsOf(a.Volumes()[0].Tags)); !ok || id != testSpec(1).Nodes[0].Identity {
			t.Errorf("the tags are %q", a.Volumes()[0].Tags)
		}
		down(t, a, d)
	})
}

// TestInterfaceOfSomebody: one that a user put behind the cluster's group stays.
func TestInterfaceOfSomebody(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a account, d *driver) {
		record := up(t, d, testSpec(1))
		a.AddInterface("reserved", a.SecurityGroups()[0].ID, "us-south")
		a.Strand(record.Created[0])
		err := d.RemoveThing(t.Context(), cloud.Thing{Kind: cloud.ThingFirewall, ID: a.SecurityGroups()[0].ID, Ref: testRef})
		if all := a.Interfaces(); d.Classify(err).Kind != cloud.KindTransient || len(all) != 1 || all[0].Name != "reserved" {
			t.Errorf("left are %+v, %v", all, err)
		}
		a.RemoveInterface("reserved")
		down(t, a, d)
	})
}

// TestLongOwner: an owner whose addresses nobody could find again is refused.
func TestLongOwner(t *testing.T) {
	spec := testSpec(1)
	spec.Ref.Owner = strings.Repeat("o", 40)
	if err := checkSpec(spec, account{}.Placement(1, cloud.OnDemand)); err == nil || !strings.Contains(err.Error(), "owner id") {
		t.Errorf("the error is %v", err)
	}
}
