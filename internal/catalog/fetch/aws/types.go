// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

const mibPerGiB = 1024

// describe is what a type consists of.
func describe(t types.InstanceTypeInfo) fetch.Row {
	row := fetch.Row{Type: string(t.InstanceType), Arch: string(types.ArchitectureTypeX8664)}
	if t.VCpuInfo != nil {
		row.VCPUs = float64(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
	}
	if t.MemoryInfo != nil {
		row.Memory = float64(aws.ToInt64(t.MemoryInfo.SizeInMiB)) / mibPerGiB
	}
	if p := t.ProcessorInfo; p != nil && len(p.SupportedArchitectures) > 0 && !slices.Contains(p.SupportedArchitectures, types.ArchitectureTypeX8664) {
		row.Arch = string(p.SupportedArchitectures[0])
		if strings.HasPrefix(row.Arch, "arm64") {
			row.Arch = string(types.ArchitectureTypeArm64)
		}
	}
	switch {
	case t.NeuronInfo != nil && len(t.NeuronInfo.NeuronDevices) > 0:
		d := t.NeuronInfo.NeuronDevices[0]
		row.Accelerator, row.Count = aws.ToString(d.Name), float64(aws.ToInt32(d.Count))
		if d.MemoryInfo != nil {
			row.DeviceGiB = float64(aws.ToInt32(d.MemoryInfo.SizeInMiB)) / mibPerGiB
		}
	case t.InferenceAcceleratorInfo != nil && len(t.InferenceAcceleratorInfo.Accelerators) > 0:
		d := t.InferenceAcceleratorInfo.Accelerators[0]
		row.Accelerator, row.Count = aws.ToString(d.Name), float64(aws.ToInt32(d.Count))
	case t.GpuInfo != nil && len(t.GpuInfo.Gpus) > 0:
		gpu(&row, t.GpuInfo.Gpus[0])
	}
	return row
}

// gpu names a row's device as catalogs do: AWS has one name for devices that
// differ in memory, and sells some in parts.
func gpu(r *fetch.Row, d types.GpuDeviceInfo) {
	name := strings.TrimPrefix(aws.ToString(d.Name), "Tesla ")
	if d.MemoryInfo != nil {
		r.DeviceGiB = float64(aws.ToInt32(d.MemoryInfo.SizeInMiB)) / mibPerGiB
	}
	switch {
	case name == "A100" && r.DeviceGiB > 60:
		name = "A100-80GB"
	case name == "V100" && r.DeviceGiB > 20:
		name = "V100-32GB"
	case strings.HasPrefix(name, "RTX PRO "): // "RTX PRO Server 6000"
		name = strings.NewReplacer("Server ", "", " ", "").Replace(name)
	}
	r.Accelerator, r.Count = name, float64(aws.ToInt32(d.Count))
	if part := aws.ToFloat64(d.GpuPartitionSize); part > 0 && part < 1 {
		r.Count = part
	}
}
