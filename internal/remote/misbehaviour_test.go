// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// misbehaviour lists reliability.md 6, 46 to 58, each with the tests that hold
// us to it, here and in the rooms that build on this one.
func misbehaviour() map[int][]string {
	return map[int][]string{
		46: {`"46 accepts and says nothing"`, `"accepts TCP and says nothing"`},
		47: {`"47 endless greeting"`, `"47 huge banner"`},
		48: {`"wrong key ends it"`, `"another key is pinned"`, `"the key changed"`},
		49: {`"49 never-ending key exchange"`},
		50: {`"50 refuses exec"`, `"50 forced command"`, `"no sessions"`},
		51: {`"51 profile prints"`, `"51 profile prints without end"`, `"profile prints"`},
		52: {`"52 no exit status"`},
		53: {`func TestNodeWithoutRoom(`, `"read-only home"`, `"disk full"`, `"disk full, tree"`},
		54: {`"54 noexec tmp"`},
		55: {`"55 no sh"`, `"no sftp"`, `"busybox"`, `"no shell"`},
		56: {`func TestHugeStderrIsBounded(`},
		57: {`"57 clock ahead"`, `"57 clock behind"`, `func TestClockYearsOff(`, `func TestOpenSSHClocks(`},
		58: {`"58 reboots mid-command"`, `func testRebootInSetup(`, `func TestPackageLockInSetup(`, `func TestOpenSSHTroubleInSetup(`},
	}
}

// Every misbehaviour has a test that exists.
func TestMisbehaviourIsCovered(t *testing.T) {
	var all strings.Builder
	for _, room := range []string{".", "../job", "../broker"} {
		files, err := filepath.Glob(filepath.Join(room, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %q, %v", room, files, err)
		}
		for _, f := range files {
			if filepath.Base(f) == "misbehaviour_test.go" {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	for number := 46; number <= 58; number++ {
		tests := misbehaviour()[number]
		if len(tests) == 0 {
			t.Errorf("%d has no test", number)
		}
		for _, test := range tests {
			if !strings.Contains(all.String(), test) {
				t.Errorf("%d names a test that does not exist: %s", number, test)
			}
		}
	}
}
