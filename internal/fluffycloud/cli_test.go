// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// command runs the fluffycloud subcommand as a process of its own.
func command(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0], append([]string{subcommand}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err := cmd.Run()
	exit := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// served is a cloud whose server is a process of its own.
type served struct {
	*cloud
	state  string
	server *exec.Cmd
}

func (s *served) serve() {
	s.t.Helper()
	s.server = exec.Command(os.Args[0], subcommand, "serve", "--state-dir", s.state, "--boot-time", "1ms")
	s.server.Stderr = s.t.Output()
	s.server.SysProcAttr = detached()
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	server := s.server
	go func() { defer close(done); _ = server.Wait() }()
	s.t.Cleanup(func() {
		_ = server.Process.Kill()
		<-done
	})
	s.until("the server answers", func() bool {
		_, err := connect(testContext(s.t), filepath.Join(s.state, "fluffycloud"))
		return err == nil
	})
}

func TestCommands(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	s := &served{cloud: &cloud{t: t, dir: filepath.Join(state, "fluffycloud")}, state: state}
	run := func(args ...string) (string, string, int) {
		return command(t, "", append(args, "--state-dir", state)...)
	}
	if out, _, code := run("status", "--expect-empty"); code != 0 || !strings.Contains(out, "No FluffyCloud server") {
		t.Errorf("%d: %s", code, out)
	}
	if out, _, _ := run("status", "--json"); strings.Contains(out, "null") {
		t.Errorf("what is not there is no list: %s", out)
	}
	for _, args := range [][]string{{"serv"}, {"faults", "lst"}} {
		if _, errOut, code := run(args...); code != 1 || !strings.Contains(errOut, "unknown command") {
			t.Errorf("%v: %d: %s", args, code, errOut)
		}
	}
	if out, _, code := run("stop"); code != 0 || !strings.Contains(out, "No FluffyCloud server") {
		t.Errorf("%d: %s", code, out)
	}
	if _, errOut, code := run("faults", "list"); code != 1 || !strings.Contains(errOut, "start it with") {
		t.Errorf("%d: %s", code, errOut)
	}
	s.serve()
	if out, _, code := run("serve"); code != 0 || !strings.Contains(out, "served already") {
		t.Errorf("a second server: %d: %s", code, out)
	}
	api, err := connect(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var made instanceAnswer
	req := launchRequest{Name: "one", Region: "meadow-1", Zone: "meadow-1a", InstanceType: "puff-2"}
	if err := api.call(t.Context(), "POST", "/v1/instances", req, &made); err != nil {
		t.Fatal(err)
	}
	out, errOut, code := run("status", "--expect-empty")
	if code != 1 || !strings.Contains(out, made.Instance.ID) || !strings.Contains(errOut, "instance "+made.Instance.ID) || !strings.Contains(errOut, "disk") {
		t.Errorf("%d: %s%s", code, out, errOut)
	}
	var v inventory
	out, _, _ = run("status", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || !v.Running || len(v.Instances) != 1 || len(v.Disks) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if _, errOut, code := run("stop"); code != 1 || !strings.Contains(errOut, "--force") {
		t.Errorf("%d: %s", code, errOut)
	}
	// The server dies; what it leaves is still shown, and found again.
	_ = s.server.Process.Signal(syscall.SIGKILL)
	s.until("the server is dead", func() bool { return !alive(s.server.Process.Pid) })
	if out, _, code := run("status", "--expect-empty"); code != 1 || !strings.Contains(out, made.Instance.ID) {
		t.Errorf("%d: %s", code, out)
	}
	s.serve()
	if out, _, code := run("stop", "--force"); code != 0 || !strings.Contains(out, "terminated: 1 machine.") {
		t.Errorf("%d: %s", code, out)
	}
	s.until("the server ended", func() bool { return !alive(s.server.Process.Pid) })
	if out, errOut, code := run("status", "--expect-empty"); code != 0 {
		t.Errorf("%d: %s%s", code, out, errOut)
	}
}

func TestStopForceWithoutAServer(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	s := &served{cloud: &cloud{t: t, dir: filepath.Join(state, "fluffycloud")}, state: state}
	s.serve()
	api, err := connect(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	req := launchRequest{Name: "one", Region: "meadow-1", Zone: "meadow-1a", InstanceType: "puff-2"}
	var made instanceAnswer
	if err := api.call(t.Context(), "POST", "/v1/instances", req, &made); err != nil {
		t.Fatal(err)
	}
	s.until("it runs", func() bool {
		return api.call(t.Context(), "GET", "/v1/instances/"+made.Instance.ID, nil, &made) == nil && made.Instance.State == StateRunning
	})
	_ = s.server.Process.Kill()
	s.until("the server is dead", func() bool { return !alive(s.server.Process.Pid) })
	if out, errOut, code := command(t, "", "stop", "--force", "--state-dir", state); code != 0 {
		t.Errorf("%d: %s%s", code, out, errOut)
	}
	if out, errOut, code := command(t, "", "status", "--expect-empty", "--state-dir", state); code != 0 {
		t.Errorf("%d: %s%s", code, out, errOut)
	}
}

func TestFaultCommands(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	s := &served{cloud: &cloud{t: t, dir: filepath.Join(state, "fluffycloud")}, state: state}
	s.serve()
	good := `{"op":"launch","match":{"zone":"meadow-1a"},"times":1,"effect":{"error":{"code":"insufficient_capacity"}}}`
	id, errOut, code := command(t, good, "faults", "add", "-", "--state-dir", state)
	if code != 0 || !strings.HasPrefix(id, "fault-") {
		t.Fatalf("%d: %s%s", code, id, errOut)
	}
	file := filepath.Join(state, "fault.json")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := command(t, "", "faults", "add", file, "--state-dir", state); code != 0 {
		t.Error(errOut)
	}
	for bad, want := range map[string]string{"{": "not JSON", `{"op":"x"}`: "op"} {
		if _, errOut, code := command(t, bad, "faults", "add", "-", "--state-dir", state); code != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%d: %s", code, errOut)
		}
	}
	out, _, _ := command(t, "", "faults", "list", "--state-dir", state)
	if strings.Count(out, "insufficient_capacity") != 2 {
		t.Error(out)
	}
	if _, errOut, code := command(t, "", "faults", "clear", strings.TrimSpace(id), "--state-dir", state); code != 0 {
		t.Error(errOut)
	}
	if _, errOut, code := command(t, "", "faults", "clear", "--state-dir", state); code != 0 {
		t.Error(errOut)
	}
	out, _, _ = command(t, "", "faults", "list", "--state-dir", state)
	if strings.Contains(out, "fault-") {
		t.Error(out)
	}
	if _, errOut, code := command(t, "", "stop", "--state-dir", state); code != 0 {
		t.Error(errOut)
	}
}

func TestMainLeavesOthersAlone(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {"x", "-test.run"}, {"x", "serve"}} {
		if handled, _ := Main(args); handled {
			t.Errorf("%v was taken", args)
		}
	}
	if _, errOut, code := command(t, "", "dance"); code != 1 || !strings.Contains(errOut, "dance") {
		t.Errorf("%d: %s", code, errOut)
	}
}
