// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
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

// harness is an account at moto, behind the proxy.
type harness struct {
	t     *testing.T
	proxy *ec2proxy.Proxy
	url   string
	moto  string
	zone  string
	// direct calls moto behind the driver's and the proxy's back.
	direct *ec2.Client
}

func newHarness(t *testing.T, proxy *ec2proxy.Proxy) *harness {
	t.Helper()
	isolate(t)
	h := &harness{t: t, proxy: proxy, zone: motoZone, moto: startMoto(t)}
	proxy.Upstream, proxy.Client = h.moto, &http.Client{Timeout: time.Minute}
	proxy.AccessKeys = []string{motoAccessKey}
	address, stop := proxy.Start()
	t.Cleanup(stop)
	h.url = address
	direct, err := newClients(t.Context(), map[string]string{
		optionAccessKey: motoAccessKey, optionSecretKey: "secret", optionRegion: motoRegion, optionEndpoint: h.moto,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.direct = direct.in(motoRegion)
	if err := connectDefaultVPC(t.Context(), h.direct); err != nil {
		t.Fatal(err)
	}
	return h
}

// connectDefaultVPC gives moto's default VPC what AWS's has from birth: a way
// to the internet.
func connectDefaultVPC(ctx context.Context, client *ec2.Client) error {
	vpcs, err := client.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if err != nil {
		return err
	}
	gateway, err := client.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	if err != nil {
		return err
	}
	id, vpc := gateway.InternetGateway.InternetGatewayId, vpcs.Vpcs[0].VpcId
	if _, err := client.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: id, VpcId: vpc}); err != nil {
		return err
	}
	tables, err := client.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: []types.Filter{filter("vpc-id", *vpc)}})
	if err != nil {
		return err
	}
	_, err = client.CreateRoute(ctx, &ec2.CreateRouteInput{
		RouteTableId: tables.RouteTables[0].RouteTableId, GatewayId: id, DestinationCidrBlock: aws.String("0.0.0.0/0"),
	})
	return err
}

func (h *harness) Factory() cloud.Factory { return Factory{tune: hurry} }

// hurry shortens the pauses for an emulator that answers in milliseconds.
func hurry(d *driver) {
	d.poll = retry.Policy{Initial: 20 * time.Millisecond, Max: 200 * time.Millisecond, Factor: 1.5}
	d.settle = 3 * time.Second
}

func (h *harness) Credentials() cloud.Credentials {
	return cloud.Credentials{Values: map[string]string{
		optionAccessKey: motoAccessKey, optionSecretKey: "secret", optionRegion: motoRegion,
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
		Cloud: Name, Region: motoRegion, Zone: h.zone, Market: market, HourlyUSD: 0.096,
		InstanceType: cloud.InstanceType{Name: "m5.large", VCPUs: 2, MemoryGiB: 8},
	}}
}

func (h *harness) Spec(base cloud.ClusterSpec) cloud.ClusterSpec {
	base.SSHUser = "ubuntu"
	for i := range base.Nodes {
		base.Nodes[i].UserData = []byte(fmt.Sprintf("#cloud-config\n# rank %d\n", base.Nodes[i].Identity.Rank))
	}
	return base
}

func (h *harness) Errors() []cloudtest.ErrorRow { return errorRows() }

func (h *harness) LaunchForeign(ctx context.Context, at cloud.Placement, kind cloudtest.Foreign, like cloud.Identity) (string, error) {
	out, err := h.direct.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(motoCPUImage), InstanceType: types.InstanceType(at.Offer.InstanceType.Name), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		Placement:         &types.Placement{AvailabilityZone: aws.String(motoZone)},
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
	return newMachine(motoRegion, out.Reservations[0].Instances[0]), nil
}

func (h *harness) Running(ctx context.Context, id string) (bool, error) {
	m, err := h.show(ctx, id)
	return m.state == cloud.StateRunning, err
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
	case cloudtest.LostAnswer:
		fault.Times = 1
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

func (h *harness) OpenPorts(ctx context.Context, id string) (cloudtest.Gate, error) {
	m, err := h.show(ctx, id)
	if err != nil {
		return cloudtest.Gate{}, err
	}
	out, err := h.direct.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: m.groups})
	if err != nil {
		return cloudtest.Gate{}, err
	}
	var gate cloudtest.Gate
	caller := netip.MustParsePrefix("127.0.0.0/8")
	for _, g := range out.SecurityGroups {
		for _, r := range rulesOf(group{rules: g.IpPermissions}) {
			switch {
			case r.cidr != caller.String():
				return gate, fmt.Errorf("port %s is open to %s", r.ports(), r.cidr)
			case r.ports() == cloud.PortRange{First: sshPort, Last: sshPort}:
				gate.SSH = true
			case !slices.Contains(gate.Ports, r.ports()):
				gate.Ports = append(gate.Ports, r.ports())
			}
		}
	}
	return gate, nil
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
	attribute := func(name types.InstanceAttributeName) (*ec2.DescribeInstanceAttributeOutput, error) {
		return h.direct.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: name})
	}
	data, err := attribute(types.InstanceAttributeNameUserData)
	if err != nil || data.UserData == nil {
		return err
	}
	shutdown, err := deadManVerdict(ctx, h.t, deref(data.UserData.Value), until, func() (map[string]string, bool) {
		m, err := h.show(ctx, id)
		return m.tags, err == nil && m.metadataTags
	})
	if err != nil || !shutdown {
		return err
	}
	behavior, err := attribute(types.InstanceAttributeNameInstanceInitiatedShutdownBehavior)
	if err != nil {
		return err
	}
	if deref(behavior.InstanceInitiatedShutdownBehavior.Value) == string(types.ShutdownBehaviorTerminate) {
		return h.Remove(ctx, id)
	}
	_, err = h.direct.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	return err
}

func TestConformance(t *testing.T) {
	cloudtest.Run(t, newHarness(t, &ec2proxy.Proxy{}))
}

// TestConformanceSlow runs it where listings lag, machines take their time to
// die, and the catalog names zones by id.
func TestConformanceSlow(t *testing.T) {
	h := newHarness(t, &ec2proxy.Proxy{HideFor: 400 * time.Millisecond, LingerFor: 400 * time.Millisecond})
	h.zone = zoneIDOf(t, h, motoZone)
	cloudtest.Run(t, h)
}

// TestConformanceRegional runs it with offers that leave the zone to the driver.
func TestConformanceRegional(t *testing.T) {
	h := newHarness(t, &ec2proxy.Proxy{})
	h.zone = ""
	cloudtest.Run(t, h)
}

func zoneIDOf(t *testing.T, h *harness, name string) string {
	t.Helper()
	out, err := h.direct.DescribeAvailabilityZones(t.Context(), &ec2.DescribeAvailabilityZonesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, z := range out.AvailabilityZones {
		if deref(z.ZoneName) == name {
			return deref(z.ZoneId)
		}
	}
	t.Fatalf("no zone %s", name)
	return ""
}

// Patience is how long a case may take; one takes a second or two.
func (h *harness) Patience() time.Duration { return time.Minute }
