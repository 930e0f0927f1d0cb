// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
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
		"while read -r name value; do [ \"$name\" != SigIgn: ] || echo $((0x$value & ~0x180000000)); done <<X\r\n$(sh -c 'cat /proc/$$/status')\r\nX\r\n" +
		"trap 'echo trapped' INT; kill -INT $$\r\n"
	// Signals 32 and 33 are the C library's own; what Ray starts ignores the first.
	const want = "hello\nenvironment\nfolder\n0\ntrapped\n"
	status, log := f.run(t, job.Spec{Name: "scripts", Setup: text, Run: text, Envs: map[string]string{"GIVEN": "ours"}})
	if status.Phase != job.Succeeded || log != want+want {
		t.Errorf("%+v, log %q, want %q", status, log, want+want)
	}
	f.idle(t)
}

// testHiddenProcesses are some that leave session, group and environment of their
// job behind: its end is theirs, as is a cancel.
func testHiddenProcesses(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	const hide = `env -i HOME="$HOME" PATH="$PATH" setsid sh -c 'echo $$ >>"$HOME/hidden"; trap "" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &
until [ -s ~/hidden ]; do sleep 0.1; done
`
	// What is dead and not buried yet does not live.
	const look = `for p in $(cat ~/hidden); do ! grep -q '^State:[[:space:]]*[RSDTtI]' /proc/$p/status || echo "$p lives on"; done 2>/dev/null; rm ~/hidden`
	if status, _ := f.run(t, job.Spec{Name: "ends", Grace: time.Second, Run: hide + "exit 0"}); status.Phase != job.Succeeded {
		t.Fatalf("%+v", status)
	}
	if _, log := f.run(t, job.Spec{Name: "look", Run: look}); log != "" {
		t.Errorf("after the job's end %s", log)
	}
	id := f.submit(t, job.Spec{Name: "cancelled", Grace: time.Second, Run: hide + "sleep 1000"})
	eventually(t, "it hides something", func() bool {
		text, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "hidden"))
		return len(text) > 0
	})
	if err := f.runner.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, log := f.run(t, job.Spec{Name: "look again", Run: look}); log != "" {
		t.Errorf("after the cancel %s", log)
	}
	f.idle(t)
}

// testRestartedSSHDLivesOn is a job that restarts the machine's sshd, as a service
// is: what others start through it is not the job's.
func testRestartedSSHDLivesOn(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	const restart = `printf '#!/bin/sh\nsleep 1000 &\necho $! $$ >~/served\nwait\n' >~/sshd; chmod +x ~/sshd
env -i HOME="$HOME" PATH="$PATH" setsid ~/sshd </dev/null >/dev/null 2>&1 &
until [ -s ~/served ]; do sleep 0.1; done`
	if status, log := f.run(t, job.Spec{Name: "restart", Grace: time.Second, Run: restart}); status.Phase != job.Succeeded {
		t.Fatalf("%+v, %q", status, log)
	}
	const look = `for p in $(cat ~/served); do grep -q '^State:[[:space:]]*[RSDTtI]' /proc/$p/status || echo "$p is gone"; done 2>/dev/null
kill -9 $(cat ~/served)` // after both were looked at: without the one, the other ends
	if _, log := f.run(t, job.Spec{Name: "look", Run: look}); log != "" {
		t.Errorf("after the job's end %s", log)
	}
	f.idle(t)
}

// testPendingSaysWhy is a queue of five, the last of which says whom it waits for.
func testPendingSaysWhy(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	whole := func(name, run string) job.Spec {
		spec := job.Spec{Name: name, Run: run}
		if f.spec.Runtime == cluster.RuntimeRay {
			spec.Resources = &job.Resources{CPUs: rayCPUs}
		}
		return spec
	}
	first := f.submit(t, whole("first one", untilGo))
	f.phase(t, first, job.Running)
	var ids []job.ID
	for _, name := range []string{"b", "c", "d", "e"} {
		ids = append(ids, f.submit(t, whole(name, "true")))
	}
	wants := []string{fmt.Sprintf("waits for first-one (%s)", first), fmt.Sprintf("waits for first-one (%s) b (%s) c (%s) and 1 more", first, ids[0], ids[1])}
	if f.spec.Runtime == cluster.RuntimeRay {
		wants = []string{"waits for Ray to give it its nodes", fmt.Sprintf("waits for the turn of b (%s)", ids[0])}
	}
	for i, id := range []job.ID{ids[0], ids[3]} {
		eventually(t, wants[i], func() bool {
			s, err := f.runner.Status(t.Context(), id)
			return err == nil && s.Phase == job.Pending && s.Reason == wants[i]
		})
	}
	f.letGo(t)
	for _, id := range append(ids, first) {
		if s, _ := f.wait(t, id); s.Phase != job.Succeeded || s.Reason != "" {
			t.Errorf("%+v", s)
		}
	}
}
