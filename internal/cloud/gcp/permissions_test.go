// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

// documentedPermissions are those of the custom role on the page of GCP. The
// conformance suite runs with them and no others.
func documentedPermissions(t testing.TB) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/templates/guides/gcp.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```text\n")
	block, _, ok2 := strings.Cut(rest, "```")
	all := regexp.MustCompile(`[a-z]+(?:\.[A-Za-z]+)+`).FindAllString(block, -1)
	if !ok || !ok2 || len(all) == 0 {
		t.Fatal("the page shows no permissions")
	}
	return append(all, "iam.serviceAccounts.actAs") // a role on the account, which the page names by itself
}

// TestPermissionsAreWhatIsUsed: everything that the driver does, from the first
// call to the last, needs each permission of the page and none besides.
func TestPermissionsAreWhatIsUsed(t *testing.T) {
	page := documentedPermissions(t)
	a := account{Cloud: gcpfake.Start(t, gcpfake.Options{Permissions: page})}
	if err := a.everything(t.Context()); err != nil {
		t.Error(err)
	}
	if refused := a.Refused(); len(refused) > 0 {
		t.Errorf("calls need what the page does not name: %v", refused)
	}
	used := a.Used()
	for _, p := range page {
		if !slices.Contains(used, p) {
			t.Errorf("the page names %s, which nothing needs", p)
		}
	}
	for _, p := range used {
		if !slices.Contains(page, p) {
			t.Errorf("the page does not name %s", p)
		}
	}
}

// TestAPermissionIsMissed: the error names the permission that a role lacks.
func TestAPermissionIsMissed(t *testing.T) {
	page := documentedPermissions(t)
	for _, missing := range []string{"compute.instances.create", "compute.subnetworks.useExternalIp", "compute.firewalls.create", "compute.networks.updatePolicy"} {
		rest := slices.DeleteFunc(slices.Clone(page), func(p string) bool { return p == missing })
		a := account{Cloud: gcpfake.Start(t, gcpfake.Options{Permissions: rest})}
		err := a.life(t.Context())
		if err == nil || !strings.Contains(err.Error(), missing) || classify(err) != fault(cloud.KindAuth, cloud.ScopeCloud) {
			t.Errorf("without %s: %v (%s)", missing, err, classify(err))
		}
		if n := len(a.Instances()); n > 0 {
			t.Errorf("without %s %d machines are left", missing, n)
		}
	}
}

// everything makes every call that the driver knows.
func (a account) everything(ctx context.Context) error {
	if err := a.life(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := a.Factory().Open(ctx, a.Credentials())
	if err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	spec, at := testSpec(1)
	spec.Ref.Generation, spec.Nodes[0].Identity.Generation = "h", "h"
	spec.Image = "my-image"
	spec.NodeConfig = map[string]any{"subnetwork": "here", "service_account": "sa@acme-weather.iam.gserviceaccount.com"}
	// A rule whose answer was lost is there when it is made again.
	a.Inject(gcpfake.Fault{Method: "compute.firewalls.insert", LoseAnswer: true, Times: 1})
	cfg, err := s.Bootstrap(ctx, spec, at)
	if err != nil {
		return fmt.Errorf("Bootstrap: %w", err)
	}
	run := func(labels map[string]string) error {
		cfg.Spec.Labels = labels
		if _, err := s.Run(ctx, spec.Ref, cfg); err != nil {
			return fmt.Errorf("Run: %w", err)
		}
		return s.Wait(ctx, spec.Ref, cloud.StateRunning)
	}
	id := func() string { return fmt.Sprint(a.Instances()[0].Id) }
	steps := []func() error{
		func() error { return run(map[string]string{"team": "rain"}) },
		func() error { return run(map[string]string{"team": "snow"}) },
		func() error { return a.Suspend(id()) },
		func() error { return run(map[string]string{"team": "snow"}) },
		func() error { return s.Stop(ctx, spec.Ref) },
		func() error { // what stopped by itself is asked why
			waiting := s.Wait(ctx, spec.Ref, cloud.StateRunning)
			if waiting == nil {
				return errors.New("a stopped machine runs")
			}
			return nil
		},
		func() error {
			labels, _ := codec().Encode(cloud.Identity{Owner: "o", Cluster: "c", Generation: "h", Rank: 7}.Tags())
			a.AddDisk(compute.Disk{Name: "left", Labels: labels}, testZone)
			return s.Terminate(ctx, spec.Ref)
		},
		func() error { return s.CleanupPorts(ctx, spec.Ref) },
		func() error { // everywhere
			_, err := s.Query(ctx, cloud.ClusterRef{Owner: "o", Cloud: Name})
			return errors.Join(err, s.Terminate(ctx, cloud.ClusterRef{Owner: "o", Cluster: "c", Cloud: Name}))
		},
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}
