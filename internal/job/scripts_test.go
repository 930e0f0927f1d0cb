// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/job"
)

// testScripts is how a user's text becomes a program, in setup and in run.
func testScripts(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	home := f.nodes[0].Home
	if err := os.MkdirAll(filepath.Join(home, ".local/bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		".profile":         "echo noise; echo more >&2; read -r answer; export FROM_PROFILE=yes GIVEN=theirs\n",
		".local/bin/greet": "#!/bin/sh\necho hello\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	const text = "greet\r\nif [ \"$FROM_PROFILE$GIVEN$PYTHONUNBUFFERED\" = yesours1 ]; then\r\n  echo environment\r\nfi\r\n" +
		"[ \"$PWD\" = \"$HOME/sky_workdir\" ] && echo folder\r\n" +
		"while read -r name value; do [ \"$name\" != SigIgn: ] || echo \"$value\"; done <<X\r\n$(sh -c 'cat /proc/$$/status')\r\nX\r\n" +
		"trap 'echo trapped' INT; kill -INT $$\r\n"
	const want = "hello\nenvironment\nfolder\n0000000000000000\ntrapped\n"
	status, log := f.run(t, job.Spec{Name: "scripts", Setup: text, Run: text, Envs: map[string]string{"GIVEN": "ours"}})
	if status.Phase != job.Succeeded || log != want+want {
		t.Errorf("%+v, log %q, want %q", status, log, want+want)
	}
	f.idle(t)
}
