// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

const (
	testRegion    = "us-east-1"
	testZone      = "us-east-1b"
	testAccessKey = "AKIATESTTESTTESTTEST"
)

// harness is an account at an emulator, behind the proxy.
type harness struct {
	t     *testing.T
	proxy *ec2proxy.Proxy
	url   string
	zone  string
	image string // for machines of others
	// other is an image that is not the default.
	other string
	// caller tells the caller's address.
	caller string
	calls  *launchLog
	// direct calls the emulator behind the driver's and the proxy's back.
	direct *ec2.Client
}

func newHarness(t *testing.T, proxy *ec2proxy.Proxy, upstream string) *harness {
	t.Helper()
	isolate(t)
	h := &harness{t: t, proxy: proxy, zone: testZone, image: fakeCPUImage, other: "ami-0000000000000004", calls: watchLaunches(proxy)}
	caller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("203.0.113.9\n")) }))
	t.Cleanup(caller.Close)
	h.caller = caller.URL
	proxy.Upstream, proxy.Client = upstream, &http.Client{Timeout: time.Minute}
	proxy.AccessKeys = []string{testAccessKey}
	address, stop := proxy.Start()
	t.Cleanup(stop)
	h.url = address
	direct, err := newClients(t.Context(), map[string]string{
		optionAccessKey: "AKIADIRECTDIRECTDIR0", optionSecretKey: "secret", optionRegion: testRegion, optionEndpoint: upstream,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.direct = ec2.NewFromConfig(direct.cfg)
	return h
}

func (h *harness) Factory() cloud.Factory {
	return Factory{tune: func(d *driver) {
		hurry(d)
		d.CallerSource = h.caller
	}}
}

// hurry shortens the pauses for an emulator that answers in milliseconds.
func hurry(d *driver) {
	d.Poll = retry.Policy{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond, Factor: 1.5}
	d.Settle = 3 * time.Second
}

func (h *harness) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{
		optionAccessKey: testAccessKey, optionSecretKey: "secret", optionRegion: testRegion,
		optionRegions: "us-east-1,eu-west-1", optionEndpoint: h.url,
	}}
}

func (h *harness) BadCredentials() cloud.Credentials {
	c := h.Credentials()
	c.Values[optionAccessKey], c.Values[optionSecretKey] = "AKIAWRONGWRONGWRONG0", "canary-secret"
	return c
}

func (h *harness) Placement(nodes int, market cloud.Market) cloud.Placement {
	return cloud.Placement{Nodes: nodes, Offer: cloud.Offer{
		Cloud: Name, Region: testRegion, Zone: h.zone, Market: market, HourlyUSD: 0.096,
		InstanceType: cloud.InstanceType{Name: "m5.large", VCPUs: 2, MemoryGiB: 8},
	}}
}

func (h *harness) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhu4ZsCQ4yHoSi5HzZ6sNEJTZ0CWkNCDNqmnLTGmpDE conformance"
	base.SSHUser = "ubuntu"
	base.AuthorizedKeys = []string{key}
	for i := range base.Nodes { // keys come with the user data, as in the cluster template
		base.Nodes[i].UserData = fmt.Appendf(nil, "#cloud-config\n# rank %d\nssh_authorized_keys:\n- %s\n", base.Nodes[i].Identity.Rank, key)
	}
	return base
}

func (h *harness) Errors() []cloudtest.ErrorRow { return errorRows() }

func (h *harness) LaunchForeign(ctx context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	out, err := h.direct.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(h.image), InstanceType: types.InstanceType(at.Offer.InstanceType.Name), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		Placement:         &types.Placement{AvailabilityZone: aws.String(testZone)},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: ec2Tags(kind.Tags(like))}},
	})
	if err != nil {
		return "", err
	}
	return *out.Instances[0].InstanceId, nil
}

func (h *harness) show(ctx context.Context, id string) (machine, error) {
	out, err := h.direct.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return machine{}, err
	}
	return newMachine(testRegion, out.Reservations[0].Instances[0]), nil
}

func (h *harness) Running(ctx context.Context, id string) (bool, error) {
	m, err := h.show(ctx, id)
	return m.State == cloud.StateRunning, err
}

func (h *harness) Remove(ctx context.Context, id string) error {
	_, err := h.direct.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	return err
}

func (h *harness) KillMachine(ctx context.Context, id string) error { return h.Remove(ctx, id) }

func (h *harness) InjectLaunchFault(_ context.Context, kind cloudtest.LaunchFault, skip int) (func(context.Context) error, error) {
	fault := ec2proxy.Fault{Action: "RunInstances", Skip: skip}
	switch kind {
	case cloudtest.NoCapacity:
		fault.Status, fault.Code = http.StatusInternalServerError, "InsufficientInstanceCapacity"
		fault.Message = "We currently do not have sufficient m5.large capacity in the Availability Zone you requested."
		if h.zone == "" && skip > 0 {
			// Where the driver chooses the zone, a lack in one makes all nodes move on
			// together (TestNodesMoveOnTogether); this one is the region's.
			fault.Code, fault.Message = "InsufficientAddressCapacity", "Not enough addresses to satisfy the request"
		}
	case cloudtest.LostAnswer:
		fault.Times = 1
	case cloudtest.LateCapacity:
		fault.Starve = true
	case cloudtest.LateAddress:
		fault.Unaddressed = 400 * time.Millisecond
	case cloudtest.OneAtATime:
		fault.Skip, fault.Times, fault.Status, fault.Code, fault.Message = 1, 2, http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."
	case cloudtest.LostMark:
		fault.Action, fault.Times, fault.Silent = "CreateTags", 1, true
	case cloudtest.LostDisarm:
		fault.Action, fault.Times, fault.Silent = "ModifyInstanceMetadataOptions", 2, true
	default:
		return nil, fmt.Errorf("no such fault: %s", kind)
	}
	remove := h.proxy.Inject(fault)
	return func(context.Context) error { remove(); return nil }, nil
}

func (h *harness) Count(ctx context.Context) (cloudtest.Counts, error) {
	counts := cloudtest.Counts{Firewalls: h.proxy.PlacementGroups()}
	machines, err := h.direct.DescribeInstances(ctx, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1000)})
	if err != nil {
		return counts, err
	}
	for _, r := range machines.Reservations {
		for _, in := range r.Instances {
			if stateOf(in.State) != cloud.StateTerminated {
				counts.Machines++
			}
		}
	}
	volumes, err := h.direct.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
	if err != nil {
		return counts, err
	}
	groups, err := h.direct.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	if err != nil {
		return counts, err
	}
	keys, err := h.direct.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{})
	if err != nil {
		return counts, err
	}
	counts.Disks, counts.Keys = len(volumes.Volumes), len(keys.KeyPairs)
	counts.Firewalls += len(groups.SecurityGroups)
	return counts, nil
}

func (h *harness) ShortestDeadline() time.Duration { return 10 * time.Minute }

// PassTime lets every running machine's own timer, as it stands in its user
// data, see that the deadline is over.
func (h *harness) PassTime(ctx context.Context, until time.Time) error {
	out, err := h.direct.DescribeInstances(ctx, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1000)})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range out.Reservations {
		for _, in := range r.Instances {
			if stateOf(in.State) == cloud.StateRunning {
				errs = append(errs, h.passOn(ctx, *in.InstanceId, until))
			}
		}
	}
	return errors.Join(errs...)
}

func (h *harness) passOn(ctx context.Context, id string, until time.Time) error {
	data, err := h.direct.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{
		InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameUserData,
	})
	if err != nil || data.UserData == nil {
		return err
	}
	shutdown, err := deadManVerdict(ctx, h.t, aws.ToString(data.UserData.Value), until, func() (map[string]string, bool) {
		m, err := h.show(ctx, id)
		return m.Tags, err == nil && m.Native.metadataTags
	})
	if err != nil || !shutdown {
		return err
	}
	return h.powerOff(ctx, id)
}

// powerOff does what EC2 does with a machine that shuts itself down.
func (h *harness) powerOff(ctx context.Context, id string) error {
	out, err := h.direct.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{
		InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameInstanceInitiatedShutdownBehavior,
	})
	if err != nil {
		return err
	}
	if aws.ToString(out.InstanceInitiatedShutdownBehavior.Value) == string(types.ShutdownBehaviorTerminate) {
		return h.Remove(ctx, id)
	}
	_, err = h.direct.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	return err
}

// EndItself does what the template's self_stop and self_terminate come to: a
// power-off either way.
func (h *harness) EndItself(ctx context.Context, id string, _ cloud.Shutdown) error {
	return h.powerOff(ctx, id)
}

// TestConformance runs the suite against a fake EC2 that speaks HTTP; the lane
// test-aws runs it against moto.
func TestConformance(t *testing.T) {
	fake, address := newFakeEC2(t)
	h := newHarness(t, &ec2proxy.Proxy{}, address)
	cloudtest.Run(t, h)
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
	wantOwned(t, fake)
	if len(fake.unknown) > 0 {
		t.Errorf("actions that the fake does not know: %v", fake.unknown)
	}
}
