// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest"
)

// startMoto starts a moto server of its own and returns its URL. It fails
// where there is none: this lane was asked for.
func startMoto(t *testing.T, extra ...string) string {
	t.Helper()
	binary, err := motoServer()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-H", "127.0.0.1", "-p", "0")
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	cmd.Env = append(own, append(extra,
		"MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=true", "MOTO_ENABLE_AMI_VALIDATION=true",
		"MOTO_AMIS_PATH="+writeImages(t), "PYTHONUNBUFFERED=1")...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	url := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, address, ok := strings.Cut(lines.Text(), "Running on "); ok {
				url <- strings.TrimSpace(address)
			}
		}
	}()
	select {
	case address := <-url:
		return address
	case <-time.After(time.Minute):
		t.Fatal("moto does not say where it listens")
		return ""
	}
}

func motoServer() (string, error) {
	if path := os.Getenv("SKY_MOTO_SERVER"); path != "" {
		return path, nil
	}
	own, err := filepath.Abs("../../../.tools/moto/bin/moto_server")
	if err == nil {
		if _, err := os.Stat(own); err == nil {
			return own, nil
		}
	}
	path, err := exec.LookPath("moto_server")
	if err != nil {
		return "", fmt.Errorf("there is no moto server: run \"make test-aws\", or sh .ci/peers/test-aws first: %w", err)
	}
	return path, nil
}

// The images of the emulated account.
const (
	motoCPUImage = "ami-0aaaaaaaaaaaaaaa1"
	motoArmImage = "ami-0aaaaaaaaaaaaaaa2"
	motoOldImage = "ami-0aaaaaaaaaaaaaaa3"
	motoGPUImage = "ami-0aaaaaaaaaaaaaaa4"
)

func writeImages(t *testing.T) string {
	t.Helper()
	image := func(id, owner, name, arch string) map[string]any {
		return map[string]any{
			"ami_id": id, "owner_id": owner, "name": name, "architecture": arch, "state": "available", "public": true,
			"root_device_type": "ebs", "root_device_name": "/dev/sda1", "virtualization_type": "hvm", "hypervisor": "xen",
			"image_type": "machine", "description": name, "image_location": owner + "/" + name, "sriov": "simple",
		}
	}
	text, err := json.Marshal([]map[string]any{
		image(motoOldImage, ownerCanonical, "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20250101", "x86_64"),
		image(motoCPUImage, ownerCanonical, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260901", "x86_64"),
		image(motoArmImage, ownerCanonical, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20260901", "arm64"),
		image(motoGPUImage, "amazon", "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20260901", "x86_64"),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "amis.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newPrivateMotoHarness is the suite's harness on a moto server of its own,
// whose default VPC has no way to the internet: its subnets are private.
func newPrivateMotoHarness(t *testing.T, proxy *ec2proxy.Proxy) *harness {
	t.Helper()
	h := newHarness(t, proxy, startMoto(t))
	h.image, h.other = motoCPUImage, motoGPUImage
	if _, err := h.Count(t.Context()); err != nil { // moto makes a region when it is first asked about it
		t.Fatal(err)
	}
	return h
}

// privateAddress asks moto for a machine's address inside its VPC.
func (h *harness) privateAddress(id string) string {
	m, err := h.show(h.t.Context(), id)
	if err != nil {
		h.t.Error(err)
	}
	return m.InternalIP
}

// newMotoHarness is one whose default VPC has public subnets.
func newMotoHarness(t *testing.T, proxy *ec2proxy.Proxy) *harness {
	t.Helper()
	h := newPrivateMotoHarness(t, proxy)
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

func TestMotoConformance(t *testing.T) {
	h := newMotoHarness(t, &ec2proxy.Proxy{})
	cloudtest.Run(t, h)
	checkRequests(t, h.proxy)
	checkPolicy(t, h.proxy)
}

// TestMotoConformanceSlow runs the suite where listings lag, machines take their
// time to die, and the catalog names zones by id.
func TestMotoConformanceSlow(t *testing.T) {
	h := newMotoHarness(t, &ec2proxy.Proxy{HideFor: 400 * time.Millisecond, LingerFor: 400 * time.Millisecond, DetachFor: 200 * time.Millisecond})
	h.zone = zoneIDOf(t, h, testZone)
	cloudtest.Run(t, h)
}

// TestMotoConformanceRegional runs it with offers that leave the zone to the driver.
func TestMotoConformanceRegional(t *testing.T) {
	h := newMotoHarness(t, &ec2proxy.Proxy{})
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
		if aws.ToString(z.ZoneName) == name {
			return aws.ToString(z.ZoneId)
		}
	}
	t.Fatalf("no zone %s", name)
	return ""
}
