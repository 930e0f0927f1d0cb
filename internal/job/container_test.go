// SPDX-License-Identifier: MPL-2.0

//go:build container && linux

package job_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// sh runs shell of this computer, as root.
func sh(t *testing.T, text string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sh", append([]string{"-euc", text, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("this lane needs root, Podman, runc, busybox, sudo and sshd (.ci/peers/test-container): %v: %s\n%s", err, text, out)
	}
	return strings.TrimSpace(string(out))
}

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// sudoer is a user of this computer as clouds have them: not root, and sudo asks
// for no password. sshd lets the user in on a port of the loopback.
func sudoer(t *testing.T) (name string, port int, hostKey string, signer ssh.Signer) {
	t.Helper()
	name = "skyt" + strings.ToLower(rand.Text()[:8])
	sh(t, `useradd -m -s /bin/bash "$1" && usermod -p '*' "$1" && echo "$1 ALL=(ALL) NOPASSWD:ALL" >"/etc/sudoers.d/$1"`, name)
	t.Cleanup(func() { sh(t, `rm -f "/etc/sudoers.d/$1"; userdel -rf "$1" 2>/dev/null`, name) })
	signer, _ = newKey(t)
	host, private := newKey(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "host")
	if err := os.WriteFile(key, private, 0o600); err != nil {
		t.Fatal(err)
	}
	sh(t, `mkdir -p /run/sshd "/home/$1/.ssh" && printf %s "$2" >"/home/$1/.ssh/authorized_keys" && chown -R "$1:" "/home/$1/.ssh"`, name, string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\nUsePAM no\nStrictModes no\nPidFile none\nMaxSessions 200\n", port, key)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", conf)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	return name, port, string(ssh.MarshalAuthorizedKey(host.PublicKey())), signer
}

// busyboxImage is an image of nothing but busybox.
func busyboxImage(t *testing.T) string {
	t.Helper()
	name := "localhost/sky-job-" + strings.ToLower(rand.Text()[:8]) + ":1"
	sh(t, `cd "$1" && mkdir bin && cp "$(command -v busybox)" bin/busybox
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
ldd bin/busybox | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p' | while read -r lib; do mkdir -p ".${lib%/*}" && cp -L "$lib" ".$lib"; done
tar -c . | podman import -q - "$2"`, t.TempDir(), name)
	t.Cleanup(func() { sh(t, `podman rmi -f "$1"`, name) })
	return name
}

// TestContainerOfAnotherUser has jobs that are root within and started by a user
// who is not: they end as they should, and leave no process and no file of root's.
func TestContainerOfAnotherUser(t *testing.T) {
	name, port, hostKey, signer := sudoer(t)
	image := busyboxImage(t)
	container := "sky-" + name
	t.Cleanup(func() { sh(t, `podman rm -f -t 0 "$1" >/dev/null 2>&1 || :`, container) })
	r, err := job.New(cluster.Cluster{
		Name: "c", Generation: "g1", SSHUser: name, ProcessManager: "setsid",
		Nodes: []cluster.Node{{ExternalIP: "127.0.0.1", SSHPort: port, HostKey: hostKey}},
	}, job.Options{Signers: []ssh.Signer{signer}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := remote.DialWait(ctx, remote.Target{Host: "127.0.0.1", Port: port, User: name, HostKey: hostKey}, remote.Options{Signers: []ssh.Signer{signer}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	up := "mkdir -p ~/" + script.ContainerFolder + " && cd ~/" + script.ContainerFolder + " && cat >container.sh && exec sh container.sh up " + image + " " + container
	if _, err := remote.Output(ctx, client, remote.Command{Script: up, Stdin: strings.NewReader(script.Container())}); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	id, err := r.Submit(ctx, job.Spec{Name: "within", Secrets: map[string]string{"S": "it's\n$secret"}, Run: `id -u; mkdir made; echo "$S" >made/by-root; echo "$HOME $USER"; exit 7`})
	if err != nil {
		t.Fatal(err)
	}
	status, err := r.Wait(ctx, id, &log)
	if err != nil || status.ExitCode == nil || *status.ExitCode != 7 || !strings.Contains(log.String(), "0\n/home/"+name+" root\n") {
		t.Errorf("%+v, %v, log %q", status, err, log.String())
	}
	me, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join("/home", name, "sky_workdir", "made", "by-root")
	info, err := os.Stat(made)
	text, _ := os.ReadFile(made)
	if err != nil || fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != me.Uid || info.Mode().Perm() != 0o644 || string(text) != "it's\n$secret\n" {
		t.Errorf("%s: %+v, %v, %q; it should be %s's", made, info, err, text, me.Uid)
	}

	running := func() string {
		return sh(t, `grep -lsz "^SKY_JOB_MARK=$1" /proc/[0-9]*/environ || :`, string(id))
	}
	id, err = r.Submit(ctx, job.Spec{Name: "cancelled", Grace: time.Second, Run: `trap '' TERM; (setsid sleep 4713 &); sleep 4713 & sleep 4713`})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job runs", func() bool { return strings.Count(running(), "/proc/") >= 4 })
	if err := r.Cancel(ctx, id); err != nil {
		t.Error(err)
	}
	if left := running(); left != "" {
		t.Errorf("after the cancel there are %s", left)
	}
	stepEnds(t, client)
	podman := func() string { return sh(t, `podman inspect -f '{{.State.Pid}} {{.State.Running}}' "$1"`, container) }
	sh(t, `podman kill "$1"`, container)
	first := ""
	for _, name := range []string{"first", "second"} { // the one that starts the container does not end it
		id, err := r.Submit(ctx, job.Spec{Name: name, Run: "true"})
		if err != nil {
			t.Fatal(err)
		}
		if status, err := r.Wait(ctx, id, nil); err != nil || status.Phase != job.Succeeded {
			t.Errorf("%s: %+v, %v", name, status, err)
		}
		if now := podman(); first != "" && now != first || !strings.HasSuffix(now, "true") {
			t.Errorf("after the %s job the container is %s, was %s", name, now, first)
		} else {
			first = now
		}
	}
}

// stepEnds has a setup within that does not heed TERM, and is ended all the same.
func stepEnds(t *testing.T, client *remote.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	step := remote.NewStep(remote.Command{})
	step.Script = script.Become("setup", "trap '' TERM\nsleep 4714 & sleep 4714\n")
	running := func() string {
		return sh(t, `grep -lsz "^4714$" /proc/[0-9]*/cmdline || :`)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := client.RunStep(ctx, step)
		ended <- err
	}()
	eventually(t, "the step runs", func() bool { return strings.Count(running(), "/proc/") == 2 })
	cancel()
	if err := <-ended; err == nil {
		t.Error("a step that was cut off has ended well")
	}
	if left := running(); left != "" {
		t.Errorf("after the end of the step there are %s", left)
	}
}
