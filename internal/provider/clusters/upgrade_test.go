// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"testing"
)

func TestStateOfEarlierReleases(t *testing.T) {
	for old, want := range map[string]string{
		`{"name":"a","resources":{"accelerators":"A100:8","cpus":null}}`: `{"name":"a","resources":{"accelerators":{"type":"string","value":"A100:8"},"cpus":null}}`,
		`{"resources":{"accelerators":null}}`:                            `{"resources":{"accelerators":null}}`,
		`{"resources":null}`:                                             `{"resources":null}`,
		`{"resources":{"accelerators":{"value":"T4","type":"string"}}}`:  `{"resources":{"accelerators":{"value":"T4","type":"string"}}}`,
	} {
		if got, err := withTypedAccelerators([]byte(old)); err != nil || string(got) != want {
			t.Errorf("%s becomes %s, %v; want %s", old, got, err, want)
		}
	}
	if _, err := withTypedAccelerators([]byte("[")); err == nil {
		t.Error("no JSON was accepted")
	}
}
