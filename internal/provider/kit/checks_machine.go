// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// CheckDiskTier takes tiers of disks.
func CheckDiskTier(tier string) error {
	return CheckOneOf("low", "medium", "high", "ultra", "best")(tier)
}

// CheckMarket takes ways to buy machines.
func CheckMarket(text string) error {
	_, _, err := cloud.ParseMarket(text)
	return err
}

// CheckAccelerators takes one accelerator with its count, but no TPU.
func CheckAccelerators(text string) error {
	parsed, err := cloud.ParseAccelerators(text)
	if err == nil && slices.ContainsFunc(parsed, cloud.Accelerator.IsTPU) {
		return fmt.Errorf("%q is a TPU; TPU VMs are not supported yet, so ask for another accelerator", text)
	}
	return err
}

// CheckCPUs takes numbers of vCPUs.
func CheckCPUs(text string) error {
	_, err := cloud.ParseCPUs(text)
	return err
}

// CheckMemory takes sizes of memory.
func CheckMemory(text string) error {
	_, err := cloud.ParseMemory(text)
	return err
}

// CheckInfra takes cloud/region/zone.
func CheckInfra(text string) error {
	_, err := cloud.ParseInfra(text)
	return err
}

// CheckLabelKey takes keys of labels that are not the provider's own.
func CheckLabelKey(key string) error {
	switch {
	case len(key) > maxLabel:
		return fmt.Errorf("the label key has %d characters; write at most %d", len(key), maxLabel)
	case strings.HasPrefix(strings.ToLower(key), cloud.TagPrefix):
		return fmt.Errorf("the label %q is reserved: %q marks the provider's own tags; choose another key", key, cloud.TagPrefix)
	case !labelPattern.MatchString(key):
		return fmt.Errorf("the label key %q cannot be used; write letters, digits, dashes, underscores, dots and slashes, such as \"team\"", key)
	}
	return nil
}

// CheckLabelValue takes values of labels.
func CheckLabelValue(value string) error {
	switch {
	case len(value) > maxLabel:
		return fmt.Errorf("the label value has %d characters; write at most %d", len(value), maxLabel)
	case strings.ContainsFunc(value, unicode.IsControl) || !utf8.ValidString(value):
		return fmt.Errorf("the label value %q holds a control character; remove it", value)
	}
	return nil
}

// CheckPort takes ports and ranges of ports, without SSH's.
func CheckPort(text string) error {
	ports, err := cloud.ParsePorts(text)
	if err == nil && ports[0].First <= 22 && ports[0].Last >= 22 {
		return fmt.Errorf("port 22 is SSH's own and open already; leave it out")
	}
	return err
}
