// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"slices"
	"strings"
	"testing"
)

func TestNothingWithSHA1IsOffered(t *testing.T) {
	offered := strong()
	if len(offered.KeyExchanges) == 0 || len(offered.Ciphers) == 0 || len(offered.MACs) == 0 {
		t.Fatalf("empty lists stand for the library's own: %+v", offered)
	}
	for _, list := range [][]string{offered.KeyExchanges, offered.Ciphers, offered.MACs} {
		if slices.ContainsFunc(list, func(name string) bool { return strings.Contains(name, "sha1") || strings.Contains(name, "cbc") }) {
			t.Errorf("offered: %v", list)
		}
	}
}
