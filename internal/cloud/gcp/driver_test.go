// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	for attempt := range 3 {
		for rank := range 3 {
			for n := range 3 {
				id := requestID(cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Attempt: attempt, Rank: rank}, n)
				if seen[id] || len(id) != 36 || id != strings.ToLower(id) || id[14] != '8' || !strings.ContainsRune("89ab", rune(id[19])) {
					t.Errorf("request id %q is no UUID, or comes twice", id)
				}
				seen[id] = true
			}
		}
	}
	one, same := cloud.Identity{Owner: "o", Cluster: "c"}, cloud.Identity{Owner: "o", Cluster: "c"}
	if requestID(one, 0) != requestID(same, 0) {
		t.Error("one identity has two request ids")
	}
}

func TestLabelsRoundTrip(t *testing.T) {
	for _, want := range []cloud.Identity{
		{Owner: "o", Cluster: "c", Generation: "g"},
		{Owner: "Ünïcode", Cluster: "Very.Long_" + strings.Repeat("x", 80), Generation: "G 1", Attempt: 12, Rank: 345},
		{Owner: "sha256-a", Cluster: "-", Generation: "_"},
	} {
		labels, metadata := codec().Encode(want.Tags())
		for k, v := range labels {
			if !labelKeyForm().MatchString(k) || !labelValueForm().MatchString(v) {
				t.Errorf("label %s=%s is none that Compute Engine takes", k, v)
			}
		}
		if got, ok := cloud.IdentityFromTags(codec().Decode(labels, metadata)); !ok || got != want {
			t.Errorf("%+v comes back as %+v, %t", want, got, ok)
		}
		if len(metadata) > 0 {
			for k := range metadata {
				metadata[k] += "x"
			}
			if got, ok := cloud.IdentityFromTags(codec().Decode(labels, metadata)); ok && got == want {
				t.Errorf("%+v is believed without its digest", got)
			}
		}
	}
	want := map[string]string{"a": "b", "Team": "Weather & Co", "long": strings.Repeat("x", 64), "goog-x": "1", "": "empty", "empty": ""}
	labels, rest := userLabels(want)
	if got := readUserLabels(labels, map[string]string{metaLabels: rest}); !maps.Equal(got, want) || len(labels) != 2 {
		t.Errorf("labels %v come back as %v (%d of them labels)", want, got, len(labels))
	}
}

// made is what an insert asked for.
func made(t *testing.T, a account) compute.Instance {
	t.Helper()
	all := a.Instances()
	if len(all) != 1 {
		t.Fatalf("there are %d machines, want 1", len(all))
	}
	return all[0]
}

func TestInsert(t *testing.T) {
	for name, tt := range map[string]struct {
		typ    cloud.InstanceType
		market cloud.Market
		node   map[string]any
		check  func(in compute.Instance) error
	}{
		"CPU": {typ: cloud.InstanceType{Name: "n2-standard-4"}, check: func(in compute.Instance) error {
			if in.Scheduling.OnHostMaintenance != "MIGRATE" || len(in.GuestAccelerators) > 0 || in.Scheduling.InstanceTerminationAction != "" || len(in.ServiceAccounts) > 0 {
				return fmt.Errorf("scheduling %+v, accounts %v", in.Scheduling, in.ServiceAccounts)
			}
			if s := in.ShieldedInstanceConfig; s == nil || !s.EnableSecureBoot || !s.EnableVtpm || !s.EnableIntegrityMonitoring {
				return fmt.Errorf("shielded %+v", s)
			}
			meta := metadataOf(in.Metadata)
			if meta[metaBlockKeys] != "TRUE" || !strings.HasPrefix(meta[metaSSHKeys], "ubuntu:ssh-ed25519 ") || meta[metaUserData] == "" || meta["enable-oslogin"] != "" {
				return fmt.Errorf("metadata %v", meta)
			}
			return nil
		}},
		"spot": {typ: cloud.InstanceType{Name: "n2-standard-4"}, market: cloud.Spot, check: func(in compute.Instance) error {
			if s := in.Scheduling; s.ProvisioningModel != "SPOT" || s.InstanceTerminationAction != "DELETE" || *s.AutomaticRestart {
				return fmt.Errorf("scheduling %+v", s)
			}
			return nil
		}},
		"spot that stops": {
			typ: cloud.InstanceType{Name: "n2-standard-4"}, market: cloud.Spot, node: map[string]any{"spot_termination_action": "stop"},
			check: func(in compute.Instance) error {
				if s := in.Scheduling; s.InstanceTerminationAction != "STOP" {
					return fmt.Errorf("scheduling %+v", s)
				}
				return nil
			},
		},
		"attached GPUs": {
			typ: cloud.InstanceType{Name: "n1-standard-8", Accelerator: cloud.Accelerator{Name: "T4", Count: 2}},
			check: func(in compute.Instance) error {
				if g := in.GuestAccelerators; len(g) != 1 || g[0].AcceleratorCount != 2 || !strings.HasSuffix(g[0].AcceleratorType, "/nvidia-tesla-t4") {
					return fmt.Errorf("accelerators %+v", g)
				}
				return nil
			},
		},
		"built-in GPU": {
			typ: cloud.InstanceType{Name: "a2-highgpu-1g", Accelerator: cloud.Accelerator{Name: "A100", Count: 1}},
			check: func(in compute.Instance) error {
				if len(in.GuestAccelerators) > 0 || in.Scheduling.OnHostMaintenance != "TERMINATE" {
					return fmt.Errorf("accelerators %+v, scheduling %+v", in.GuestAccelerators, in.Scheduling)
				}
				return nil
			},
		},
		"hyperdisk": {typ: cloud.InstanceType{Name: "n4-standard-2"}, node: map[string]any{"disk_tier": "high"}, check: func(compute.Instance) error { return nil }},
		"private, with an account, for a while": {
			typ:  cloud.InstanceType{Name: "e2-small"},
			node: map[string]any{"use_internal_ips": true, "service_account": "sa@x", "max_run_duration": "2h", "secure_boot": false, "network": "custom"},
			check: func(in compute.Instance) error {
				nic := in.NetworkInterfaces[0]
				if len(nic.AccessConfigs) > 0 || lastPart(nic.Subnetwork) != "here" || in.ServiceAccounts[0].Email != "sa@x" ||
					in.Scheduling.MaxRunDuration.Seconds != 7200 || in.Scheduling.InstanceTerminationAction != "DELETE" || in.ShieldedInstanceConfig.EnableSecureBoot {
					return fmt.Errorf("interface %+v, scheduling %+v", nic, in.Scheduling)
				}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, d := opened(t, gcpfake.Options{})
			spec, at := testSpec(1)
			at.Offer.InstanceType, spec.NodeConfig = tt.typ, tt.node
			if tt.market != "" {
				at.Offer.Market = tt.market
			}
			up(t, d, spec, at)
			if err := tt.check(made(t, a)); err != nil {
				t.Error(err)
			}
			info, err := d.Describe(t.Context(), spec.Ref)
			if err != nil || info.Instances[0].ExternalIP == "" || info.SSHUser != "ubuntu" {
				t.Errorf("Describe: %+v, %v", info, err)
			}
		})
	}
}

// TestLowTier: the slowest disk that the type takes.
func TestLowTier(t *testing.T) {
	for typ, want := range map[string]string{"n2-standard-4": standardDisk, "g2-standard-4": balancedDisk, "c3d-standard-4": balancedDisk, "n4-standard-2": hyperdiskType} {
		spec, at := testSpec(1)
		at.Offer.InstanceType = cloud.InstanceType{Name: typ}
		shape, err := shapeOf(at.Offer.InstanceType)
		if err != nil {
			t.Fatal(err)
		}
		order := fleet.Order[resources]{Node: spec.Nodes[0], Spec: spec, Placement: at, Resources: resources{image: image{diskGiB: 10}}}
		disk, err := bootDisk(order, settings{diskTier: "low"}, shape, nil)
		if err != nil || lastPart(disk.InitializeParams.DiskType) != want {
			t.Errorf("%s boots from %+v, want %s, %v", typ, disk, want, err)
		}
	}
}

// TestRefusals: what cannot work is refused before anything is made.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*cloud.ClusterSpec, *cloud.Placement)
		want   string
		scope  cloud.Scope
	}{
		"TPU": {func(_ *cloud.ClusterSpec, at *cloud.Placement) {
			at.Offer.InstanceType = cloud.InstanceType{Name: "TPU-VM", Accelerator: cloud.Accelerator{Name: "tpu-v4-8", Count: 1}}
		}, "has TPUs", cloud.ScopeRegion},
		"GPU on the wrong host": {func(_ *cloud.ClusterSpec, at *cloud.Placement) {
			at.Offer.InstanceType.Accelerator = cloud.Accelerator{Name: "T4", Count: 1}
		}, "does not attach to e2-small", cloud.ScopeRegion},
		"no zone":      {func(_ *cloud.ClusterSpec, at *cloud.Placement) { at.Offer.Zone = "" }, "names no zone", cloud.ScopeZone},
		"image":        {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Image = "no-such-image" }, "there is no image", cloud.ScopeCloud},
		"image's form": {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Image = "ami-12345" }, "there is no image", cloud.ScopeCloud},
		"small disk":   {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.DiskGiB = 5 }, "needs 10", cloud.ScopeRegion},
		"another architecture": {func(_ *cloud.ClusterSpec, at *cloud.Placement) {
			at.Offer.InstanceType = cloud.InstanceType{Name: "n2-standard-4", Arch: "arm64"}
		}, "is for x86_64", cloud.ScopeRegion},
		"network": {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"network": "nowhere"} }, `no network "nowhere"`, cloud.ScopeCloud},
		"ambiguous subnetworks": {func(s *cloud.ClusterSpec, at *cloud.Placement) {
			s.NodeConfig = map[string]any{"network": "custom"}
			at.Offer.Region, at.Offer.Zone = "europe-west4", "europe-west4-a"
		}, "has 2 subnetworks", cloud.ScopeRegion},
		"subnetwork":  {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"subnetwork": "there"} }, `no subnetwork "there"`, cloud.ScopeRegion},
		"unknown key": {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"vpc_id": "x"} }, "there are disk_tier", cloud.ScopeCloud},
		"wrong type":  {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"secure_boot": "yes"} }, "secure_boot cannot be yes", cloud.ScopeCloud},
		"disk tier":   {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.NodeConfig = map[string]any{"disk_tier": "ultra"} }, "best, high, low, medium", cloud.ScopeCloud},
		"user data":   {func(s *cloud.ClusterSpec, _ *cloud.Placement) { s.Nodes[0].UserData = make([]byte, maxMetadata+1) }, "no limit", cloud.ScopeCloud},
		"short run": {func(s *cloud.ClusterSpec, _ *cloud.Placement) {
			s.NodeConfig = map[string]any{"max_run_duration": "1s"}
		}, "30s to 2880h", cloud.ScopeCloud},
		"other region": {func(s *cloud.ClusterSpec, _ *cloud.Placement) {
			s.NodeConfig = map[string]any{"subnetwork": "projects/p/regions/asia-east1/subnetworks/here"}
		}, "is not in us-central1", cloud.ScopeRegion},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, d := opened(t, gcpfake.Options{})
			spec, at := testSpec(1)
			tt.change(&spec, &at)
			_, err := d.Bootstrap(t.Context(), spec, at)
			if err == nil || !strings.Contains(err.Error(), tt.want) || classify(err) != fault(cloud.KindConfig, tt.scope) {
				t.Errorf("Bootstrap returned %v (%s), want %q (config, %s)", err, classify(err), tt.want, tt.scope)
			}
			if n := len(a.Instances()) + len(a.Firewalls()); n > 0 {
				t.Errorf("%d things were made", n)
			}
		})
	}
}

// TestStockout: capacity sits in the operation, with a hint for people.
func TestStockout(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	a.Inject(gcpfake.Fault{Method: "compute.instances.insert", Code: "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Message: "no room", Hint: "try us-central1-f"})
	spec, at := testSpec(1)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Run(t.Context(), spec.Ref, cfg)
	if classify(err) != fault(cloud.KindCapacity, cloud.ScopeZone) || !strings.Contains(err.Error(), "try us-central1-f") {
		t.Errorf("Run returned %v (%s)", err, classify(err))
	}
	if n := a.Calls("compute.instances.insert"); n != 1 {
		t.Errorf("a lack of capacity was asked for %d times", n)
	}
}

func TestQuotas(t *testing.T) {
	for name, tt := range map[string]struct {
		metric, region string
		typ            cloud.InstanceType
		want           cloud.Scope
	}{
		"of a region":    {"CPUS", "us-central1", cloud.InstanceType{Name: "e2-small"}, cloud.ScopeRegion},
		"of all regions": {"GPUS_ALL_REGIONS", "", cloud.InstanceType{Name: "g2-standard-4"}, cloud.ScopeCloud},
	} {
		t.Run(name, func(t *testing.T) {
			a, d := opened(t, gcpfake.Options{})
			a.SetQuota(tt.metric, tt.region, 0)
			spec, at := testSpec(1)
			at.Offer.InstanceType = tt.typ
			cfg, err := d.Bootstrap(t.Context(), spec, at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Run(t.Context(), spec.Ref, cfg); classify(err) != fault(cloud.KindQuota, tt.want) {
				t.Errorf("Run returned %v (%s), want quota (%s)", err, classify(err), tt.want)
			}
		})
	}
}

// TestOldFailureToldAgain: the operation of a failed request is not the last word.
func TestOldFailureToldAgain(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	remove := a.Inject(gcpfake.Fault{Method: "compute.instances.insert", Code: "ZONE_RESOURCE_POOL_EXHAUSTED"})
	spec, at := testSpec(1)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := d.Run(t.Context(), spec.Ref, cfg); err == nil {
			t.Fatal("Run reports success without capacity")
		}
	}
	remove()
	if record, err := d.Run(t.Context(), spec.Ref, cfg); err != nil || len(record.Created) != 1 || len(a.Instances()) != 1 {
		t.Errorf("Run returned %+v, %v, with %d machines", record, err, len(a.Instances()))
	}
}

// TestSlowOperation: an operation that takes longer than any single call may is
// waited for all the same. Compute Engine answers a wait after up to two minutes.
func TestSlowOperation(t *testing.T) {
	a, d := opened(t, gcpfake.Options{OperationTime: 300 * time.Millisecond})
	d.c.tryTimeout = 50 * time.Millisecond
	spec, at := testSpec(1)
	up(t, d, spec, at)
	if err := d.Terminate(t.Context(), spec.Ref); err != nil || len(a.Instances())+len(a.Disks()) > 0 {
		t.Errorf("Terminate returned %v, with %d machines", err, len(a.Instances()))
	}
}

// TestStockoutOnStart: the machine stays stopped, with its disk.
func TestStockoutOnStart(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	cfg, _ := up(t, d, spec, at)
	if err := d.Stop(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	a.Inject(gcpfake.Fault{Method: "compute.instances.start", Code: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "no room"})
	_, err := d.Run(t.Context(), spec.Ref, cfg)
	if classify(err) != fault(cloud.KindCapacity, cloud.ScopeZone) {
		t.Errorf("Run returned %v (%s)", err, classify(err))
	}
	if in := made(t, a); in.Status != "TERMINATED" || len(a.Disks()) != 1 {
		t.Errorf("the machine is %s, with %d disks", in.Status, len(a.Disks()))
	}
}

// TestPreempted: a spot machine that stays stopped still has its disk, and says why.
func TestPreempted(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	at.Offer.Market, spec.NodeConfig = cloud.Spot, map[string]any{"spot_termination_action": "stop"}
	_, record := up(t, d, spec, at)
	if err := a.Preempt(record.Created[0]); err != nil {
		t.Fatal(err)
	}
	got, err := d.Query(t.Context(), spec.Ref)
	if err != nil || len(got) != 1 || got[0].State != cloud.StateStopped || got[0].Reason != "preempted; its disk is still charged for" || len(a.Disks()) != 1 {
		t.Errorf("Query: %+v, %v", got, err)
	}
	err = d.Wait(t.Context(), spec.Ref, cloud.StateRunning)
	if classify(err) != fault(cloud.KindCapacity, cloud.ScopeZone) || !strings.Contains(err.Error(), "its disk is still charged for") {
		t.Errorf("Wait returned %v (%s)", err, classify(err))
	}
	if err := d.Terminate(t.Context(), spec.Ref); err != nil || len(a.Disks()) != 0 {
		t.Errorf("Terminate: %v, %d disks left", err, len(a.Disks()))
	}
}

// TestWhyItStopped: the reason is the latest one, and what was asked for needs none.
func TestWhyItStopped(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	cfg, record := up(t, d, spec, at)
	id := record.Created[0]
	for _, step := range []struct {
		stop func() error
		want string
	}{
		{func() error { return a.PowerOff(id) }, "it shut down"},
		{func() error { return a.FailHost(id) }, "host error"},
		{func() error { return d.Stop(t.Context(), spec.Ref) }, ""},
		{func() error { return a.PowerOff(id) }, "it shut down"},
	} {
		if err := step.stop(); err != nil {
			t.Fatal(err)
		}
		got, err := d.Query(t.Context(), spec.Ref)
		if err != nil || len(got) != 1 || got[0].State != cloud.StateStopped || got[0].Reason != step.want {
			t.Errorf("Query: %+v, %v, want the reason %q", got, err, step.want)
		}
		if _, err := d.Run(t.Context(), spec.Ref, cfg); err != nil {
			t.Fatal(err)
		}
	}
	a.Inject(gcpfake.Fault{Method: "compute.zoneOperations.list", Status: http.StatusForbidden, Reason: "forbidden"})
	if err := a.PowerOff(id); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Query(t.Context(), spec.Ref); err != nil || len(got) != 1 || got[0].Reason != "" {
		t.Errorf("Query: %+v, %v where nobody may say why", got, err)
	}
}

// TestEnded: who ended a machine that is gone.
func TestEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(a account, d *driver, ref cloud.ClusterRef, id string) error
		want cloud.Ending
	}{
		"by its own token": {func(a account, _ *driver, _ cloud.ClusterRef, id string) error {
			return a.EndItself(t.Context(), id, cloud.ShutdownTerminate)
		}, cloud.EndedItself},
		"by somebody":         {func(_ account, d *driver, ref cloud.ClusterRef, _ string) error { return d.Terminate(t.Context(), ref) }, cloud.EndedByUser},
		"preempted":           {func(a account, _ *driver, _ cloud.ClusterRef, id string) error { return a.Preempt(id) }, cloud.EndedPreempted},
		"without a trace":     {func(a account, _ *driver, _ cloud.ClusterRef, id string) error { return a.Remove(t.Context(), id) }, ""},
		"it is there, it ran": {func(account, *driver, cloud.ClusterRef, string) error { return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, d := opened(t, gcpfake.Options{}, optionServiceAccount, gcpfake.Deleter)
			spec, at := testSpec(1)
			at.Offer.Market = cloud.Spot
			_, record := up(t, d, spec, at)
			ref := spec.Ref
			ref.Instances = record.Created
			if err := tt.end(a, d, ref, record.Created[0]); err != nil {
				t.Fatal(err)
			}
			if tt.want != "" {
				if err := d.Wait(t.Context(), ref, cloud.StateTerminated); err != nil {
					t.Fatal(err)
				}
			}
			got, err := d.Ended(t.Context(), ref)
			if err != nil || len(got) > 1 || (len(got) == 1) != (tt.want != "") || (len(got) == 1 && (got[0].Ending != tt.want || got[0].ID != record.Created[0])) {
				t.Errorf("Ended = %+v, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestDeadManWithoutAccount: the machine shuts down; Commit keeps it from that.
func TestDeadManWithoutAccount(t *testing.T) {
	for _, recorded := range []bool{false, true} {
		a, d := opened(t, gcpfake.Options{})
		spec, at := testSpec(1)
		up(t, d, spec, at)
		if recorded {
			if err := d.Commit(t.Context(), spec.Ref); err != nil {
				t.Fatal(err)
			}
		}
		a.Advance(2 * time.Hour)
		want := map[bool]string{false: "TERMINATED", true: "RUNNING"}[recorded]
		if in := made(t, a); in.Status != want {
			t.Errorf("committed: %t, the machine is %s, want %s", recorded, in.Status, want)
		}
		if meta := metadataOf(made(t, a).Metadata); recorded && (meta[metaStartup] != "" || meta[metaUserData] == "" || meta[metaCommitted] != committed) {
			t.Errorf("after Commit the metadata is %v", meta)
		}
	}
}

// TestLeftoverDisk: a disk whose machine somebody deleted otherwise goes, too.
func TestLeftoverDisk(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	up(t, d, spec, at)
	labels, _ := codec().Encode(cloud.Identity{Owner: "o", Cluster: "c", Generation: "g", Rank: 7}.Tags())
	a.AddDisk(compute.Disk{Name: "left", Labels: labels}, testZone)
	a.AddDisk(compute.Disk{Name: "foreign", Labels: map[string]string{"sky-owner": "x"}}, testZone)
	if err := d.Terminate(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	if left := a.Disks(); len(left) != 1 || left[0].Name != "foreign" {
		t.Errorf("the disks left are %v", left)
	}
}

// TestNameTaken: somebody else's machine of our name is left alone.
func TestNameTaken(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	id := a.AddInstance(compute.Instance{Name: spec.Nodes[0].Identity.Name(maxNameLength), MachineType: "e2-small"}, testZone)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Run(t.Context(), spec.Ref, cfg); err == nil || !strings.Contains(err.Error(), "somebody else's") {
		t.Errorf("Run returned %v", err)
	}
	if err := d.Terminate(t.Context(), spec.Ref); err != nil {
		t.Fatal(err)
	}
	if ok, _ := a.Running(t.Context(), id); !ok {
		t.Error("it was removed")
	}
}

// TestCancelledLaunchIsFound: what was asked for is removed, though no listing shows it.
func TestCancelledLaunchIsFound(t *testing.T) {
	a, d := opened(t, gcpfake.Options{OperationTime: 300 * time.Millisecond, VisibleAfter: time.Hour})
	spec, at := testSpec(1)
	cfg, err := d.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Run(ctx, spec.Ref, cfg); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Run returned %v", err)
	}
	if err := d.Terminate(t.Context(), spec.Ref); err != nil || len(a.Instances())+len(a.Disks()) > 0 {
		t.Errorf("Terminate: %v; %d machines left", err, len(a.Instances()))
	}
}

// TestFirewallRules: a rule holds one version of IP only.
func TestFirewallRules(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	spec.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.7/24")}
	spec.Ports = []cloud.PortRange{{First: 23, Last: 23}}
	cfg, _ := up(t, d, spec, at)
	names := func() (out []string) {
		for _, f := range a.Firewalls() {
			out = append(out, f.Name[strings.LastIndexByte(f.Name, '-'):]+fmt.Sprint(f.SourceRanges, f.Allowed[0].Ports))
		}
		slices.Sort(out)
		return out
	}
	want := []string{"-in[] []", "-v4[192.0.2.0/24] [22 23]", "-v6[2001:db8::/32] [22 23]"}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("the rules are %v, want %v", got, want)
	}
	cfg.Spec.AllowedCIDRs = spec.AllowedCIDRs[1:]
	if err := d.OpenPorts(t.Context(), spec.Ref, cfg, nil); err != nil {
		t.Fatal(err)
	}
	if got := names(); !slices.Equal(got, []string{"-in[] []", "-v4[192.0.2.0/24] [22]"}) {
		t.Errorf("the rules became %v", got)
	}
	a.AddFirewall(compute.Firewall{Name: "sky-theirs", Description: "by hand"})
	if err := d.CleanupPorts(t.Context(), spec.Ref); err != nil || len(a.Firewalls()) != 1 {
		t.Errorf("CleanupPorts: %v; the rules left are %v", err, names())
	}
}

// TestRuleThatSomebodyChanged: whatever would let others in, or let others'
// machines be reached, is put right by the next Bootstrap, and nothing else is.
func TestRuleThatSomebodyChanged(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	boot := func() {
		t.Helper()
		if _, err := d.Bootstrap(t.Context(), spec, at); err != nil {
			t.Fatal(err)
		}
	}
	boot()
	good := a.Firewalls()
	boot()
	if n := a.Calls("compute.firewalls.patch"); n != 0 {
		t.Errorf("rules that are as they should be were changed %d times", n)
	}
	for name, change := range map[string]func(*compute.Firewall){
		"for all machines":            func(f *compute.Firewall) { f.TargetTags = nil },
		"for all machines of a group": func(f *compute.Firewall) { f.TargetTags = append(f.TargetTags, "everybody") },
		"from everywhere":             func(f *compute.Firewall) { f.SourceRanges = []string{"0.0.0.0/0"} },
		"overruled":                   func(f *compute.Firewall) { f.Priority = 65000 },
		"off":                         func(f *compute.Firewall) { f.Disabled = true },
	} {
		for _, f := range good {
			have, want := f, f
			if change(&have); sameRule(&have, &want) {
				t.Errorf("%s: %s counts as it should be", name, f.Name)
			}
		}
	}
}

// TestForbidden: a call that IAM refuses is asked for once.
func TestForbidden(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	a.Inject(gcpfake.Fault{Method: "compute.instances.list", Status: http.StatusForbidden, Reason: "forbidden", Message: "Required 'compute.instances.list' permission"})
	_, err := d.Query(t.Context(), testRef)
	if classify(err) != fault(cloud.KindAuth, cloud.ScopeCloud) || a.Calls("compute.instances.list") != 1 {
		t.Errorf("Query returned %v after %d calls", err, a.Calls("compute.instances.list"))
	}
}

// TestLabelsThatSomebodyElseChanged: a stale fingerprint, or a lost answer, is
// no reason to give a launch up.
func TestLabelsThatSomebodyElseChanged(t *testing.T) {
	for _, f := range []gcpfake.Fault{
		{Method: "compute.instances.setLabels", Times: 1, Status: http.StatusPreconditionFailed, Reason: "conditionNotMet", Message: "Labels fingerprint either invalid or resource labels have changed"},
		{Method: "compute.instances.setLabels", Times: 1, LoseAnswer: true},
	} {
		a, d := opened(t, gcpfake.Options{})
		spec, at := testSpec(1)
		cfg, _ := up(t, d, spec, at)
		a.Inject(f)
		cfg.Spec.Labels = map[string]string{"team": "sun", "Purpose": "Not a label of GCE"}
		if _, err := d.Run(t.Context(), spec.Ref, cfg); err != nil {
			t.Fatal(err)
		}
		info, err := d.Describe(t.Context(), spec.Ref)
		if err != nil || !maps.Equal(info.Instances[0].Labels, cfg.Spec.Labels) || a.Disks()[0].Labels["team"] != "sun" {
			t.Errorf("Describe: %+v, %v; the disk has %v", info, err, a.Disks()[0].Labels)
		}
	}
}

// TestRulesThatAreOthers: a rule that lets in nothing more is told of all the
// same where it is another one, or is missing.
func TestRulesThatAreOthers(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	if _, err := d.Bootstrap(t.Context(), spec, at); err != nil {
		t.Fatal(err)
	}
	drift := func() []string {
		t.Helper()
		out, err := d.PortDrift(t.Context(), spec.Ref, spec.AllowedCIDRs, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := drift(); len(out) != 0 {
		t.Errorf("rules as they were made: %v", out)
	}
	inside := groupName(spec.Ref) + ruleInside
	if err := d.deleteRule(t.Context(), inside); err != nil {
		t.Fatal(err)
	}
	if out := drift(); len(out) != 1 || !strings.Contains(out[0], inside) {
		t.Errorf("without the rule that lets the machines reach one another: %v", out)
	}
	if _, err := d.Bootstrap(t.Context(), spec, at); err != nil || len(a.Firewalls()) != 2 || len(drift()) != 0 {
		t.Errorf("Bootstrap: %v; there are %d rules", err, len(a.Firewalls()))
	}
}

// TestSurveyShowsLeftDisks: one that no machine uses is charged for. That its
// labels hold digests only does not hide it from its owner.
func TestSurveyShowsLeftDisks(t *testing.T) {
	a, d := opened(t, gcpfake.Options{})
	spec, at := testSpec(1)
	up(t, d, spec, at) // its own disk is in use
	owner := "Somebody With A Long Name"
	labels, _ := codec().Encode(cloud.Identity{Owner: owner, Cluster: "C.1", Generation: "g"}.Tags())
	a.AddDisk(compute.Disk{Name: "left", Labels: labels}, testZone)
	got, err := d.Survey(t.Context(), cloud.ClusterRef{Owner: owner, Cluster: "C.1", Cloud: Name})
	if err != nil || len(got) != 1 || got[0].Kind != cloud.ThingDisk || got[0].ID != "left" || got[0].Ref.Zone != testZone || got[0].Ref.Cluster != "C.1" {
		t.Errorf("Survey: %+v, %v", got, err)
	}
}
