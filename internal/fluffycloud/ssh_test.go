// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

func TestLogin(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	stranger, _ := newSigner(t)
	if _, err := c.dialAs(i, guest.User, stranger); err == nil {
		t.Error("a stranger got in")
	}
	if _, err := c.dialAs(i, "root", c.login); err == nil {
		t.Error("root got in")
	}
	many := make([]ssh.Signer, 0, 8)
	for range 7 {
		s, _ := newSigner(t)
		many = append(many, s)
	}
	if _, err := c.dialAs(i, guest.User, append(many, c.login)...); err == nil {
		t.Error("the eighth key was still tried")
	}
	address := net.JoinHostPort(i.PublicIP, strconv.Itoa(i.SSHPort))
	_, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: guest.User, Auth: []ssh.AuthMethod{ssh.Password("fluffy")}, HostKeyCallback: ssh.FixedHostKey(c.hostKey(i.ID)),
	})
	if err == nil {
		t.Error("a password got in")
	}
	client := c.dial(i)
	c.run(client, "echo '"+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(stranger.PublicKey())))+"' >> .ssh/authorized_keys")
	if _, err := c.dialAs(i, guest.User, stranger); err != nil {
		t.Errorf("a key added on the machine does not open it: %v", err)
	}
}

func TestTheEnvironmentIsTheMachinesOwn(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	client := c.dial(i)
	r := c.run(client, "env; pwd; tr '\\0' '\\n' < /proc/$PPID/environ")
	if strings.Contains(r.out, "CANARY") {
		t.Errorf("the server's environment leaked: %s", r.out)
	}
	home, err := filepath.EvalSymlinks(c.srv.paths(i.ID).Home())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"HOME=" + home, "USER=fluffy", "LOGNAME=fluffy", "FLUFFYCLOUD_INSTANCE_ID=" + i.ID,
		"FLUFFYCLOUD_MACHINE=" + i.ID, "FLUFFYCLOUD_ZONE=meadow-1a", "TMPDIR=" + filepath.Dir(home) + "/tmp", home,
	} {
		if !strings.Contains("\n"+r.out, "\n"+want+"\n") {
			t.Errorf("%s is missing in:\n%s", want, r.out)
		}
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Setenv("COLOUR", "sky blue"); err != nil {
		t.Error(err)
	}
	for _, own := range []string{"HOME", "PATH", "FLUFFYCLOUD_MACHINE"} {
		if session.Setenv(own, "/tmp") == nil {
			t.Errorf("%s can be set from outside", own)
		}
	}
	if out, err := session.Output(`echo "$COLOUR"`); err != nil || string(out) != "sky blue\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestStreamsAreExact(t *testing.T) {
	c := newCloud(t, nil)
	client := c.dial(c.launch(nil))
	data := bytes.Repeat([]byte("0123456789abcdef\x00\r\n"), 1<<18)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	session.Stdin = bytes.NewReader(data)
	out, err := session.Output("cat")
	if err != nil || sha256.Sum256(out) != sha256.Sum256(data) {
		t.Errorf("%d bytes went in, %d came out: %v", len(data), len(out), err)
	}
}

func TestSignalsReachTheCommand(t *testing.T) {
	c := newCloud(t, nil)
	client := c.dial(c.launch(nil))
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.02; done`); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := io.ReadFull(out, buf); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	exit := (*ssh.ExitError)(nil)
	if err := session.Wait(); !asExit(err, &exit) || exit.ExitStatus() != 3 || string(rest) != "got\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

func asExit(err error, to **ssh.ExitError) bool {
	e, ok := err.(*ssh.ExitError) //nolint:errorlint // the session returns it bare
	*to = e
	return ok
}

// TestALostConnectionEndsItsCommand and nothing that was detached from it.
func TestALostConnectionEndsItsCommand(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	watcher := c.dial(i)
	client := c.dial(i)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`(setsid sh -c 'echo $$ > detached; exec sleep 1000' >/dev/null 2>&1 </dev/null &); echo $$ > attached; sleep 1000`); err != nil {
		t.Fatal(err)
	}
	var detached, attached int
	c.until("the command runs", func() bool {
		detached, _ = strconv.Atoi(strings.TrimSpace(c.run(watcher, "cat detached 2>/dev/null").out))
		attached, _ = strconv.Atoi(strings.TrimSpace(c.run(watcher, "cat attached 2>/dev/null").out))
		return detached > 0 && attached > 0
	})
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	c.until("the command ended", func() bool { return !alive(attached) })
	if !alive(detached) {
		t.Error("the detached process ended, too")
	}
}

func TestTerminal(t *testing.T) {
	c := newCloud(t, nil)
	client := c.dial(c.launch(nil))
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm-256color", 40, 120, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	session.Stdout = &out
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	if err := session.WindowChange(50, 90); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "stty size; echo T=$TERM; [ -t 0 ] && echo is-a-tty; exit 5\n"); err != nil {
		t.Fatal(err)
	}
	exit := (*ssh.ExitError)(nil)
	if err := session.Wait(); !asExit(err, &exit) || exit.ExitStatus() != 5 {
		t.Errorf("the shell ended with %v", err)
	}
	for _, want := range []string{"50 90\r\n", "T=xterm-256color\r\n", "is-a-tty\r\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %q", want, out.String())
		}
	}
}

func TestSFTP(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	client := c.dial(i)
	files, err := sftp.NewClient(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.MkdirAll("a/b"); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create("a/b/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte("fluff"), 100000)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if r := c.run(client, "wc -c < ~/a/b/file"); strings.TrimSpace(r.out) != "500000" {
		t.Errorf("%+v", r)
	}
	if err := files.Close(); err != nil {
		t.Error(err)
	}
}

// closeWrite ends one direction of a connection.
func closeWrite(t *testing.T, conn net.Conn) {
	t.Helper()
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T cannot be closed by halves", conn)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func TestForwarding(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	client := c.dial(i)
	// A service on the machine, reached from here as its localhost.
	ln, err := net.Listen("tcp", net.JoinHostPort(i.PrivateIP, "0"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fluff") }))
	}()
	defer func() { _ = ln.Close() }()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	conn, err := client.Dial("tcp", "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.0\r\n\r\n")
	// Half closed: the answer still comes.
	closeWrite(t, conn)
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "fluff") {
		t.Errorf("%q, %v", answer, err)
	}
	if _, err := client.Dial("tcp", "127.0.0.1:1"); err == nil {
		t.Error("nothing listens there")
	}
	// A service here, reached from the machine.
	remote, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := remote.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	echo, err := net.Dial("tcp", remote.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(echo, "over and back")
	closeWrite(t, echo)
	if back, err := io.ReadAll(echo); err != nil || string(back) != "over and back" {
		t.Errorf("%q, %v", back, err)
	}
	if err := remote.Close(); err != nil {
		t.Error(err)
	}
	c.until("the port is closed", func() bool {
		conn, err := net.Dial("tcp", remote.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

func TestCloudConfig(t *testing.T) {
	c := newCloud(t, nil)
	host, pemText := newSigner(t)
	guestKey, _ := newSigner(t)
	config := "#cloud-config\nssh_keys:\n  ed25519_private: |\n    " + strings.ReplaceAll(strings.TrimSpace(pemText), "\n", "\n    ") +
		"\n  ed25519_public: " + string(ssh.MarshalAuthorizedKey(host.PublicKey())) +
		"ssh_authorized_keys:\n  - " + string(ssh.MarshalAuthorizedKey(guestKey.PublicKey())) + `
write_files:
  - path: /home/fluffy/plain
    content: |
      hello
    permissions: '0640'
  - path: /etc/sky.conf
    encoding: b64
    content: c2t5
runcmd:
  - [sh, -c, 'echo "list $(pwd)" > "$HOME/one"']
  - echo string > two
  - exit 1
  - echo after > three
`
	i := c.launch(func(r *launchRequest) { r.UserData, r.SSHKeyIDs = script(config), nil })
	if !bytes.Equal(c.hostKey(i.ID).Marshal(), host.PublicKey().Marshal()) {
		t.Error("the machine has another host key than it was given")
	}
	client, err := c.dialAs(i, guest.User, guestKey)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	c.until("user data is done", func() bool { return c.run(client, "cat three").code == 0 })
	home := c.srv.paths(i.ID).Home()
	if r := c.run(client, "cat plain one two three; stat -c %a plain"); r.out != "hello\nlist "+home+"\nstring\nafter\n640\n" {
		t.Errorf("%+v", r)
	}
	if data, err := os.ReadFile(filepath.Join(c.srv.paths(i.ID).Disk(), "etc", "sky.conf")); err != nil || string(data) != "sky" {
		t.Errorf("a path outside of home: %q, %v", data, err)
	}
	if _, err := os.Stat("/etc/sky.conf"); err == nil {
		t.Error("a machine wrote to the host")
	}
	if log := c.console(i.ID); strings.Contains(log, "PRIVATE KEY") || !strings.Contains(log, "command failed") {
		t.Errorf("the console says:\n%s", log)
	}
}

func TestBadUserDataStillBoots(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(func(r *launchRequest) { r.UserData = script("#cloud-config\nruncmd: [\n") })
	if r := c.run(c.dial(i), "echo up"); r.out != "up\n" {
		t.Errorf("%+v", r)
	}
	var out struct {
		Output string `json:"output"`
	}
	c.must("GET", "/v1/instances/"+i.ID+"/console", nil, &out)
	if !strings.Contains(out.Output, "user data is ignored") {
		t.Errorf("the console says:\n%s", out.Output)
	}
}

// TestMachinesReachEachOther through the image's own SSH client.
func TestMachinesReachEachOther(t *testing.T) {
	c := newCloud(t, nil)
	_, key := newSigner(t)
	signer, err := ssh.ParsePrivateKey([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	authorized := string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	from, to := c.launch(nil), c.launch(nil)
	a, b := c.dial(from), c.dial(to)
	c.run(b, "echo '"+strings.TrimSpace(authorized)+"' >> .ssh/authorized_keys")
	known := fmt.Sprintf("[%s]:%d %s", to.PrivateIP, to.SSHPort, ssh.MarshalAuthorizedKey(c.hostKey(to.ID)))
	c.run(a, "umask 077; cat > key <<'EOS'\n"+key+"EOS\ncat > known <<'EOS'\n"+known+"EOS\n")
	base := fmt.Sprintf("ssh -i key -p %d -o StrictHostKeyChecking=yes -o UserKnownHostsFile=known -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 fluffy@%s ", to.SSHPort, to.PrivateIP)
	if r := c.run(a, base+`'cat; echo err >&2; echo "$FLUFFYCLOUD_INSTANCE_ID"; exit 4' <<'EOS'
input
EOS`); r.out != "input\n"+to.ID+"\n" || r.err != "err\n" || r.code != 4 {
		t.Errorf("%+v", r)
	}
	if r := c.run(a, base+"'kill -9 $$'"); r.code != 255 {
		t.Errorf("killed: %+v", r)
	}
	for name, command := range map[string]string{
		"unknown host":   strings.Replace(base, "UserKnownHostsFile=known", "UserKnownHostsFile=/dev/null", 1) + "true",
		"lax checking":   strings.Replace(base, "Checking=yes", "Checking=no", 1) + "true",
		"unknown option": "ssh -J x " + strings.TrimPrefix(base, "ssh ") + "true",
		"wrong user":     strings.Replace(base, "fluffy@", "root@", 1) + "true",
	} {
		if r := c.run(a, command); r.code != 255 || !strings.HasPrefix(r.err, "ssh: ") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// A client that is killed takes the remote command with it.
	c.run(a, "("+base+"'echo $$ > pid; sleep 1000' >/dev/null 2>&1 & echo $! > client)")
	var pid int
	c.until("the remote command runs", func() bool {
		pid, _ = strconv.Atoi(strings.TrimSpace(c.run(b, "cat pid 2>/dev/null").out))
		return pid > 0
	})
	c.run(a, "kill -9 $(cat client)")
	c.until("the remote command ended", func() bool { return !alive(pid) })
}

func TestConsoleShowsNoSecret(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(func(r *launchRequest) { r.UserData = script("#!/bin/sh\n# canary-secret\ntrue\n") })
	c.run(c.dial(i), "true")
	c.until("user data is done", func() bool { return strings.Contains(c.console(i.ID), "user data done") })
	if log := c.console(i.ID); strings.Contains(log, "canary-secret") {
		t.Error(log)
	}
	info, err := os.Stat(c.srv.paths(i.ID).Config())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
