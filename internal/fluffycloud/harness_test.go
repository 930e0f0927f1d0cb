// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

func TestMain(m *testing.M) {
	if handled, code := Main(os.Args); handled {
		os.Exit(code)
	}
	// No machine may ever see it.
	if err := os.Setenv("CANARY_SECRET", "tweet"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// cloud is a server under test with a login key.
type cloud struct {
	t      *testing.T
	dir    string
	opts   Options
	srv    *Server
	login  ssh.Signer
	keyID  string
	serial atomic.Int64
}

func newSigner(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

// newCloud starts a cloud that leaves nothing behind, and checks that.
func newCloud(t *testing.T, change func(*Options)) *cloud {
	t.Helper()
	t.Parallel()
	c := &cloud{t: t, dir: filepath.Join(t.TempDir(), "fluffycloud")}
	c.opts = Options{Dir: c.dir, BootTime: time.Millisecond, StopTime: time.Millisecond, Log: t.Output()}
	if change != nil {
		change(&c.opts)
	}
	c.start()
	t.Cleanup(func() {
		c.checkConsoles()
		if err := c.srv.Destroy(testContext(t)); err != nil {
			t.Errorf("destroy: %v", err)
		}
		left, err := procs.Tree(procs.ID{}, procs.Marks{Dir: c.srv.opts.Dir})
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	c.login, _ = newSigner(t)
	var out struct {
		SSHKey SSHKey `json:"ssh_key"`
	}
	c.must("POST", "/v1/ssh-keys", map[string]any{
		"name": "login", "public_key": string(ssh.MarshalAuthorizedKey(c.login.PublicKey())),
	}, &out)
	c.keyID = out.SSHKey.ID
	return c
}

// checkConsoles looks for what the race detector or a panic left in machines.
func (c *cloud) checkConsoles() {
	c.t.Helper()
	consoles, _ := filepath.Glob(filepath.Join(c.dir, "machines", "*", "disk", "console.log"))
	for _, file := range consoles {
		if log, _ := os.ReadFile(file); bytes.Contains(log, []byte("DATA RACE")) || bytes.Contains(log, []byte("panic:")) {
			c.t.Errorf("%s:\n%s", file, log)
		}
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (c *cloud) start() {
	c.t.Helper()
	srv, err := Start(testContext(c.t), c.opts)
	if err != nil {
		c.t.Fatal(err)
	}
	c.srv = srv
}

// restart ends the server and starts another one on its folder.
func (c *cloud) restart() {
	c.t.Helper()
	if err := c.srv.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.start()
}

// call sends one request and returns its status; a connection that was dropped
// is status 0.
func (c *cloud) call(method, path string, in, out any) (int, apiError) {
	c.t.Helper()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			c.t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(testContext(c.t), method, c.srv.URL()+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.srv.APIKey())
	client := c.srv.Client(0)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, apiError{}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var e struct {
		Error apiError `json:"error"`
	}
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(data, &e); err != nil {
			c.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, data)
		}
	} else if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, data)
		}
	}
	return resp.StatusCode, e.Error
}

// must is call for a request that has to succeed.
func (c *cloud) must(method, path string, in, out any) {
	c.t.Helper()
	if status, e := c.call(method, path, in, out); status < 200 || status > 299 {
		c.t.Fatalf("%s %s: %d %s: %s", method, path, status, e.Code, e.Message)
	}
}

// refuse is call for a request that has to fail with a code.
func (c *cloud) refuse(method, path string, in any, status int, code string) apiError {
	c.t.Helper()
	got, e := c.call(method, path, in, nil)
	if got != status || e.Code != code {
		c.t.Fatalf("%s %s: %d %q (%s), want %d %q", method, path, got, e.Code, e.Message, status, code)
	}
	return e
}

// request is a launch that works; change what matters.
func (c *cloud) request() launchRequest {
	n := c.serial.Add(1)
	return launchRequest{
		Name: "puff-" + strconv.FormatInt(n, 10), Region: "meadow-1", Zone: "meadow-1a",
		InstanceType: "puff-2", SSHKeyIDs: []string{c.keyID},
	}
}

type instanceAnswer struct {
	Instance Instance `json:"instance"`
}

// launch launches and waits until the machine runs.
func (c *cloud) launch(change func(*launchRequest)) Instance {
	c.t.Helper()
	req := c.request()
	if change != nil {
		change(&req)
	}
	var out instanceAnswer
	c.must("POST", "/v1/instances", req, &out)
	return c.await(out.Instance.ID, StateRunning)
}

func (c *cloud) get(id string) Instance {
	c.t.Helper()
	var out instanceAnswer
	c.must("GET", "/v1/instances/"+id, nil, &out)
	return out.Instance
}

// await waits until the machine is in the state; one that cannot get there any
// more fails the test.
func (c *cloud) await(id string, want State) Instance {
	c.t.Helper()
	var i Instance
	c.until("instance "+id+" is "+string(want), func() bool {
		i = c.get(id)
		if i.State.gone() && want != StateTerminated {
			c.t.Fatalf("instance %s is %s (%s), want %s\n%s", id, i.State, i.StateReason, want, c.console(id))
		}
		return i.State == want
	})
	return i
}

func (c *cloud) console(id string) string {
	data, _ := os.ReadFile(c.srv.paths(id).Console())
	return string(data)
}

// until polls for an event that must come.
func (c *cloud) until(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			c.t.Fatalf("still waiting until %s", what)
		case <-tick.C:
		}
	}
}

// hostKey is the machine's key as its own report tells it.
func (c *cloud) hostKey(id string) ssh.PublicKey {
	c.t.Helper()
	var r guest.Report
	if err := guest.ReadJSON(c.srv.paths(id).Report(), &r); err != nil {
		c.t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(r.HostKey))
	if err != nil {
		c.t.Fatal(err)
	}
	return key
}

func (c *cloud) dialAs(i Instance, user string, signers ...ssh.Signer) (*ssh.Client, error) {
	address := net.JoinHostPort(i.PublicIP, strconv.Itoa(i.SSHPort))
	return ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback: ssh.FixedHostKey(c.hostKey(i.ID)), Timeout: 20 * time.Second,
	})
}

// dial logs in to the machine.
func (c *cloud) dial(i Instance) *ssh.Client {
	c.t.Helper()
	client, err := c.dialAs(i, guest.User, c.login)
	if err != nil {
		c.t.Fatalf("ssh %s: %v", i.ID, err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

type result struct {
	out, err string
	code     int
	signal   string
}

// run runs a command over SSH.
func (c *cloud) run(client *ssh.Client, command string) result {
	c.t.Helper()
	session, err := client.NewSession()
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr = &stdout, &stderr
	err = session.Run(command)
	r := result{out: stdout.String(), err: stderr.String()}
	if exit := (*ssh.ExitError)(nil); errors.As(err, &exit) {
		r.code, r.signal = exit.ExitStatus(), exit.Signal()
	} else if err != nil {
		c.t.Fatalf("run %q: %v", command, err)
	}
	return r
}

func (c *cloud) terminate(id string) Instance {
	c.t.Helper()
	c.checkConsoles()
	c.must("DELETE", "/v1/instances/"+id, nil, nil)
	return c.await(id, StateTerminated)
}

// script is user data as the API wants it.
func script(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
