// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
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
func onShutdown(m machine) cloud.Shutdown { return cloud.Shutdown(m.Tags[tagOnShutdown]) }

// setOnShutdown brings a machine in line with a spec; an empty wish leaves it
// as it is. The mark comes last, so that what was cut off is done again.
func (d *driver) setOnShutdown(ctx context.Context, m machine, spec cloud.ClusterSpec) error {
	how := spec.OnShutdown
	if how == "" || how == onShutdown(m) {
		return nil
	}
	if m.Committed {
		if err := d.powerOff(ctx, m, how); err != nil {
			return err
		}
	}
	return d.tag(ctx, m.Region, []string{m.ID}, map[string]string{tagOnShutdown: string(how)})
}

// powerOff tells AWS what a power-off of a machine does. Of spot machines it
// cannot be changed.
func (d *driver) powerOff(ctx context.Context, m machine, how cloud.Shutdown) error {
	if m.Market == cloud.Spot {
		return nil
	}
	_, err := d.c.in(m.Region).ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{
		InstanceId:                        aws.String(m.ID),
		InstanceInitiatedShutdownBehavior: &types.AttributeValue{Value: aws.String(string(behavior(how, m.Market)))},
	})
	return err //nolint:wrapcheck // the callers say what was being done
}

// Mark implements fleet.Calls. The machine's own timer asks the metadata service
// whether the mark is there, so the mark alone disarms it. Two more things make
// sure: a shutdown does what the cluster's spec says, which is mostly a stop, and
// the machine's tags are hidden from it, which the timer takes for no proof at all.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	unmarked := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return m.Committed })
	err := byRegion(unmarked, func(region string, ids []string) error {
		return d.tag(ctx, region, ids, map[string]string{cloud.TagCommitted: committed})
	})
	if err != nil {
		return err
	}
	armed := slices.DeleteFunc(slices.Clone(machines), func(m machine) bool { return m.Committed && !m.Native.metadataTags })
	return fleet.Each(parallel, armed, func(m machine) error {
		if err := d.disarm(ctx, m); err != nil {
			return fmt.Errorf("disarm the dead-man timer of machine %s: %w", m, err)
		}
		return nil
	})
}

// disarm ends with what Mark reads as done.
func (d *driver) disarm(ctx context.Context, m machine) error {
	if err := d.powerOff(ctx, m, onShutdown(m)); err != nil {
		return err
	}
	_, err := d.c.in(m.Region).ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{
		InstanceId: aws.String(m.ID), InstanceMetadataTags: types.InstanceMetadataTagsStateDisabled,
		// All of them are sent: what is left out must not fall back to a default.
		HttpTokens: types.HttpTokensStateRequired, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
		HttpPutResponseHopLimit: aws.Int32(1),
	})
	return err //nolint:wrapcheck // the SDK names operation and code; Mark says the rest
}
