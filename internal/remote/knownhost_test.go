// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

func TestKnownHost(t *testing.T) {
	_, key, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	for want, at := range map[string]struct {
		host string
		port int
	}{
		"192.0.2.1":          {"192.0.2.1", 22},
		"10.0.0.1":           {"10.0.0.1", 0},
		"[192.0.2.1]:2222":   {"192.0.2.1", 2222},
		"2001:db8::1":        {"2001:db8::1", 22},
		"[2001:db8::1]:2222": {"2001:db8::1", 2222},
	} {
		got, err := remote.KnownHost(at.host, at.port, key+" me@here\n")
		if err != nil || got != want+" "+key+"\n" {
			t.Errorf("KnownHost(%s, %d) = %q, %v", at.host, at.port, got, err)
		}
	}
	if line, err := remote.KnownHost("192.0.2.1", 22, "no key"); err == nil {
		t.Errorf("KnownHost without a key = %q", line)
	}
}
