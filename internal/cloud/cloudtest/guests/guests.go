// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package guests are machines of fake clouds that one can log in to: each an SSH
// server on a loopback address of its own, with a home and a process tree. What
// they run are processes of this computer.
package guests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gliderlabs/ssh"
	"github.com/goccy/go-yaml"
	gossh "golang.org/x/crypto/ssh"
)

// Host runs machines until the end of a test.
type Host struct {
	// Port is that of SSH on all machines, User whom they let in.
	Port int
	User string

	t   testing.TB
	dir string
	// net is the second byte of the machines' addresses.
	net int
}

// New returns a host whose machines are 127.<net>.x.y. The test's binary must
// hand over to fluffycloud.Main, which is the machines' SSH client.
func New(t testing.TB, user string, net int) *Host {
	t.Helper()
	h := &Host{Port: freePort(t), User: user, t: t, dir: t.TempDir(), net: net}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The head of a cluster reaches the others with ssh, which not every computer
	// that runs tests has.
	h.Script("ssh", fmt.Sprintf("exec '%s' fluffycloud ssh-client \"$@\"", executable))
	// What a machine does to itself must not be done to the computer of the test.
	h.Script("sudo", `[ "$1" != -n ] || shift; exec "$@"`)
	h.Script("shutdown", "echo 'this machine stays on' >&2; exit 1")
	h.Script("crontab", `case $1 in -l) cat ~/tab ;; -) cat >~/tab.new && mv ~/tab.new ~/tab ;; esac`)
	return h
}

func freePort(t testing.TB) int {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener has no other
}

// Script puts a command onto the PATH of all machines.
func (h *Host) Script(name, text string) {
	h.t.Helper()
	Script(h.t, filepath.Join(h.dir, "bin"), name, text)
}

// Script writes a command of that name into a folder.
func Script(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
}

// Boot runs machine number n with the host key, and for the keys, that its user
// data brings, as cloud-init would. It returns its address, and what ends it.
func (h *Host) Boot(n int, userData string) (address string, end func()) {
	var data struct {
		Keys struct {
			Private string `yaml:"ed25519_private"`
		} `yaml:"ssh_keys"`
		Authorized []string `yaml:"ssh_authorized_keys"`
	}
	if err := yaml.Unmarshal([]byte(userData), &data); err != nil {
		h.t.Errorf("user data: %v", err)
	}
	address = fmt.Sprintf("127.%d.%d.%d", h.net, n/250%250, n%250+2)
	listener, err := (&net.ListenConfig{}).Listen(h.t.Context(), "tcp", net.JoinHostPort(address, strconv.Itoa(h.Port)))
	if err != nil {
		h.t.Errorf("listen: %v", err)
		return address, func() {}
	}
	home := filepath.Join(h.dir, strconv.Itoa(n))
	if err := os.MkdirAll(home, 0o700); err != nil {
		h.t.Errorf("home: %v", err)
	}
	server := &ssh.Server{
		PublicKeyHandler: func(ctx ssh.Context, key ssh.PublicKey) bool {
			line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
			added, _ := os.ReadFile(filepath.Join(home, ".ssh", "authorized_keys")) // absent until somebody adds one
			has := func(known string) bool { return strings.Contains(known, line) }
			return ctx.User() == h.User && (slices.ContainsFunc(data.Authorized, has) || has(string(added)))
		},
		Handler: func(s ssh.Session) {
			Run(s, home, []string{"HOME=" + home, "PATH=" + filepath.Join(h.dir, "bin") + ":" + os.Getenv("PATH"), "USER=" + h.User})
		},
	}
	if err := server.SetOption(ssh.HostKeyPEM([]byte(data.Keys.Private))); err != nil {
		h.t.Errorf("host key: %v", err)
	}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return address, func() {
		_ = server.Close()
		KillAll("HOME=" + home)
	}
}

// KillAll ends the processes that have this in their environment: what a machine
// runs ends with it.
func KillAll(mark string) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is sound
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(append([]byte{0}, text...), append(append([]byte{0}, mark...), 0)) {
			continue // gone meanwhile, or another's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Run runs the command of a session in a folder, with an environment, and ends the
// session with its exit code.
func Run(s ssh.Session, dir string, env []string) {
	cmd := exec.CommandContext(s.Context(), "/bin/sh", "-c", s.RawCommand())
	cmd.Dir, cmd.Env = dir, env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = s, s.Stderr()
	if err := cmd.Start(); err != nil {
		return
	}
	go func() { _, _ = io.Copy(stdin, s); _ = stdin.Close() }()
	err = cmd.Wait()
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		code = 255
	}
	_ = s.Exit(code)
}
