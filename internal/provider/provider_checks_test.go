// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"strings"
	"testing"
)

const goodHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

func TestProviderChecks(t *testing.T) {
	tests := []struct {
		name  string
		check func(string) error
		good  []string
		bad   map[string]string // value -> part of the error
	}{
		{"owner", checkOwner, []string{"sky-0123", "abc"}, map[string]string{"": "3 to 40", "Ab": "lower-case", "a b c": "lower-case"}},
		{"host", checkHost, []string{"bastion.example.com", "203.0.113.7", "2001:db8::1"}, map[string]string{
			"": "not a host", "ubuntu@b": "not a host", "b:22": "port has an attribute", "-oProxyCommand=x": "not a host", "[::1]": "not a host", "a b": "not a host",
		}},
		{"login", checkLogin, []string{"ubuntu", "me.too"}, map[string]string{"": "not a user", "a@b": "not a user", "-l": "not a user", "a b": "not a user"}},
		{"host key", checkHostKey, []string{goodHostKey, goodHostKey + " root@bastion\n"}, map[string]string{
			"": "no public key", "ssh-ed25519 garbage": "no public key", "-----BEGIN OPENSSH PRIVATE KEY-----": "private key",
			goodHostKey + "\n" + goodHostKey: "one public key", `command="x" ` + goodHostKey: "one public key", "SHA256:abc": "no public key",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range tt.good {
				if err := tt.check(v); err != nil {
					t.Errorf("check(%.40q) = %v", v, err)
				}
			}
			for v, part := range tt.bad {
				if err := tt.check(v); err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("check(%.40q) = %v, want %q in it", v, err, part)
				}
			}
		})
	}
}
