// SPDX-License-Identifier: MPL-2.0

//go:build openssh && linux

package runpod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// pod is a container, as far as namespaces make one: the command of a pod as its
// first process, with folders of its own and the real OpenSSH.
type realPod struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
}

// start runs the command, as RunPod does at every start of the container.
func (p *realPod) start(command string) {
	p.t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		p.t.Fatalf("this lane needs OpenSSH's server: %v", err)
	}
	// RunPod maps the port; here the server is told another one.
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s -p %d -o ListenAddress=127.66.250.2 \"$@\"\n", sshd, p.port)
	if err := os.WriteFile(filepath.Join(p.dir, "sshd"), []byte(wrapper), 0o700); err != nil { //nolint:gosec // it is to be run
		p.t.Fatal(err)
	}
	script := fmt.Sprintf(`set -e
mount --make-rprivate /
mkdir -p "%[1]s/tmp"; for at in etc/ssh etc/profile.d root run; do mkdir -p "%[1]s/$at"; mount --bind "%[1]s/$at" "/$at"; done
cd /root; exec env -i PATH="%[1]s:$PATH" HOME=/root LD_LIBRARY_PATH=/opt/it\'s RUNPOD_API_KEY=pods-own-key %[2]s`, p.dir, strings.ReplaceAll(command, "/tmp/", p.dir+"/tmp/"))
	p.cmd = exec.CommandContext(context.Background(), "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script) //nolint:gosec // a pod
	var says bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &says, &says
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.stop()
		if p.t.Failed() {
			p.t.Logf("the pod says: %s", says.String())
		}
	})
}

func (p *realPod) stop() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
}

// run dials under a host key, runs a script and returns what it prints.
func (p *realPod) run(signer ssh.Signer, hostKey, script string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	client, err := remote.DialWait(ctx, remote.Target{Host: "127.66.250.2", Port: p.port, User: "root", HostKey: hostKey}, remote.Options{Signers: []ssh.Signer{signer}})
	if err != nil {
		return "", err
	}
	defer client.Close()
	var out, says bytes.Buffer
	code, err := client.Run(ctx, remote.Command{Script: script, Stdout: &out, Stderr: &says})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, says.String())
	}
	return strings.TrimSpace(out.String()), err
}

// TestOpenSSHPod: the start command brings up the real server under the host key
// that came with it; the pod makes another one, which then counts alone, also after
// the container was started anew, and which a reset of the pod takes away; and a login has the image's environment, and not
// RunPod's key.
func TestOpenSSHPod(t *testing.T) {
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.66.250.2:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &realPod{t: t, dir: t.TempDir(), port: free.Addr().(*net.TCPAddr).Port} //nolint:forcetypeassert // it is TCP
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	private, born, err := remote.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	key, authorized, err := remote.NewHostKey() // a pair like any other
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := clusterconfig.Load(templates.FS, "", Name)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := tmpl.Render(clusterconfig.Vars{
		ClusterName: "c", Cloud: Name, Nodes: 1, HostKey: clusterconfig.HostKey{Private: string(private), Public: born},
		AuthorizedKeys: []string{strings.TrimSpace(authorized) + " it's \"mine\" $HOME"},
	})
	if err != nil {
		t.Fatal(err)
	}
	command := startCommand([]byte(cfg.UserData))
	p.start(command)
	renewed, err := p.run(signer, born, cfg.RenewHostKey)
	if err != nil || !strings.HasPrefix(renewed, "ssh-ed25519 ") || strings.Contains(born, renewed) {
		t.Fatalf("the new host key is %q, %v", renewed, err)
	}
	check := func(when string) {
		t.Helper()
		out, err := p.run(signer, renewed, `. /etc/profile.d/00-sky-image.sh; echo "$LD_LIBRARY_PATH|${RUNPOD_API_KEY:-none}|$(ls `+p.dir+`/tmp)"`)
		if err != nil || out != "/opt/it's|none|" {
			t.Errorf("%s a login has %q, %v", when, out, err)
		}
		if _, err := p.run(signer, born, ":"); !errors.As(err, new(*remote.HostKeyError)) {
			t.Errorf("%s the key that it was born with is answered with %v", when, err)
		}
	}
	check("after the renewal")
	p.stop()
	p.start(command)
	check("started anew")
	p.stop()
	for _, at := range []string{"etc", "root", "run", "tmp"} { // RunPod wipes the disk of a pod that it resets
		if err := os.RemoveAll(filepath.Join(p.dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	p.start(command)
	if _, err := p.run(signer, born, ":"); err != nil {
		t.Errorf("after a reset the key that it was born with is answered with %v", err)
	}
	if _, err := p.run(signer, renewed, ":"); !errors.As(err, new(*remote.HostKeyError)) || !strings.Contains(err.Error(), "was reset and lost its disk") {
		t.Errorf("after a reset the pinned key is answered with %v", err)
	}
}
