// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// account is the harness: a project on a Compute Engine of the test's own.
type account struct {
	*gcpfake.Cloud
	// deleter gives the machines a service account that may delete them.
	deleter bool
	// later is how much later than what was done before a session is opened.
	later time.Duration
}

var _ interface {
	cloudtest.Harness
	cloudtest.Impostor
	cloudtest.Neighbour
	cloudtest.Killer
	cloudtest.Saboteur
	cloudtest.Counter
	cloudtest.Gatekeeper
	cloudtest.Inspector
	cloudtest.Lagger
	cloudtest.Timekeeper
	cloudtest.Inside
} = account{}

// hurry makes a driver wait milliseconds where a real one waits seconds.
func hurry(d *driver) {
	d.Poll = retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond}
	d.c.policy = retry.Policy{Initial: time.Millisecond, Max: 2 * time.Millisecond, Attempts: 4}
	d.Settle = 50 * time.Millisecond
}

func (a account) Factory() cloud.Factory {
	return Factory{tune: func(d *driver) {
		hurry(d)
		d.CallerSource = a.URL + gcpfake.CallerPath
		a.Advance(a.later)
	}}
}

func (a account) Credentials() cloud.Credentials {
	values := map[string]string{optionProject: gcpfake.Project, optionAccessToken: gcpfake.Token, optionEndpoint: a.URL}
	if a.deleter {
		values[optionServiceAccount], values[optionSelfDelete] = gcpfake.Deleter, "true"
	}
	return cloud.Credentials{Values: values}
}

func (a account) BadCredentials() cloud.Credentials {
	creds := a.Credentials()
	creds.Values[optionAccessToken] = "token-but-wrong"
	return creds
}

const testZone = "us-central1-a"

func (account) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: "us-central1", Zone: testZone, Market: market, HourlyUSD: 0.02,
		InstanceType: cloud.InstanceType{Name: "e2-small", VCPUs: 2, MemoryGiB: 2},
	}}
}

func (account) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "ubuntu"
	base.AuthorizedKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"}
	for i := range base.Nodes {
		base.Nodes[i].UserData = []byte("#cloud-config\n{}\n")
	}
	return base
}

func (account) Errors() []cloudtest.ErrorRow { return errorRows() }

func (a account) LaunchForeign(_ context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	labels, metadata := codec().Encode(kind.Tags(like))
	if kind == cloudtest.Unmarked {
		labels, metadata = map[string]string{"purpose": "none-of-ours"}, nil
	}
	return a.AddInstance(compute.Instance{
		Name: "neighbour-" + cloud.Slug(string(kind)), MachineType: at.Offer.InstanceType.Name, Labels: labels,
		Metadata: &compute.Metadata{Items: metadataItems(metadata)},
	}, at.Offer.Zone), nil
}

func (a account) one(id string) (compute.Instance, bool) {
	all := a.Instances()
	i := slices.IndexFunc(all, func(in compute.Instance) bool { return fmt.Sprint(in.Id) == id })
	if i < 0 {
		return compute.Instance{}, false
	}
	return all[i], true
}

func (a account) Running(_ context.Context, id string) (bool, error) {
	in, ok := a.one(id)
	return ok && in.Status == "RUNNING", nil
}

func (a account) Remove(_ context.Context, id string) error { return a.Cloud.Remove(id) }

func (a account) KillMachine(_ context.Context, id string) error { return a.Cloud.Remove(id) }

func (a account) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	f := gcpfake.Fault{Method: "compute.instances.insert", Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		f.Code, f.Message = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "The zone does not have enough resources available to fulfill the request."
	case cloudtest.LostAnswer:
		f.LoseAnswer, f.Times = true, 1
	case cloudtest.LateCapacity: // its own operation says so, when it ends
		f.Code, f.Message, f.Slow = "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources available to fulfill the request.", 20*time.Millisecond
	case cloudtest.LateAddress:
		f.Unaddressed = 100 * time.Millisecond
	case cloudtest.OneAtATime:
		f.Skip, f.Times, f.Status, f.Reason, f.Message = 1, 2, http.StatusForbidden, "rateLimitExceeded", "Rate Limit Exceeded"
	case cloudtest.LostMark:
		f.Method, f.Silent, f.Times = "compute.instances.setMetadata", true, 1
	case cloudtest.LostDisarm: // one call is both
		f.Method, f.Silent, f.Times = "compute.instances.setMetadata", true, 2
	default:
		return nil, fmt.Errorf("no such fault: %s", kind)
	}
	remove := a.Inject(f)
	return func(context.Context) error { remove(); return nil }, nil
}

func (a account) Count(context.Context) (cloudtest.Counts, error) {
	return cloudtest.Counts{Machines: len(a.Instances()), Disks: len(a.Disks()), Firewalls: len(a.Firewalls())}, nil
}

func (account) ShortestDeadline() time.Duration { return time.Minute }

func (a account) PassTime(_ context.Context, until time.Time) error {
	a.Advance(until.Sub(a.Now()) + time.Second)
	return nil
}

// EndItself does what the cluster template's commands come to: a shutdown, or a
// call with the token that the metadata server gives the machine. The commands
// themselves are run by TestSelfTerminate.
func (a account) EndItself(ctx context.Context, id string, how cloud.Shutdown) error {
	if how == cloud.ShutdownStop {
		return a.PowerOff(id)
	}
	in, _ := a.one(id)
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete,
		a.URL+"/compute/v1/projects/"+gcpfake.Project+"/zones/"+lastPart(in.Zone)+"/instances/"+id, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+gcpfake.MachineToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the machine may not delete itself: %s", resp.Status)
	}
	return nil
}

// TestConformance runs the suite over HTTP: as users have it without further
// ado, and with machines that may delete themselves.
func TestConformance(t *testing.T) {
	for name, deleter := range map[string]bool{"plain": false, "machines that may delete themselves": true} {
		t.Run(name, func(t *testing.T) {
			cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness {
				return account{Cloud: gcpfake.Start(t, gcpfake.Options{Permissions: documentedPermissions(t)}), deleter: deleter}
			})
		})
	}
}

// TestConformanceWhenLate runs it on a cloud whose listings lag behind, and
// whose operations take longer than a look. Another session comes after the lag;
// one that comes within it is a case of the suite's own.
func TestConformanceWhenLate(t *testing.T) {
	const lag = 30 * time.Millisecond
	cloudtest.RunEach(t, func(t *testing.T) cloudtest.Harness {
		return account{Cloud: gcpfake.Start(t, gcpfake.Options{OperationTime: 10 * time.Millisecond, VisibleAfter: lag}), later: lag}
	})
}

// TestUnderFire runs a cluster through its life while calls of every kind fail
// in passing.
func TestUnderFire(t *testing.T) {
	for name, f := range map[string]gcpfake.Fault{
		"every call once more":      {Method: "*", Skip: 2, Times: 3, Status: http.StatusServiceUnavailable, Reason: "backendError"},
		"rate limits":               {Method: "*", Times: 3, Status: http.StatusForbidden, Reason: "rateLimitExceeded"},
		"too many requests":         {Method: "*", Skip: 4, Times: 3, Status: http.StatusTooManyRequests, Reason: "rateLimitExceeded"},
		"lists fail":                {Method: "compute.instances.list", Skip: 1, Times: 3, Status: http.StatusInternalServerError, Reason: "internalError"},
		"operations are lost":       {Method: "compute.zoneOperations.wait", Times: 2, LoseAnswer: true},
		"answers lost":              {Method: "*", Skip: 3, Times: 2, LoseAnswer: true},
		"insert answers late error": {Method: "compute.instances.insert", Times: 2, Status: http.StatusServiceUnavailable, Reason: "backendError", Late: true},
		"delete fails at the end":   {Method: "compute.instances.delete", Times: 2, Code: "INTERNAL_ERROR", Message: "try again"},
		"stop fails at the end":     {Method: "compute.instances.stop", Times: 2, Code: "RESOURCE_NOT_READY", Message: "not yet"},
		"start fails at the end":    {Method: "compute.instances.start", Times: 1, Code: "INTERNAL_ERROR", Message: "try again"},
		"stale fingerprint":         {Method: "compute.instances.setMetadata", Times: 2, Status: http.StatusPreconditionFailed, Reason: "conditionNotMet", Message: "Supplied fingerprint does not match current metadata fingerprint."},
		"denied once":               {Method: "compute.instances.get", Times: 2, Status: http.StatusNotFound, Reason: "notFound"},
		"slow machines":             {Method: "compute.instances.insert", Slow: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := account{Cloud: gcpfake.Start(t, gcpfake.Options{})}
			a.Inject(f)
			if err := a.life(t.Context()); err != nil {
				t.Error(err)
			}
			if left, _ := a.Count(t.Context()); left != (cloudtest.Counts{}) {
				t.Errorf("left over: %+v", left)
			}
		})
	}
}

// life is all of a cluster's, from Open to CleanupPorts.
func (a account) life(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := a.Factory().Open(ctx, a.Credentials())
	if err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	spec, at := testSpec(2)
	cfg, err := s.Bootstrap(ctx, spec, at)
	if err != nil {
		return fmt.Errorf("Bootstrap: %w", err)
	}
	run := func() error {
		if _, err := s.Run(ctx, spec.Ref, cfg); err != nil {
			return fmt.Errorf("Run: %w", err)
		}
		return s.Wait(ctx, spec.Ref, cloud.StateRunning)
	}
	steps := []func() error{
		run,
		func() error { return s.Commit(ctx, spec.Ref) },
		func() error { return s.OpenPorts(ctx, spec.Ref, cfg, []cloud.PortRange{{First: 80, Last: 80}}) },
		func() error { return s.Stop(ctx, spec.Ref) },
		run,
		func() error { return s.Terminate(ctx, spec.Ref) },
		func() error { return s.CleanupPorts(ctx, spec.Ref) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return errors.Join(fmt.Errorf("step %d: %w", i, err), s.Terminate(ctx, spec.Ref), s.CleanupPorts(ctx, spec.Ref))
		}
	}
	return nil
}
