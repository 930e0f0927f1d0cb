// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChecks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		check StringCheck
		good  []string
		bad   map[string]string // value -> part of the error
	}{
		{"name", CheckName, []string{"a", "train-1", "A.b_c", strings.Repeat("x", 63)}, map[string]string{
			"": "empty", "a/b": "cannot be used", "a\nb": "cannot be used", "1a": "start with a letter", "a-": "end with a letter",
			strings.Repeat("x", 300): "300 characters; write at most 63", "naïve": "cannot be used",
		}},
		{"env name", CheckEnvName, []string{"A", "_b", "A_1"}, map[string]string{
			"A-B": "letters, digits and underscores", "$(x)": "letters", "1A": "digit", "": "letters", "SKYPILOT_NODE_RANK": "set by the provider",
		}},
		{"text", CheckText, []string{"", "x\ny", "üñ"}, map[string]string{"a\x00b": "NUL byte at position 1"}},
		{"script", CheckScript, []string{"echo"}, map[string]string{
			" \n": "empty", "a\x00": "NUL", strings.Repeat("x", maxScript+1): "more than 1048576",
		}},
		{"label key", CheckLabelKey, []string{"team", "a/b", "x"}, map[string]string{
			"sky-owner": "reserved", "SKY-x": "reserved", "": "cannot be used", strings.Repeat("k", 64): "64 characters", "a b": "cannot be used",
		}},
		{"label value", CheckLabelValue, []string{"", "vision team"}, map[string]string{"a\nb": "control", strings.Repeat("v", 64): "at most 63"}},
		{"cidr", CheckCIDR, []string{"203.0.113.7/32", "10.0.0.0/8", "::1/128", "0.0.0.0/0"}, map[string]string{
			"203.0.113.7": `write "203.0.113.7/32"`, "10.1.2.3/8": `write "10.0.0.0/8" for the network, or "10.1.2.3/32"`, "nonsense": "no CIDR prefix", "10.0.0.0/33": "no CIDR",
		}},
		{"accelerators", CheckAccelerators, []string{"A100:8", "T4"}, map[string]string{"H100:0": "above zero", "H100:-1": "H100", "H100:NaN": "NaN", "": "no name"}},
		{"cpus", CheckCPUs, []string{"8", "8+"}, map[string]string{"": "", "-1": "", "8++": ""}},
		{"memory", CheckMemory, []string{"32", "32+", "4x"}, map[string]string{"": "", "much": ""}},
		{"outputs folder", CheckOutputFolder, []string{"results", "~/r/x"}, map[string]string{"": "empty", "checks_test.go": "is a file", "checks_test.go/x/y": "is a file"}},
		{"infra", CheckInfra, []string{"aws", "aws/us-east-1", "*/*/z"}, map[string]string{"": "empty", "a/b/c/d": "more than three"}},
		{"port", CheckPort, []string{"80", "8000-8010"}, map[string]string{"0": "1 to 65535", "70000": "65535", "9-8": "reversed", "22": "SSH", "20-30": "SSH"}},
		{"place", CheckPlaceName, []string{"us-east-1"}, map[string]string{"aws/us": "slash", " ": "empty"}},
		{"duration", CheckDuration, []string{"30m", "2h45m"}, map[string]string{"-1m": "above zero", "0s": "above zero", "1": "no duration", "99999h": "longer"}},
		{"folder", CheckFolder, []string{dir}, map[string]string{filepath.Join(dir, "none"): "no such file", file: "name a folder"}},
		{"remote path", CheckRemotePath, []string{"~/data", "/data"}, map[string]string{
			"": "empty", "data": "relative", "/": "whole file system", "~/": "home folder", "/a\nb": "control",
		}},
		{"remote path of ours", CheckRemotePath, []string{"~/.ssh", "~/.ssh/id_deploy", "/root/.ssh/config", "/home/me/data", "~/.skyline", "~/.ssh/authorized_keys.d", "/data/.sky", "/srv/.ssh/authorized_keys"}, map[string]string{
			"~/.ssh/authorized_keys": "let the provider in", "~/x/../.ssh/authorized_keys2/": "let the provider in", "/root//.ssh/authorized_keys": "let the provider in",
			"/home/ubuntu/.ssh/authorized_keys": "let the provider in", "~/.sky": "provider's own folder", "~/./.sky/jobs/x": "provider's own folder", "/home/me/.sky/x": "provider's own folder",
			"/root": "home folder", "/home": "home folder", "/home/ubuntu/": "home folder", "~/../x": "leads out of the home folder", "~/..": "leads out",
		}},
		{"cluster id", CheckClusterID, []string{"aws/us-east-1/train"}, map[string]string{"train": "cloud/region/name", "a//b": "cloud/region/name"}},
		{"one of", CheckOneOf("destroy", "keep"), []string{"keep"}, map[string]string{"drop": `write destroy or keep`}},
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

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a thing": "A thing.", "Done.": "Done.", "  two\nlines  ": "Two\nlines.", "https://x": "https://x.", `"x" is`: `"x" is.`,
	} {
		if got := Sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}
