// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"regexp"
	"strings"

	"google.golang.org/api/cloudbilling/v1"
)

// priceKey is what is priced: "n2 core", "n2 ram" or a device's name, lower case.
type priceKey struct {
	what, region string
	spot         bool
}

// priceList holds US dollars an hour for one core, one GiB or one device.
type priceList map[priceKey]float64

// The words of the descriptions, such as "Spot Preemptible N2D AMD Instance
// Core running in Americas" and "Nvidia L4 GPU attached to Spot Preemptible VMs
// running in Tokyo".
var (
	partForm   = regexp.MustCompile(`^(?:Spot Preemptible |Preemptible )?(.+?) (?:Instance )?(Core|Ram|RAM) running in `)
	deviceForm = regexp.MustCompile(`^(Nvidia .+?)(?: GPU)?(?: attached to (?:Spot )?Preemptible VMs)? running in `)
)

// otherwise are words of prices that are for something else than a machine by
// itself.
func otherwise() []string {
	return []string{"commitment", "reserved", "reservation", "custom", "sole tenancy", "extended", "premium", "dws", "calendar", "upgrade", "overcommit"}
}

// families translates the words before "Instance Core"; others are the
// family's own name and what makes its cores.
func families() map[string]string {
	return map[string]string{
		"n1 predefined": "n1", "compute optimized": "c2", "memory-optimized": "m1", "memory optimized": "m1",
		"a3plus": "a3", "a3ultra": "a3",
	}
}

func (p priceList) add(sku *cloudbilling.Sku) {
	if sku.Category == nil || sku.Category.ResourceFamily != "Compute" {
		return
	}
	spot := sku.Category.UsageType == "Preemptible"
	if !spot && sku.Category.UsageType != "OnDemand" {
		return
	}
	what := part(sku.Description)
	price, ok := unitPrice(sku)
	if what == "" || !ok {
		return
	}
	for _, region := range sku.ServiceRegions {
		p[priceKey{what, region, spot}] = price
	}
}

// part reads a description; empty is nothing that a machine consists of.
func part(description string) string {
	low := strings.ToLower(description)
	for _, word := range otherwise() {
		if strings.Contains(low, word) {
			return ""
		}
	}
	if found := deviceForm.FindStringSubmatch(description); found != nil {
		return strings.ToLower(found[1])
	}
	found := partForm.FindStringSubmatch(description)
	if found == nil {
		return ""
	}
	family := strings.ToLower(found[1])
	if short, ok := families()[family]; ok {
		family = short
	}
	for _, maker := range []string{" amd", " arm"} {
		family = strings.TrimSuffix(family, maker)
	}
	if strings.Contains(family, " ") {
		return ""
	}
	return family + " " + strings.ToLower(found[2])
}

// unitPrice is the price for an hour, after what is free.
func unitPrice(sku *cloudbilling.Sku) (float64, bool) {
	if len(sku.PricingInfo) == 0 {
		return 0, false
	}
	e := sku.PricingInfo[len(sku.PricingInfo)-1].PricingExpression // the newest comes last
	if e == nil || len(e.TieredRates) == 0 || (e.UsageUnit != "h" && e.UsageUnit != "GiBy.h" && e.UsageUnit != "GBy.h") {
		return 0, false
	}
	last := e.TieredRates[len(e.TieredRates)-1].UnitPrice
	if last == nil || (last.CurrencyCode != "" && last.CurrencyCode != "USD") {
		return 0, false
	}
	price := float64(last.Units) + float64(last.Nanos)/1e9
	return price, price > 0
}

// device is an accelerator: what the catalog calls it, and its price list.
type device struct {
	name, sku string
	gib       float64
	attaches  bool // to N1 machines
}

func devices() map[string]device {
	return map[string]device{
		"nvidia-tesla-t4":       {"T4", "nvidia tesla t4", 16, true},
		"nvidia-tesla-p4":       {"P4", "nvidia tesla p4", 8, true},
		"nvidia-tesla-v100":     {"V100", "nvidia tesla v100", 16, true},
		"nvidia-tesla-p100":     {"P100", "nvidia tesla p100", 16, true},
		"nvidia-tesla-k80":      {"K80", "nvidia tesla k80", 12, true},
		"nvidia-l4":             {"L4", "nvidia l4", 24, false},
		"nvidia-tesla-a100":     {"A100", "nvidia tesla a100", 40, false},
		"nvidia-a100-80gb":      {"A100-80GB", "nvidia tesla a100 80gb", 80, false},
		"nvidia-h100-80gb":      {"H100", "nvidia h100 80gb", 80, false},
		"nvidia-h100-mega-80gb": {"H100-MEGA", "nvidia h100 80gb mega", 80, false},
		"nvidia-h200-141gb":     {"H200", "nvidia h200 141gb", 141, false},
		"nvidia-b200":           {"B200", "nvidia b200", 180, false},
	}
}
