// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

const (
	acceleratorNvidia = "nvidia"
	acceleratorNeuron = "neuron"

	ownerCanonical = "099720109477"
	ownerAmazon    = "amazon"
	// parameterPrefix marks an image given as the name of an SSM parameter.
	parameterPrefix = "ssm:"
)

// image is a machine image as far as a launch needs to know it.
type image struct {
	id, arch   string
	rootDevice string
	// minGiB is the size of the image's own root disk.
	minGiB int32
}

// source is where the newest image of a kind is found: an SSM parameter that
// its maker keeps up to date, else the newest by owner and name.
type source struct {
	parameter, owner, name string
}

// defaultSource is the image for a type, where the user named none: Ubuntu, with
// NVIDIA's driver or AWS Neuron where the type has such devices.
func defaultSource(t typeInfo) source {
	arm := t.arch == string(types.ArchitectureValuesArm64)
	switch {
	case t.accelerator == acceleratorNeuron:
		return source{
			"/aws/service/neuron/dlami/base/ubuntu-24.04/latest/image_id",
			ownerAmazon, "Deep Learning Base Neuron AMI (Ubuntu 24.04)*",
		}
	case t.accelerator == acceleratorNvidia && arm:
		return source{
			"/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
			ownerAmazon, "Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)*",
		}
	case t.accelerator == acceleratorNvidia && oldNvidia(t.name):
		return source{
			"/aws/service/deeplearning/ami/x86_64/base-proprietary-nvidia-driver-gpu-ubuntu-20.04/latest/ami-id",
			ownerAmazon, "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 20.04)*",
		}
	case t.accelerator == acceleratorNvidia:
		return source{
			"/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
			ownerAmazon, "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)*",
		}
	}
	arch := "amd64"
	if arm {
		arch = "arm64"
	}
	return source{
		"/aws/service/canonical/ubuntu/server/24.04/stable/current/" + arch + "/hvm/ebs-gp3/ami-id",
		ownerCanonical, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-" + arch + "-server-*",
	}
}

// oldNvidia reports the types whose devices NVIDIA's open driver does not know:
// those before Turing.
func oldNvidia(instanceType string) bool {
	family, _, _ := strings.Cut(instanceType, ".")
	return slices.Contains([]string{"p2", "p3", "p3dn", "g3", "g3s"}, family)
}

// image finds the image asked for, or the default for the type, and sees to it
// that it runs there.
func (d *driver) image(ctx context.Context, region, want string, t typeInfo) (image, error) {
	found, err := d.findImage(ctx, region, want, t)
	if err != nil {
		return image{}, err
	}
	if found.arch != t.arch && found.arch != "" {
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "image %s is for %s, and instance type %s is %s", found.id, found.arch, t.name, t.arch)
	}
	return found, nil
}

func (d *driver) findImage(ctx context.Context, region, want string, t typeInfo) (image, error) {
	switch {
	case strings.HasPrefix(want, "ami-"):
		return d.imageByID(ctx, region, want)
	case strings.HasPrefix(want, parameterPrefix):
		id, err := d.parameter(ctx, region, strings.TrimPrefix(want, parameterPrefix))
		if err != nil {
			return image{}, err
		}
		return d.imageByID(ctx, region, id)
	case want != "":
		return image{}, fleet.ConfigErrorf(cloud.ScopeCloud, "there is no image %q: an image on AWS is an id such as ami-0123456789abcdef0, a tag of the "+
			"catalog, or ssm: with the name of a parameter", want)
	}
	src := defaultSource(t)
	id, err := d.parameter(ctx, region, src.parameter)
	if err == nil {
		return d.imageByID(ctx, region, id)
	}
	if ctx.Err() != nil {
		return image{}, err
	}
	// No such parameter, or no right to read it: look among the images themselves.
	return d.newestImage(ctx, region, src, t.arch)
}

func (d *driver) parameter(ctx context.Context, region, name string) (string, error) {
	out, err := d.c.parameter(region)(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	if err != nil {
		return "", fmt.Errorf("read the SSM parameter %s in %s: %w", name, region, err)
	}
	if out.Parameter == nil || !strings.HasPrefix(aws.ToString(out.Parameter.Value), "ami-") {
		return "", fleet.ConfigErrorf(cloud.ScopeRegion, "the SSM parameter %s in %s holds no image id", name, region)
	}
	return *out.Parameter.Value, nil
}

func (d *driver) imageByID(ctx context.Context, region, id string) (image, error) {
	out, err := d.c.in(region).DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	switch {
	case err != nil:
		return image{}, fmt.Errorf("look up image %s in %s: %w", id, region, err)
	case len(out.Images) == 0:
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "there is no image %s in %s; images differ from region to region", id, region)
	}
	return newImage(out.Images[0])
}

func (d *driver) newestImage(ctx context.Context, region string, src source, arch string) (image, error) {
	client := d.c.in(region)
	all, err := pages("images "+src.name, func(token *string) ([]types.Image, *string, error) {
		out, err := client.DescribeImages(ctx, &ec2.DescribeImagesInput{
			Owners: []string{src.owner}, NextToken: token,
			Filters: []types.Filter{
				filter("name", src.name), filter("architecture", arch), filter("state", "available"), filter("root-device-type", "ebs"),
			},
		})
		if err != nil {
			return nil, nil, err
		}
		return out.Images, out.NextToken, nil
	})
	if err != nil {
		return image{}, err
	}
	if len(all) == 0 {
		return image{}, fleet.ConfigErrorf(cloud.ScopeRegion, "region %s has no image named %q for %s: set image_id", region, src.name, arch)
	}
	return newImage(slices.MaxFunc(all, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate)+aws.ToString(a.ImageId), aws.ToString(b.CreationDate)+aws.ToString(b.ImageId))
	}))
}

func newImage(in types.Image) (image, error) {
	out := image{id: aws.ToString(in.ImageId), arch: string(in.Architecture), rootDevice: aws.ToString(in.RootDeviceName)}
	if in.RootDeviceType == types.DeviceTypeInstanceStore || out.rootDevice == "" {
		return image{}, fleet.ConfigErrorf(cloud.ScopeCloud, "image %s does not boot from an EBS disk", out.id)
	}
	for _, b := range in.BlockDeviceMappings {
		if aws.ToString(b.DeviceName) == out.rootDevice && b.Ebs != nil {
			out.minGiB = aws.ToInt32(b.Ebs.VolumeSize)
		}
	}
	return out, nil
}
