// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// A machine stops or removes itself by a power-off: EC2 keeps for each machine
// what that does, so no credentials are needed there. Before Commit it removes
// the machine, for the sake of the dead-man timer; what it is to do afterwards
// waits in a tag. Spot machines, which AWS does not let stop, end for good.

// firstBehavior is what a power-off does from the launch on.
func firstBehavior(spec cloud.ClusterSpec, market cloud.Market) types.ShutdownBehavior {
	if !spec.Deadline.IsZero() {
		return types.ShutdownBehaviorTerminate
	}
	return behavior(spec.OnShutdown, market)
}

func behavior(how cloud.Shutdown, market cloud.Market) types.ShutdownBehavior {
	if how == cloud.ShutdownTerminate || market == cloud.Spot {
		return types.ShutdownBehaviorTerminate
	}
	return types.ShutdownBehaviorStop
}

// onShutdown is what the machine's last Run wanted of a power-off.
func (m machine) onShutdown() cloud.Shutdown { return cloud.Shutdown(m.tags[tagOnShutdown]) }

// setOnShutdown brings a machine in line with a spec; an empty wish leaves it
// as it is. The mark comes last, so that what was cut off is done again.
func (d *driver) setOnShutdown(ctx context.Context, m machine, how cloud.Shutdown) error {
	if how == "" || how == m.onShutdown() {
		return nil
	}
	if m.committed() {
		if err := d.powerOff(ctx, m, how); err != nil {
			return err
		}
	}
	_, err := d.c.in(m.region).CreateTags(ctx, &ec2.CreateTagsInput{
		Resources: []string{m.id}, Tags: ec2Tags(map[string]string{tagOnShutdown: string(how)}),
	})
	return err //nolint:wrapcheck // adopt says what was being done
}

// powerOff tells AWS what a power-off of a machine does. Of spot machines it
// cannot be changed.
func (d *driver) powerOff(ctx context.Context, m machine, how cloud.Shutdown) error {
	if m.market == cloud.Spot {
		return nil
	}
	_, err := d.c.in(m.region).ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{
		InstanceId:                        aws.String(m.id),
		InstanceInitiatedShutdownBehavior: &types.AttributeValue{Value: aws.String(string(behavior(how, m.market)))},
	})
	return err //nolint:wrapcheck // the callers say what was being done
}
