// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

// Devices are called what catalogs call them, not what EC2 does.
func TestDeviceNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		gib  int32
		want string
	}{
		{"A100", 40, "A100"}, {"A100", 80, "A100-80GB"}, {"Tesla V100", 32, "V100-32GB"}, {"H200", 141, "H200"},
		{"RTX PRO Server 6000", 96, "RTXPRO6000"}, {"RTX PRO 4500", 32, "RTXPRO4500"},
	} {
		var row fetch.Row
		gpu(&row, types.GpuDeviceInfo{Name: aws.String(tt.name), Count: aws.Int32(1), MemoryInfo: &types.GpuDeviceMemoryInfo{SizeInMiB: aws.Int32(tt.gib * mibPerGiB)}})
		if row.Accelerator != tt.want {
			t.Errorf("%s of %d GiB is %q, want %q", tt.name, tt.gib, row.Accelerator, tt.want)
		}
	}
}
