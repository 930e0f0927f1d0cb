// SPDX-License-Identifier: MPL-2.0

package gc

import (
	"strings"
	"testing"
)

func TestReadState(t *testing.T) {
	for _, bad := range []string{"", "{}", "<html>", `{"version":3}`, `{"version":4,"resources":[{"mode":"managed","type":"sky_cluster","name":"a","instances":[{"attributes":{}}]}]}`} {
		if s, err := ReadState("x", strings.NewReader(bad)); err == nil {
			t.Errorf("ReadState(%q) = %+v", bad, s)
		}
	}
	if s, err := ReadState("x", strings.NewReader(`{"version":4,"resources":null}`)); err != nil || len(s.Clusters) != 0 {
		t.Errorf("an empty state = %+v, %v", s, err)
	}
}

func FuzzReadState(f *testing.F) {
	f.Add(`{"version":4,"resources":[{"mode":"managed","type":"sky_cluster","name":"a","instances":[{"index_key":"k","attributes":{"cloud":"c","nodes":[{"instance_id":"i"}]}}]}]}`)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = ReadState("x", strings.NewReader(text)) })
}
