// SPDX-License-Identifier: MPL-2.0

package vms

import (
	"strings"
	"testing"
)

func TestPricesOfNothing(t *testing.T) {
	for text, want := range map[string]string{
		"1e-320": "below anything sold", "4.9e-324": "below anything sold", "0.0000001": "below anything sold",
		"0.000001": "", "0": "", "0.5": "", "1e400": "not a finite number",
	} {
		if _, problem := price(text); (problem == "") != (want == "") || !strings.Contains(problem, want) {
			t.Errorf("price(%s): %q, want %q", text, problem, want)
		}
	}
}
