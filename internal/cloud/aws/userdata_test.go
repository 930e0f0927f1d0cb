// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func TestUserDataCarriesTheTimer(t *testing.T) {
	deadline := time.Unix(1790000000, 0)
	for kind, own := range map[string]string{
		"text/cloud-config": "#cloud-config\nssh_keys:\n  ed25519_private: |\n    KEY\n", "text/x-shellscript": "#!/bin/sh\necho hi\n", "text/plain": "Content-Type: text/plain\n\nx",
	} {
		data, err := userData([]byte(own), deadline)
		if err != nil {
			t.Fatal(err)
		}
		again, err := userData([]byte(own), deadline)
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: the same launch gives other bytes: %v", kind, err)
		}
		parts, err := dataParts(data)
		if err != nil {
			t.Fatal(err)
		}
		if parts[kind] != own {
			t.Errorf("%s: the node's own part reads %q, want %q", kind, parts[kind], own)
		}
		if hook := parts["text/cloud-boothook"]; !strings.Contains(hook, "-ge 1790000000 ]") || !strings.HasPrefix(hook, "#!/bin/sh\n") {
			t.Errorf("%s: the timer is %q", kind, hook)
		}
	}
}

func TestUserDataWithoutDeadlineIsTheNodesOwn(t *testing.T) {
	own := []byte("#cloud-config\n")
	data, err := userData(own, time.Time{})
	if err != nil || !bytes.Equal(data, own) {
		t.Errorf("userData = %q, %v", data, err)
	}
}

func TestUserDataHasALimit(t *testing.T) {
	room := maxUserData - 2600 // for the timer
	if _, err := userData(bytes.Repeat([]byte("x"), room), time.Unix(1, 0)); err != nil {
		t.Errorf("%d bytes are refused: %v", room, err)
	}
	_, err := userData(bytes.Repeat([]byte("CANARY"), maxUserData/6), time.Unix(1, 0))
	if err == nil || !strings.Contains(err.Error(), "16384") || !strings.Contains(err.Error(), "setup") {
		t.Errorf("too much user data: %v", err)
	}
	if strings.Contains(err.Error(), "CANARY") {
		t.Error("the error shows the user data")
	}
	if classify(err).Kind != cloud.KindConfig {
		t.Errorf("it is classified as %s", classify(err))
	}
}

// TestDeadMan runs the timer as a machine would.
func TestDeadMan(t *testing.T) {
	deadline := time.Unix(1790000000, 0)
	data, err := userData([]byte("#cloud-config\n"), deadline)
	if err != nil {
		t.Fatal(err)
	}
	uncommitted := map[string]string{cloud.TagOwner: "o", "Name": "x"}
	recorded := map[string]string{cloud.TagOwner: "o", cloud.TagCommitted: committed}
	looks := 0
	for _, tt := range []struct {
		name string
		at   time.Time
		tags func() (map[string]string, bool)
		want bool
	}{
		{"past the deadline, not recorded", deadline, func() (map[string]string, bool) { return uncommitted, true }, true},
		{"before the deadline", deadline.Add(-time.Hour), func() (map[string]string, bool) { return uncommitted, true }, false},
		{"recorded", deadline, func() (map[string]string, bool) { return recorded, true }, false},
		{"tags hidden", deadline, func() (map[string]string, bool) { return nil, false }, false},
		{"no tags at all", deadline, func() (map[string]string, bool) { return map[string]string{}, true }, false},
		{"recorded at the last moment", deadline, func() (map[string]string, bool) {
			if looks++; looks > 1 {
				return recorded, true
			}
			return uncommitted, true
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := deadManVerdict(t.Context(), t, base64.StdEncoding.EncodeToString(data), tt.at, tt.tags)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("the machine shut down: %t, want %t", got, tt.want)
			}
		})
	}
}
