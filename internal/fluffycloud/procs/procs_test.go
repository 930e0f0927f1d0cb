// SPDX-License-Identifier: MPL-2.0

//go:build unix

package procs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sh starts a shell script in a session of its own; its first line of output
// says that it got going.
func sh(t *testing.T, env, script string) (ID, func()) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/bin:/bin", env}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	return id, func() { <-done }
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestKillEndsATreeThatForksOn(t *testing.T) {
	mark := "FLUFFYCLOUD_TEST=" + strconv.Itoa(os.Getpid()) + t.Name()
	id, ended := sh(t, mark, `trap "" TERM HUP; (while :; do (setsid sleep 100 &); sleep 0.01; done) & echo up; while :; do sleep 0.05; done`)
	marks := Marks{Env: mark}
	if err := Kill(bounded(t), id, marks); err != nil {
		t.Fatal(err)
	}
	ended()
	if id.Alive() {
		t.Error("the root lives")
	}
	if left, err := Tree(id, marks); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestMarksFindWhatLostItsRoot(t *testing.T) {
	mark := "FLUFFYCLOUD_TEST=" + strconv.Itoa(os.Getpid()) + t.Name()
	id, ended := sh(t, mark, `(setsid sh -c 'sleep 100; :' &) ; echo up; sleep 100; :`)
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended()
	tree, err := Tree(id, Marks{Env: mark})
	if err != nil || len(tree) == 0 {
		t.Fatalf("%v, %v", tree, err)
	}
	if err := Kill(bounded(t), id, Marks{Env: mark}); err != nil {
		t.Fatal(err)
	}
	if tree, err := Tree(ID{}, Marks{Env: mark}); err != nil || len(tree) > 0 {
		t.Errorf("%v, %v", tree, err)
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	neighbour, _ := sh(t, "FLUFFYCLOUD_TEST=neighbour", "echo up; sleep 100; :")
	// The same number, at another time, is somebody else.
	imposter := ID{PID: neighbour.PID, Start: neighbour.Start + "1"}
	if imposter.Alive() {
		t.Error("the imposter is taken for real")
	}
	if err := imposter.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := Kill(bounded(t), imposter, Marks{Env: "FLUFFYCLOUD_TEST=neighb", Dir: "/nowhere"}); err != nil {
		t.Error(err)
	}
	if !neighbour.Alive() {
		t.Error("the neighbour is dead")
	}
	if tree, err := Tree(ID{}, Marks{}); err != nil || len(tree) > 0 {
		t.Errorf("nothing asked for, got %v, %v", tree, err)
	}
}

func TestGone(t *testing.T) {
	if _, err := Identify(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("got %v", err)
	}
	if (ID{}).Alive() || (ID{}).Signal(syscall.SIGKILL) != nil {
		t.Error("nobody is somebody")
	}
	self, err := Identify(os.Getpid())
	if err != nil || !self.Alive() || self.Signal(syscall.SIGKILL) != nil {
		t.Errorf("%v: it must never signal itself", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root, _ := sh(t, "A=b", "echo up; sleep 100; :")
	if err := Kill(ctx, root, Marks{}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
	_ = root.Signal(syscall.SIGCONT)
}
