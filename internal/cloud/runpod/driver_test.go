// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

// opened is a session on a fake, and the spec of a cluster there.
type opened struct {
	account
	t *testing.T
	cloud.Session
	spec cloud.ClusterSpec
	at   cloud.Placement
}

func open(t *testing.T) *opened {
	t.Helper()
	o := &opened{account: account{startFake(t, 0)}, t: t}
	var err error
	if o.Session, err = o.Factory().Open(t.Context(), o.Credentials()); err != nil {
		t.Fatal(err)
	}
	ref := cloud.ClusterRef{Owner: "o", Cluster: "c", Generation: "g", Cloud: Name, Region: "US"}
	o.at = o.Placement(1, cloud.OnDemand)
	o.spec = o.Spec(cloud.ClusterSpec{Ref: ref, Nodes: []cloud.NodeSpec{{Identity: cloud.Identity{Owner: "o", Cluster: "c", Generation: "g"}}}})
	return o
}

func (o *opened) run() error {
	cfg, err := o.Bootstrap(o.t.Context(), o.spec, o.at)
	if err == nil {
		_, err = o.Run(o.t.Context(), o.spec.Ref, cfg)
	}
	return err
}

// up launches and waits for the pod.
func (o *opened) up() error {
	if err := o.run(); err != nil {
		return err
	}
	ref := o.spec.Ref
	o.Locked(func() {
		for _, p := range o.pods.All() {
			ref.Instances = append(ref.Instances, p.ID)
		}
	})
	return o.Wait(o.t.Context(), ref, cloud.StateRunning)
}

// TestAttemptsEnd: a pod that does not get on ends the attempt, with the reason, and
// may be removed then.
func TestAttemptsEnd(t *testing.T) {
	capacity, unknown := cloud.KindCapacity, cloud.KindUnknown
	for name, tt := range map[string]struct {
		after func(*fakePod)
		says  string
		kind  cloud.Kind
	}{
		"no host":              {func(p *fakePod) { p.stays = statusProvisioning }, "RunPod found no host for it within 300ms", capacity},
		"image not pulled":     {func(p *fakePod) { p.stays = statusStarting }, "the image runpod/none:1 may be too large to be pulled in that time, not there, or not to be read without a login", unknown},
		"no ports":             {func(p *fakePod) { p.stays = statusRunning }, "mapped no port to its SSH server within 2s", unknown},
		"vanishes":             {func(p *fakePod) { p.goes = statusRunning }, "not found", unknown},
		"broken":               {func(p *fakePod) { p.Status = statusError }, "RunPod calls its container broken for good", unknown},
		"exited":               {func(p *fakePod) { p.Status = statusExited }, "is stopped and will not become running", unknown},
		"put into another one": {func(p *fakePod) { at := "EU-RO-1"; p.DataCenterID = &at }, "RunPod put it into EU-RO-1, where US was asked for", capacity},
	} {
		attempt := func(t *testing.T, remembers bool) {
			t.Parallel()
			o := open(t)
			o.remembers = remembers
			o.spec.Image = "docker:runpod/none:1"
			o.Inject(fakekit.Fault{Call: "POST /v2/pods", After: func() { tt.after(o.newest()) }})
			says := tt.says
			if remembers && name == "vanishes" {
				says = "is terminated"
			}
			err := o.up()
			if err == nil || !strings.Contains(err.Error(), says) || o.Classify(err).Kind != tt.kind {
				t.Errorf("the attempt ends with %v, want %q", err, says)
			}
			ending, cancel := context.WithTimeout(t.Context(), time.Minute) // it ends at once, or never
			defer cancel()
			if err := o.Terminate(ending, o.spec.Ref); err != nil {
				t.Error(err)
			}
			o.Locked(func() {
				for _, p := range o.pods.All() {
					if p.Status != statusTerminated {
						t.Errorf("pod %s is left, %s", p.ID, p.Status)
					}
				}
			})
		}
		t.Run(name, func(t *testing.T) { attempt(t, false) })
		t.Run(name+", and is remembered", func(t *testing.T) { attempt(t, true) })
	}
}

// TestRoomIsAskedFirst: where RunPod's catalog has no room nothing is launched, and
// the error says what the catalog said.
func TestRoomIsAskedFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*opened)
		says   string
		kind   cloud.Kind
	}{
		"none":       {func(o *opened) { o.dry["US-KS-2"], o.dry["US-TX-3"] = true, true }, "no room for 1 A40 in US now: its catalog shows the availability NONE", cloud.KindCapacity},
		"none there": {func(o *opened) { o.at.Offer.Zone, o.dry["US-TX-3"] = "US-TX-3", true }, "in US-TX-3 now", cloud.KindCapacity},
		"not sold":   {func(o *opened) { o.at.Offer.InstanceType.Name = "1x_H100-SXM_SECURE"; o.at.Offer.Region = "CA" }, "lists none there", cloud.KindCapacity},
		"too many":   {func(o *opened) { o.at.Offer.InstanceType.Name = "16x_A40_SECURE" }, "at most 8 A40", cloud.KindConfig},
		"no type":    {func(o *opened) { o.at.Offer.InstanceType.Name = "a2-highgpu-1g" }, "no type of RunPod's", cloud.KindConfig},
		"two nodes": {func(o *opened) {
			o.spec.Nodes = append(o.spec.Nodes, o.spec.Nodes[0])
			o.spec.Nodes[1].Identity.Rank = 1
		}, "is one pod", cloud.KindConfig},
		"spot":        {func(o *opened) { o.at.Offer.Market = cloud.Spot }, "no spot", cloud.KindConfig},
		"many ports":  {func(o *opened) { o.spec.Ports = []cloud.PortRange{{First: 1000, Last: 1099}} }, "at most 100", cloud.KindConfig},
		"node_config": {func(o *opened) { o.spec.NodeConfig = map[string]any{"vpc": "x"} }, "registry", cloud.KindConfig},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t)
			tt.change(o)
			o.spec.Ref.Region = o.at.Offer.Region
			err := o.run()
			if err == nil || !strings.Contains(err.Error(), tt.says) || o.Classify(err).Kind != tt.kind {
				t.Errorf("Run = %v, want %q", err, tt.says)
			}
			if n := o.Calls("POST /v2/pods"); n != 0 {
				t.Errorf("%d launches were tried", n)
			}
		})
	}
}

// TestLaunchGoesWhereRoomIs: to the data centers with room, the fullest last, and
// nowhere else; a refusal tells what the catalog had said.
func TestLaunchGoesWhereRoomIs(t *testing.T) {
	o := open(t)
	o.spec.NodeConfig = map[string]any{"network_volume": "vol1", "min_cuda_version": "12.4", "registry": "login1"}
	o.spec.Deadline = time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.Locked(func() {
		in := o.newest().order
		if !slices.Equal(in.DataCenterIDs, []string{"US-TX-3", "US-KS-2"}) || in.GPU.MinCudaVersion != "12.4" || *in.Registry != "login1" ||
			len(in.Mounts.Network) != 1 || in.Mounts.Network[0].VolumeID != "vol1" || in.Mounts.Network[0].Path != "/workspace" {
			t.Errorf("the launch is %+v", in)
		}
	})
	found, err := o.Query(t.Context(), o.spec.Ref)
	if err != nil || len(found) != 1 || !found[0].Deadline.Equal(o.spec.Deadline) || found[0].Zone != "US-TX-3" || found[0].PublicPorts[22] == 0 {
		t.Errorf("Query = %+v, %v", found, err)
	}
	o.Inject(fakekit.Fault{Call: "POST /v2/pods", Refuse: fakekit.Refusef(http.StatusBadRequest, "", "%s", full)})
	o.spec.Ref.Generation, o.spec.Nodes[0].Identity.Generation = "h", "h"
	if err := o.run(); err == nil || !strings.Contains(err.Error(), "its catalog shows room in US-TX-3, US-KS-2") || !strings.Contains(err.Error(), full) {
		t.Errorf("the refusal is %v", err)
	}
}

// TestStoppedIsNotStarted: what would start is another machine under the old id.
func TestStoppedIsNotStarted(t *testing.T) {
	o := open(t)
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.Locked(func() { o.newest().Status = statusExited })
	if err := o.run(); err == nil || !strings.Contains(err.Error(), "-replace=") || o.Classify(err).Kind != cloud.KindConfig {
		t.Errorf("Run = %v", err)
	}
}

// TestRenamedByHand: a pod that was recorded stays so under any name that somebody
// gives it, since what is not recorded is removed; one that was not is not.
func TestRenamedByHand(t *testing.T) {
	o := open(t)
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	committed := func(name string) bool {
		t.Helper()
		o.Locked(func() { o.newest().Name = cmp.Or(name, o.newest().Name) })
		found, err := o.Query(t.Context(), o.spec.Ref)
		if err != nil || len(found) != 1 {
			t.Fatalf("Query = %v, %v", found, err)
		}
		return found[0].Committed
	}
	if committed("") {
		t.Error("a pod is recorded before Commit")
	}
	if err := o.Commit(t.Context(), o.spec.Ref); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "mine", "mine-new", "mine-committed", "x"} {
		if !committed(name) {
			t.Errorf("the pod is not recorded under the name %q", name)
		}
	}
}

// TestEndpointEndsWithASlash: it is the one without.
func TestEndpointEndsWithASlash(t *testing.T) {
	o := open(t)
	creds := o.Credentials()
	creds.Values[optionEndpoint] += "/"
	if _, err := o.Factory().Open(t.Context(), creds); err != nil {
		t.Error(err)
	}
}

// TestMembersOfClustersAreOthers: a pod of a RunPod cluster is none of ours, also
// with our tags, and is asked for in every census.
func TestMembersOfClustersAreOthers(t *testing.T) {
	o := open(t)
	tags := tags.Merge(o.spec.Nodes[0].Identity.Tags(), map[string]string{tagRegion: "US"})
	o.Locked(func() {
		p := o.add(fakeOrder{Name: "member", Image: "x", Env: tagged(tags), Cloud: cloudSecure})
		p.Cluster = map[string]any{"id": "cl", "rank": 0}
	})
	if found, err := o.Query(t.Context(), o.spec.Ref); err != nil || len(found) != 0 {
		t.Errorf("Query = %v, %v", found, err)
	}
	if err := o.Terminate(t.Context(), o.spec.Ref); err != nil {
		t.Error(err)
	}
	for _, c := range o.Log() {
		if c.Path == "/v2/pods" && c.Query.Get("includeClusterPods") != "true" {
			t.Errorf("a census leaves out members of clusters: %v", c.Query)
		}
	}
}

// TestCalls: how many calls a launch, a refresh and a destroy make, of which none
// changes anything but our own pods.
func TestCalls(t *testing.T) {
	o := open(t)
	mark := 0
	since := func() (n int) { n, mark = o.Calls("*")-mark, o.Calls("*"); return n }
	opening := since()
	if err := o.run(); err != nil {
		t.Fatal(err)
	}
	launch := since()
	ref := o.spec.Ref
	o.Locked(func() {
		o.newest().Status = statusRunning
		ref.Instances = []string{o.newest().ID}
	})
	if err := o.Wait(t.Context(), ref, cloud.StateRunning); err != nil {
		t.Fatal(err)
	}
	wait := since()
	if err := o.Commit(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	commit := since()
	if _, err := o.Query(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	refresh := since()
	if err := errors.Join(o.Terminate(t.Context(), ref), o.CleanupPorts(t.Context(), ref)); err != nil {
		t.Fatal(err)
	}
	t.Logf("calls: open %d, launch %d, wait %d, commit %d, refresh %d, destroy %d", opening, launch, wait, commit, refresh, since())
	if opening != 1 || commit > 3 || refresh != 1 {
		t.Errorf("open, commit and refresh make %d, %d and %d calls", opening, commit, refresh)
	}
	for _, c := range o.Log() {
		allowed := c.Method == http.MethodGet || c.Path == "/v2/pods" && c.Method == http.MethodPost || c.Path == "/v2/pods/"+ref.Instances[0]
		if !allowed || strings.Contains(c.Path, "account") || c.Header("User-Agent") == "" {
			t.Errorf("a call is %s %s", c.Method, c.Path)
		}
	}
}

// TestPaceKeepsTheLimits: 60 calls a minute, 3,000 an hour and 50,000 a day.
func TestPaceKeepsTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New()
		start := time.Now()
		for made := 1; time.Since(start) < 24*time.Hour; made++ {
			if err := f.pace.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			for window, most := range map[time.Duration]int{time.Minute: 60, time.Hour: 3000, 24 * time.Hour: 50000} {
				if since := time.Since(start); since < window && made > most {
					t.Fatalf("%d calls within %s", made, since)
				}
			}
		}
	})
}

// TestRefusedKey: the error says what would help, and not the key.
func TestRefusedKey(t *testing.T) {
	o := open(t)
	o.Inject(fakekit.Fault{Call: "GET /v2/pods", Refuse: fakekit.Refusef(http.StatusUnauthorized, "", "the key rpa_SECRET is unknown")})
	_, err := o.Factory().Open(t.Context(), o.credentials("rpa_SECRET"))
	if err == nil || strings.Contains(err.Error(), "rpa_SECRET") || !strings.Contains(err.Error(), "RUNPOD_API_KEY") {
		t.Errorf("Open = %v", err)
	}
}

// TestAccount: it is the same for the same key, another for another one, shows
// nothing of it, and can be named.
func TestAccount(t *testing.T) {
	o := open(t)
	other, err := o.Factory().Open(t.Context(), o.credentials(fakeKey+"-2"))
	if err != nil || other.Account == o.Account || strings.Contains(o.Account, fakeKey) || !strings.HasPrefix(o.Account, "key-") {
		t.Errorf("accounts are %q and %q, %v", o.Account, other.Account, err)
	}
	creds := o.credentials(fakeKey + "-2")
	creds.Values[optionAccount] = o.Account
	if named, err := o.Factory().Open(context.Background(), creds); err != nil || named.Account != o.Account {
		t.Errorf("the account is %q, %v, want %q as it is set", named.Account, err, o.Account)
	}
}
