// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"strings"
	"testing"
)

func TestParseUserData(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"empty":            {" \n", ""},
		"script":           {"#!/bin/sh\ntrue\n", ""},
		"cloud-config":     {"#cloud-config\nruncmd: [true, [echo, 1]]\n", "runcmd[0]"},
		"commands":         {"#cloud-config\nruncmd: [\"true\", [echo, 1]]\npackages: [ignored]\n", ""},
		"neither":          {"echo hello", "begins with neither"},
		"broken YAML":      {"#cloud-config\nruncmd: [\n", "not valid cloud-config"},
		"empty command":    {"#cloud-config\nruncmd: [[]]\n", "runcmd[0]"},
		"mode":             {"#cloud-config\nwrite_files: [{path: a, permissions: '0888'}]\n", "write_files[0]"},
		"setuid":           {"#cloud-config\nwrite_files: [{path: a, permissions: '4755'}]\n", "write_files[0]"},
		"base64":           {"#cloud-config\nwrite_files: [{path: a, encoding: b64, content: '%'}]\n", "not base64"},
		"unknown encoding": {"#cloud-config\nwrite_files: [{path: a, encoding: gzip}]\n", "gzip"},
		"byte order mark":  {"\ufeff#!/bin/sh\n", ""},
	} {
		_, err := parseUserData([]byte(test.in))
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestErrorsHoldNoKey(t *testing.T) {
	_, err := parseUserData([]byte("#cloud-config\nssh_keys:\n  ed25519_private: canary-secret\n bad: [\n"))
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseUserData(f *testing.F) {
	f.Add([]byte("#cloud-config\nwrite_files:\n- path: a\n  content: b\n  permissions: '0644'\nruncmd:\n- [a, b]\n- c\n"))
	f.Add([]byte("#!/bin/sh\n"))
	f.Add([]byte("#cloud-config\n&a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := parseUserData(data)
		if err != nil {
			return
		}
		for _, file := range out.Cloud.WriteFiles {
			if mode, err := file.Mode(); err != nil || mode > 0o777 {
				t.Errorf("%v, %v", mode, err)
			}
		}
		for _, c := range out.Cloud.RunCmd {
			if args, err := commandOf(c); err != nil || len(args) == 0 {
				t.Errorf("%v, %v", args, err)
			}
		}
	})
}
