// SPDX-License-Identifier: MPL-2.0

package tags

import (
	"maps"
	"regexp"
	"strings"
	"testing"
)

// TestFlat: tags that a narrow cloud holds are read back as they were.
func TestFlat(t *testing.T) {
	f, form := Flat{MaxKey: 55, MaxValue: 128}, regexp.MustCompile(`^[a-z][a-z0-9-:]+$`)
	tags := map[string]string{
		"sky-owner": "me", "Team": "weather", "a": "one letter", "9": "digit", "-dash": "", "cost_center": "4711", "a:b": "colon", "x": "x", "x-1": "y",
		"sky-host-key": "ssh-ed25519 " + strings.Repeat("A", 300), "ü": strings.Repeat("ü", 100), "x::1": "odd", "long": strings.Repeat("v", 128),
	}
	held, err := f.Encode(tags)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range held {
		if !form.MatchString(k) || len(k) > 55 || len(v) > 128 {
			t.Errorf("the tag %q = %q cannot be held", k, v)
		}
	}
	if got := f.Decode(held); !maps.Equal(got, tags) {
		t.Errorf("read back are %q, want %q", got, tags)
	}
	if held["sky-owner"] != "me" || held["long"] != tags["long"] {
		t.Errorf("what could be held as it is is %q", held)
	}
	if _, err := f.Encode(map[string]string{strings.Repeat("K", 40): "v"}); err == nil {
		t.Error("a key that does not fit is taken")
	}
}
