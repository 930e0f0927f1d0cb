// SPDX-License-Identifier: MPL-2.0

package job_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func (f *fleet) submit(t testing.TB, spec job.Spec) job.ID {
	t.Helper()
	id, err := f.runner.Submit(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (f *fleet) phase(t testing.TB, id job.ID, want job.Phase) {
	t.Helper()
	var last job.Status
	var err error
	deadline := time.Now().Add(patience)
	for now := range time.Tick(20 * time.Millisecond) {
		if last, err = f.runner.Status(t.Context(), id); err == nil && last.Phase == want {
			return
		}
		if now.After(deadline) {
			break
		}
	}
	t.Fatalf("%+v, %v, want %s%s", last, err, want, f.diagnose(id))
}

func (f *fleet) jobFile(rank int, id job.ID, name string) string {
	return filepath.Join(f.nodes[rank].Home, ".sky/jobs", string(id), name)
}

// testSubmissionMayBreakAnywhere cuts the connection after every so many bytes,
// one way and the other: the job starts exactly once all the same.
func testSubmissionMayBreakAnywhere(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	spec := job.Spec{Name: "cut", Run: "echo x >>~/starts", Workdir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(spec.Workdir, "data"), bytes.Repeat([]byte("data"), 2000), 0o600); err != nil {
		t.Fatal(err)
	}
	count := 0
	for i := range f.cuts {
		spec.RunID = fmt.Sprint(i)
		cut := int64(2500 + i*1500)
		f.nodes[0].Set(remotetest.Behaviour{DropAfter: cut})
		if i%2 == 1 {
			f.nodes[0].Set(remotetest.Behaviour{DropAfterSent: int64(1500 + i*100)})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		_, err := f.newRunner(t).Submit(ctx, spec)
		cancel()
		f.nodes[0].Set(remotetest.Behaviour{})
		count++
		status, _ := f.run(t, spec)
		if status.Phase != job.Succeeded {
			t.Fatalf("cut %d (Submit said %v): %+v", cut, err, status)
		}
		starts, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "starts"))
		if len(starts) != 2*count {
			t.Fatalf("cut %d (Submit said %v): %d starts, want %d", cut, err, len(starts)/2, count)
		}
	}
}

func testWaitSurvivesLostConnections(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	id := f.submit(t, job.Spec{Name: "drops", Run: `i=0; while [ $i -lt 40 ]; do echo "line $i ünïcödé"; i=$((i + 1)); sleep 0.05; done`})
	go func() { // ever more slowly, so that a slow machine gets through as well
		for i := range 15 {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(time.Duration(50+20*i) * time.Millisecond):
				f.nodes[0].Drop()
			}
		}
	}()
	status, log := f.wait(t, id)
	var want strings.Builder
	for i := range 40 {
		fmt.Fprintf(&want, "line %d ünïcödé\n", i)
	}
	if status.Phase != job.Succeeded || log != want.String() {
		t.Errorf("%+v, log %q", status, log)
	}
}

func testStatusNeverGuesses(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	t.Run("unreachable is an error", func(t *testing.T) {
		id := f.submit(t, job.Spec{Name: "a", Run: "true"})
		f.nodes[0].Down()
		if s, err := f.runner.Status(t.Context(), id); err == nil {
			t.Errorf("Status of an unreachable head = %+v", s)
		}
		f.nodes[0].Up()
		f.wait(t, id)
	})
	t.Run("runner gone", func(t *testing.T) {
		spec := job.Spec{Name: "b", Run: "echo x >>~/starts; sleep 1000"}
		id := f.submit(t, spec)
		f.phase(t, id, job.Running)
		eventually(t, "it has started", func() bool { _, err := os.Stat(filepath.Join(f.nodes[0].Home, "starts")); return err == nil })
		f.nodes[0].KillAll()
		f.phase(t, id, job.Unknown)
		if s, _ := f.run(t, spec); s.Phase != job.Unknown { // never a silent second run
			t.Errorf("%+v", s)
		}
		if data, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "starts")); string(data) != "x\n" {
			t.Errorf("starts %q, want one", data)
		}
		if err := f.runner.Cancel(t.Context(), id); err != nil {
			t.Error(err)
		}
		f.phase(t, id, job.Cancelled)
	})
	t.Run("reboot", func(t *testing.T) {
		id := f.submit(t, job.Spec{Name: "c", Run: "sleep 1000"})
		f.phase(t, id, job.Running)
		f.nodes[0].KillAll()
		path := f.jobFile(0, id, "started")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), "\n")
		if err := os.WriteFile(path, []byte("boot=another\n"+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		f.phase(t, id, job.LostReboot)
	})
	t.Run("the queue goes on", func(t *testing.T) {
		if s, _ := f.run(t, job.Spec{Name: "d", Run: "true"}); s.Phase != job.Succeeded {
			t.Errorf("%+v", s)
		}
	})
	if _, err := f.runner.Status(t.Context(), "../../etc"); !errors.Is(err, job.ErrNotFound) {
		t.Errorf("Status of a bad id = %v, want ErrNotFound", err)
	}
}

func testWorkerLosesTheHead(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "gang", Run: "sleep 1000", Grace: time.Second})
	f.phase(t, id, job.Running)
	f.nodes[0].KillAll()
	eventually(t, "the worker ends its rank", func() bool { return len(f.nodes[1].Processes()) == 0 })
	f.phase(t, id, job.Unknown)
}

func testHeadLosesAWorker(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "gang", Run: "sleep 1000", Grace: time.Second})
	f.phase(t, id, job.Running)
	f.nodes[1].Close()
	status, _ := f.wait(t, id)
	if status.Phase != job.Failed || status.FailedRank != 1 || !strings.Contains(status.Reason, "lost") {
		t.Errorf("%+v", status)
	}
	f.idle(t)
}

func testSecretsLeaveNoTrace(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	const canary = "canary-4711-'quoted'"
	spec := job.Spec{Name: "secret", Secrets: map[string]string{"TOKEN": canary}, SecretsVersion: "1", Run: `
[ "$TOKEN" = "canary-4711-'quoted'" ] || exit 9
while [ ! -e ~/go ]; do sleep 0.1; done`}
	id := f.submit(t, spec)
	f.phase(t, id, job.Running)
	for rank, n := range f.nodes {
		err := filepath.WalkDir(n.Home, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if strings.Contains(string(data), "canary-4711") && !strings.HasSuffix(path, "run.sh") && !strings.HasSuffix(path, "/spec") {
				t.Errorf("rank %d: %s holds the secret", rank, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for _, line := range n.Processes() {
			if strings.Contains(line, "canary-4711") {
				t.Errorf("rank %d: the secret is in argv: %s", rank, line)
			}
		}
		if info, err := os.Stat(f.jobFile(rank, id, "")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("rank %d: job folder %v, %v, want 0700", rank, info.Mode(), err)
		}
		if err := os.WriteFile(filepath.Join(n.Home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, log := f.wait(t, id); s.Phase != job.Succeeded {
		t.Errorf("%+v, %q", s, log)
	}
	other := spec
	other.Secrets = map[string]string{"TOKEN": "rotated"}
	if same := f.submit(t, other); same != id {
		t.Errorf("another value of the same version is another job: %s, %s", same, id)
	}
}

func testQueue(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	all := func(parallel int, run string) {
		t.Helper()
		var ids []job.ID
		for i := range 4 {
			ids = append(ids, f.submit(t, f.beside(parallel, job.Spec{Name: fmt.Sprint("job", i), Run: fmt.Sprintf("i=%d\n%s", i, run)})))
		}
		for _, id := range ids {
			if s, log := f.wait(t, id); s.Phase != job.Succeeded {
				t.Errorf("%+v, log %q", s, log)
			}
		}
	}
	all(1, "mkdir ~/inside || exit 1; echo $i >>~/order; sleep 0.2; rmdir ~/inside")
	if order, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "order")); string(order) != "0\n1\n2\n3\n" {
		t.Errorf("order %q", order)
	}
	all(4, `echo x >>~/here; until [ "$(wc -l <~/here)" -ge 4 ]; do sleep 0.1; done`) // each waits for the others
	left, _ := filepath.Glob(filepath.Join(f.nodes[0].Home, ".sky/queue/*"))
	if len(left) != 0 {
		t.Errorf("tickets left: %q", left)
	}
}

func testWorkdir(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	dir := t.TempDir()
	set := func(content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "in"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set("one")
	first := f.submit(t, job.Spec{Name: "first", Workdir: dir, Run: `pwd | grep -q 'sky_workdir$' && touch made && while [ ! -e ~/go ]; do sleep 0.1; done; cat in`})
	f.phase(t, first, job.Running)
	set("two")
	second := f.submit(t, job.Spec{Name: "second", Workdir: dir, Run: `pwd | grep -q 'sky_workdir$' && ls made >/dev/null && cat in`})
	for _, n := range f.nodes {
		if err := os.WriteFile(filepath.Join(n.Home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[job.ID]string{first: "one", second: "two"} {
		status, log := f.wait(t, id)
		if status.Phase != job.Succeeded || !strings.Contains(log, "(rank 0) "+want) || !strings.Contains(log, "(rank 1) "+want) {
			t.Errorf("%+v, log %q, want %q of both ranks", status, log, want)
		}
	}
	set("three")
	if status, log := f.run(t, job.Spec{Name: "third", Workdir: dir, Run: "cat in"}); status.Phase != job.Succeeded || !strings.Contains(log, "three") {
		t.Errorf("%+v, log %q", status, log)
	}
}

func testLogs(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "logs", Run: `
[ "$SKYPILOT_NODE_RANK" = 1 ] || exec sleep 0.1
printf 'a\303'; touch ~/half; while [ ! -e ~/go ]; do sleep 0.1; done; printf '\274b\n\377'; seq 300000`})
	ctx := t.Context()
	var log bytes.Buffer
	var next int64
	half := filepath.Join(f.nodes[1].Home, "half")
	eventually(t, "half a character is there", func() bool {
		_, err := os.Stat(half)
		data, _ := os.ReadFile(f.jobFile(0, id, "rank-1.log"))
		return err == nil && len(data) == 2
	})
	next, err := f.runner.Logs(ctx, id, 1, 0, &log)
	if err != nil || next != 1 || log.String() != "a" {
		t.Fatalf("Logs = %d, %v, %q; want the character to wait", next, err, log.String())
	}
	if err := os.WriteFile(filepath.Join(f.nodes[1].Home, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.wait(t, id)
	if next, err = f.runner.Logs(ctx, id, 1, next, &log); err != nil || int64(log.Len()) != next {
		t.Fatalf("Logs = %d, %v after %d bytes", next, err, log.Len())
	}
	if text := log.String(); !strings.HasPrefix(text, "aüb\n\xff1\n") || !strings.HasSuffix(text, "\n300000\n") || strings.Count(text, "\n") != 300001 {
		t.Errorf("log starts %q and ends %q", text[:20], text[len(text)-20:])
	}
	stop := &limited{left: 1000}
	n, err := f.runner.Logs(ctx, id, 1, 0, stop)
	if err == nil || n != 1000 {
		t.Errorf("Logs into a full disk = %d, %v", n, err)
	}
	log.Reset()
	if _, err := f.runner.Logs(ctx, id, 1, 1<<40, &log); err != nil || !strings.Contains(log.String(), "the log was cut") {
		t.Errorf("Logs beyond the end = %v, %.80q", err, log.String())
	}
}

type limited struct{ left int }

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		n := l.left
		l.left = 0
		return n, errors.New("disk full")
	}
	l.left -= len(p)
	return len(p), nil
}

func testLogLimit(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	status, log := f.run(t, job.Spec{Name: "loud", Run: "seq 1000000; exit 5", LogLimit: 100_000})
	if status.Phase != job.Failed || code(status) != "5" || len(log) > 101_000 || !strings.Contains(log, "was dropped") {
		t.Errorf("%+v, %d bytes of log", status, len(log))
	}
}

// testLogLimitOfAGang ends a log within a character, and says so in the log of
// all ranks as well.
func testLogLimitOfAGang(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "loud", Run: `i=0; while [ $i -lt 3000 ]; do echo "€€€€€€€€€€€€€€€€"; i=$((i + 1)); done`, LogLimit: 512 * 11})
	status, log := f.wait(t, id)
	if status.Phase != job.Succeeded || len(log) > 512*11+200 || !strings.HasSuffix(log, "was dropped\n") {
		t.Errorf("%+v, %d bytes of log that end %q", status, len(log), log[max(0, len(log)-200):])
	}
	var one bytes.Buffer
	if next, err := f.runner.Logs(t.Context(), id, 1, 0, &one); err != nil || next != int64(one.Len()) || !strings.HasSuffix(one.String(), "was dropped\n") {
		t.Errorf("Logs = %d, %v, of %d bytes", next, err, one.Len())
	}
}

func testRecoverOnExitCodes(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	spec := job.Spec{Name: "flaky", RecoverOnExitCodes: []int{33}, MaxRestarts: 3, Run: `
echo try >>~/tries; [ "$SKYPILOT_NODE_RANK" = 0 ] || exec sleep 1000
[ "$(wc -l <~/tries)" -ge 3 ] && exit 7; exit 33`}
	status, log := f.run(t, spec)
	if status.Phase != job.Failed || code(status) != "7" || status.Restarts != 2 || strings.Count(log, "starting again") != 2 {
		t.Errorf("%+v, code %s, log %q", status, code(status), log)
	}
	f.idle(t)
}

func testBadSpecs(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	for name, spec := range map[string]job.Spec{
		"nothing to run":     {Name: "x"},
		"too many nodes":     {Run: "true", NumNodes: 2},
		"env name":           {Run: "true", Envs: map[string]string{"A-B": ""}},
		"NUL":                {Run: "true", Envs: map[string]string{"A": "\x00"}},
		"NUL in script":      {Run: "true\x00"},
		"negative":           {Run: "true", MaxDuration: -1},
		"workdir is missing": {Run: "true", Workdir: "/none/such"},
	} {
		if _, err := f.runner.Submit(t.Context(), spec); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := job.New(cluster.Cluster{}, job.Options{}); err == nil {
		t.Error("a cluster without nodes was taken")
	}
	if _, err := job.New(cluster.Cluster{Nodes: []cluster.Node{{Rank: 1}}}, job.Options{Signers: []ssh.Signer{f.signer}}); err == nil {
		t.Error("a cluster without a head was taken")
	}
}

func testOutputs(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	id := f.submit(t, job.Spec{Name: "out", Workdir: t.TempDir(), Run: `mkdir -p results; echo "$SKYPILOT_NODE_RANK" >results/part; echo done >results/_SUCCESS`})
	if s, _ := f.wait(t, id); s.Phase != job.Succeeded {
		t.Fatalf("%+v", s)
	}
	for rank := range f.nodes {
		dest := t.TempDir()
		got, err := f.runner.Outputs(t.Context(), id, rank, job.Outputs{Patterns: []string{"results/*"}}, dest)
		part, _ := os.ReadFile(filepath.Join(dest, "results/part"))
		if err != nil || len(got.Files) != 2 || string(part) != fmt.Sprintf("%d\n", rank) {
			t.Errorf("rank %d: Outputs = %+v, %v, part %q", rank, got, err, part)
		}
	}
	if _, err := f.runner.Outputs(t.Context(), id, 0, job.Outputs{Patterns: []string{"none"}}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "nothing matches") {
		t.Errorf("Outputs of nothing = %v", err)
	}
}

// testEscapedProcessHoldsNothingUp is a process no mark and no group leads to,
// which keeps the job's output open.
func testEscapedProcessHoldsNothingUp(t *testing.T, newFleet fleets) {
	f := newFleet(t, 2)
	status, log := f.run(t, job.Spec{Name: "escape", Run: `echo before; env -i PATH="$PATH" SKY_TEST_NODE="$SKY_TEST_NODE" setsid sh -c 'ulimit -f unlimited 2>/dev/null; exec sleep 300' & sleep 0.2; exit 4`, Grace: time.Second})
	if status.Phase != job.Failed || code(status) != "4" || strings.Count(log, "before") != 2 {
		t.Errorf("%+v, code %s, log %q", status, code(status), log)
	}
}

// TestClockYearsOff is reliability.md 6, 57, for all machines: the node says
// another year, and sets its clock between a claim and the start.
func TestClockYearsOff(t *testing.T) {
	t.Parallel()
	for _, year := range []string{"1970", "2099"} {
		bin := t.TempDir()
		script := "#!/bin/sh\ncase $* in *T%H*) echo " + year + "-01-01T00:00:00Z ;; *) echo " + year + "-01-01-00-00-00 ;; esac\n"
		if err := os.WriteFile(filepath.Join(bin, "date"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
		path := cmp.Or(os.Getenv("SKY_TEST_SYSTEM_PATH"), "/usr/local/bin:/usr/bin:/bin")
		f := sshFleet(t, 1)
		f.nodes[0].Set(remotetest.Behaviour{Env: []string{"PATH=" + bin + ":" + path}})
		workdir := t.TempDir()
		if err := os.WriteFile(filepath.Join(workdir, "in"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		far := time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(workdir, "in"), far, far); err != nil {
			t.Fatal(err)
		}
		blocker := f.submit(t, job.Spec{Name: "blocker", Run: "while [ ! -e ~/go ]; do sleep 0.1; done"})
		id := f.submit(t, job.Spec{Name: "clock", Workdir: workdir, Run: "cat in; echo x >>~/starts"})
		f.phase(t, blocker, job.Running)
		tickets, _ := filepath.Glob(filepath.Join(f.nodes[0].Home, ".sky/queue/*"))
		for _, ticket := range tickets { // as if the clock had been set meanwhile
			if err := os.Chtimes(ticket, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(f.nodes[0].Home, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		status, log := f.wait(t, id)
		if status.Phase != job.Succeeded || (os.Getenv("SKY_TEST_SYSTEM_PATH") == "" && !strings.HasPrefix(status.EndedAt, year)) || // busybox takes its own date
			!strings.HasPrefix(log, "x") {
			t.Errorf("%s: %+v, log %q", year, status, log)
		}
		if starts, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "starts")); string(starts) != "x\n" {
			t.Errorf("%s: starts %q", year, starts)
		}
	}
}

// testRebootInSetup is reliability.md 6, 58: what was being set up is lost, said
// so, and not begun again.
func testRebootInSetup(t *testing.T, newFleet fleets) {
	f := newFleet(t, 1)
	spec := job.Spec{Name: "reboot", Setup: "echo x >>~/setups; sleep 1000", Run: "true"}
	id := f.submit(t, spec)
	f.phase(t, id, job.SettingUp)
	eventually(t, "setup runs", func() bool { _, err := os.Stat(filepath.Join(f.nodes[0].Home, "setups")); return err == nil })
	f.nodes[0].KillAll()
	data, err := os.ReadFile(f.jobFile(0, id, "started"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "\n")
	if err := os.WriteFile(f.jobFile(0, id, "started"), []byte("boot=another\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, _ := f.run(t, spec); s.Phase != job.LostReboot || !strings.Contains(s.Reason, "restarted") {
		t.Errorf("%+v", s)
	}
	if setups, _ := os.ReadFile(filepath.Join(f.nodes[0].Home, "setups")); string(setups) != "x\n" {
		t.Errorf("setups %q", setups)
	}
}

// The order to end may come before the work of a rank has begun to show: it is
// ended all the same.
func TestStopBeforeTheWorkShows(t *testing.T) {
	f := sshFleet(t, 2)
	tools, path := t.TempDir(), cmp.Or(os.Getenv("SKY_TEST_SYSTEM_PATH"), "/usr/local/bin:/usr/bin:/bin")
	slow := "#!/bin/sh\n[ \"$SKYPILOT_NODE_RANK\" = 0 ] || sleep 2\nPATH='" + path + "' exec setsid \"$@\"\n"
	if err := os.WriteFile(filepath.Join(tools, "setsid"), []byte(slow), 0o700); err != nil {
		t.Fatal(err)
	}
	status, log := f.run(t, job.Spec{
		Name: "early", NumNodes: 2, Grace: time.Second, Envs: map[string]string{"PATH": tools + ":" + path},
		Run: `[ "$SKYPILOT_NODE_RANK" = 0 ] || exec sleep 1000; exit 9`,
	})
	if status.Phase != job.Failed || code(status) != "9" {
		t.Errorf("%+v, code %s, log %q", status, code(status), log)
	}
	f.idle(t)
}

// TestRebootOfASharedKernel is a machine that was started again while its kernel
// ran on, as a container is, or a machine of FluffyCloud.
func TestRebootOfASharedKernel(t *testing.T) {
	t.Parallel()
	f := sshFleet(t, 1)
	spec := job.Spec{Name: "shares", Run: "sleep 1000"}
	boot := func(number string) {
		f.nodes[0].Set(remotetest.Behaviour{Env: []string{"FLUFFYCLOUD_BOOT=" + number}})
		f.nodes[0].Drop()
	}
	boot("first")
	id := f.submit(t, spec)
	f.phase(t, id, job.Running)
	f.nodes[0].KillAll()
	boot("second")
	f.phase(t, id, job.LostReboot)
	if status, _ := f.run(t, job.Spec{Name: "next", Run: "true"}); status.Phase != job.Succeeded {
		t.Errorf("%+v", status)
	}
}
