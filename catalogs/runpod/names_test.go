// SPDX-License-Identifier: MPL-2.0

package runpod

import "testing"

func TestDevice(t *testing.T) {
	for words, want := range map[string]string{
		"H100 SXM": "H100-SXM", "H100 PCIe": "H100", "A100 PCIe": "A100-80GB", "RTX A6000": "RTXA6000", "RTX 6000 Ada": "RTX6000-Ada",
		"RTX PRO 6000": "RTXPRO6000", "RTX PRO 6000 WK": "RTXPRO6000-WK", "RTX PRO 4500": "RTXPRO4500", "NVIDIA H200 NVL": "NVIDIA-H200-NVL",
	} {
		if got := Device(words, 80); got != want {
			t.Errorf("%q is %q, want %q", words, got, want)
		}
	}
}

func TestCountry(t *testing.T) {
	for _, at := range []string{"US-TX-3", "CA-MTL-1", "EU-RO-1", "EUR-IS-1", "EUR-NO-1", "AP-JP-1", "OC-AU-1", "EU-SE-1", "AP-IN-1"} {
		if got := Country(at); len(got) != 2 || got == "EU" || got == "AP" {
			t.Errorf("%q is in %q", at, got)
		}
	}
}
