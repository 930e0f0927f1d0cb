// SPDX-License-Identifier: MPL-2.0

//go:build ci && linux

package provider_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// The lane test-ci is Terraform as automation runs it: every run on a computer of
// its own, with an empty home and state folder and a fresh checkout, with the state
// behind an HTTP backend that locks. What the runs share is what a team shares: the
// backend, the cloud, and the settings of the pipeline.

// ciVersion is under which the test binary is installed as the provider.
const ciVersion = "0.1.0"

// team is what the runs of a case share.
type team struct {
	*lab
	cli    string
	state  *backend
	config map[string]string // the repository
	env    []string          // the pipeline's settings
	key    string            // the private key, PEM
}

// newTeam is a team with owner and key in its pipeline's settings.
func newTeam(t *testing.T, body string) *team {
	t.Helper()
	installed(t) // which may take its time, once
	m := &team{lab: newLab(t), cli: cliPath(t), state: newBackend(t), config: map[string]string{}, key: newUserKey(t)}
	m.config["main.tf"] = `terraform {
  required_providers {
    sky = { source = "skybroker/sky" }
  }
  backend "http" {}
}
provider "sky" {
  enabled_clouds  = ["fluffycloud"]
  show_plan_table = false
}
` + body
	m.env = []string{"SKY_OWNER=team-" + strings.ToLower(rand.Text()[:8]), "SKY_SSH_PRIVATE_KEY=" + m.key}
	t.Cleanup(func() {
		if !t.Failed() && len(m.state.resources(t)) == 0 {
			return
		}
		m.state.unlock() // a test that failed may have left it
		if out, err := m.computer().run("destroy", "-auto-approve"); err != nil {
			t.Errorf("destroy in the end: %v, %s", err, out)
		}
	})
	return m
}

// newUserKey is the private key of a pipeline.
func newUserKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// computer is one runner, or one colleague's laptop.
type computer struct {
	*team
	home, dir string
	env       []string // beside the team's
	ready     bool
}

// computer is a new one: nothing of an earlier run is on it.
func (m *team) computer() *computer {
	m.t.Helper()
	root := m.t.TempDir()
	p := &computer{team: m, home: filepath.Join(root, "home"), dir: filepath.Join(root, "checkout")}
	for _, dir := range []string{p.home, p.dir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			m.t.Fatal(err)
		}
	}
	return p
}

// stateDir is where its provider keeps what outlives a run.
func (p *computer) stateDir() string { return filepath.Join(p.home, ".terraform-provider-sky") }

// checkout brings the repository to the computer.
func (p *computer) checkout() {
	p.t.Helper()
	for name, text := range p.config {
		path := filepath.Join(p.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			p.t.Fatal(err)
		}
		writeFile(p.t, path, text)
	}
}

// start runs the CLI, after its init.
func (p *computer) start(out *bytes.Buffer, args ...string) *exec.Cmd {
	p.t.Helper()
	p.checkout()
	if !p.ready {
		p.ready = true
		var said bytes.Buffer
		if err := p.command(&said, "init", "-no-color", "-input=false").Run(); err != nil {
			p.t.Fatalf("init: %v\n%s", err, said.String())
		}
	}
	cmd := p.command(out, args...)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return cmd
}

func (p *computer) command(out *bytes.Buffer, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, p.cli, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, out, out
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		for _, prefix := range []string{"TF_", "SKY_", "FLUFFYCLOUD_", "HOME=", "CI=", "AWS_", "GOOGLE_"} {
			if strings.HasPrefix(kv, prefix) {
				return true
			}
		}
		return false
	})
	cmd.Env = append(cmd.Env, "HOME="+p.home, "CI=true", "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "SKY_CATALOG_OFFLINE=1",
		"TF_CLI_CONFIG_FILE="+installed(p.t), "FLUFFYCLOUD_ENDPOINT="+p.server.URL(), "FLUFFYCLOUD_API_KEY="+p.lab.key,
		"TF_HTTP_ADDRESS="+p.state.url, "TF_HTTP_LOCK_ADDRESS="+p.state.url, "TF_HTTP_UNLOCK_ADDRESS="+p.state.url, "TF_HTTP_RETRY_MAX=0")
	cmd.Env = append(append(cmd.Env, p.team.env...), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs the CLI and returns what it said, in one line.
func (p *computer) run(args ...string) (string, error) {
	p.t.Helper()
	var out bytes.Buffer
	switch args[0] {
	case "apply", "destroy", "plan":
		args = append([]string{args[0], "-no-color", "-input=false"}, args[1:]...)
	}
	err := p.start(&out, args...).Wait()
	return oneLine(out.String()), err
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("│╷╵ \t\n\r", r) }), " ")
}

// must is run that has to succeed.
func (p *computer) must(args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Errorf("%v: %v, %s", args, err, out)
	}
	return out
}

// refuses is run that has to fail and to say all of the words.
func (p *computer) refuses(words []string, args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err == nil {
		p.t.Errorf("%v succeeds: %s", args, out)
	}
	p.says(out, words...)
	return out
}

func (p *computer) says(out string, words ...string) {
	p.t.Helper()
	for _, word := range words {
		if !strings.Contains(out, word) {
			p.t.Errorf("it does not say %q: %s", word, out)
		}
	}
}

// apply is an apply on a computer of its own.
func (m *team) apply(more ...string) string {
	m.t.Helper()
	return m.computer().must(append([]string{"apply", "-auto-approve"}, more...)...)
}

// settled checks on computers of their own that nothing is left to do, and that a
// refresh changes nothing. Terraform 1.11 calls every resource with a number in it
// changed that a provider outside it has read, though it finds no change and writes
// none: there the words and the state count.
func (m *team) settled() {
	m.t.Helper()
	m.computer().must("plan", "-detailed-exitcode")
	before := m.state.content()
	out, err := m.computer().run("plan", "-refresh-only", "-detailed-exitcode")
	if err != nil && !strings.Contains(out, "No changes. Your infrastructure still matches the configuration.") {
		m.t.Errorf("a refresh on another computer: %v, %s", err, out)
	}
	m.computer().must("apply", "-refresh-only", "-auto-approve")
	if after := m.state.content(); after != before {
		m.t.Errorf("a refresh changes the state from\n%s\nto\n%s", before, after)
	}
}

// rewrite changes a file of the repository.
func (m *team) rewrite(from, to string) {
	m.t.Helper()
	if !strings.Contains(m.config["main.tf"], from) {
		m.t.Fatalf("the configuration has no %q", from)
	}
	m.config["main.tf"] = strings.Replace(m.config["main.tf"], from, to, 1)
}

// until waits for something that must happen.
func (m *team) until(what string, done func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(patience)
	for now := range time.Tick(50 * time.Millisecond) {
		if done() {
			return
		}
		if now.After(deadline) {
			m.t.Fatalf("never: %s", what)
		}
	}
}

// lines counts the lines of a file in the homes of all machines there are.
func (m *team) lines(name string) int {
	n := 0
	for _, home := range m.homes() {
		if text, err := os.ReadFile(filepath.Join(home, name)); err == nil {
			n += strings.Count(string(text), "\n")
		}
	}
	return n
}

// backend keeps a state and its lock, as Terraform's HTTP backend wants it.
type backend struct {
	url string

	mu      sync.Mutex
	text    []byte
	lock    []byte
	refuses bool // the next uploads
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == "LOCK" && b.lock != nil:
		w.WriteHeader(http.StatusLocked)
		_, _ = w.Write(b.lock)
	case r.Method == "LOCK":
		b.lock = body
	case r.Method == "UNLOCK":
		b.lock = nil
	case r.Method == http.MethodPost && b.refuses:
		w.WriteHeader(http.StatusInternalServerError)
	case r.Method == http.MethodPost:
		b.text = body
	case r.Method == http.MethodGet && b.text == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet:
		_, _ = w.Write(b.text)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// failing has uploads fail, or not; unlock is what an operator does after a kill.
func (b *backend) failing(yes bool) { b.mu.Lock(); defer b.mu.Unlock(); b.refuses = yes }
func (b *backend) unlock()          { b.mu.Lock(); defer b.mu.Unlock(); b.lock = nil }

// content is the state as it was uploaded.
func (b *backend) content() string { b.mu.Lock(); defer b.mu.Unlock(); return string(b.text) }

// resources are those that the state holds.
func (b *backend) resources(t *testing.T) []stateResource {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text == nil {
		return nil
	}
	path := filepath.Join(t.TempDir(), "state")
	writeFile(t, path, string(b.text))
	return readState(t, path).Resources
}

// of is an attribute of a resource in state.
func (b *backend) of(t *testing.T, address, name string) any {
	t.Helper()
	for _, r := range b.resources(t) {
		if r.Type+"."+r.Name == address && len(r.Instances) > 0 {
			return r.Instances[0].Attributes[name]
		}
	}
	t.Fatalf("%s is not in state", address)
	return nil
}

// installed is a CLI configuration under which this checkout's provider is found,
// which is built once for all.
func installed(t *testing.T) string {
	t.Helper()
	dir, err := mirror()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "rc")
}

// provider is the path of the provider, which is also a program for people.
func providerPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(filepath.Dir(installed(t)), "terraform-provider-sky_v"+ciVersion)
}

var mirror = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // one build for all cases
	dir, err := os.MkdirTemp("", "sky-ci-")
	if err != nil {
		return "", err
	}
	name := "terraform-provider-sky_v" + ciVersion
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), "../..") //nolint:noctx // go test ends it
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the provider: %w\n%s", err, out)
	}
	for _, host := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		at := filepath.Join(dir, "mirror", host, "skybroker", "sky", ciVersion, runtime.GOOS+"_"+runtime.GOARCH)
		if err := os.MkdirAll(at, 0o700); err != nil {
			return "", err
		}
		if err := os.Link(filepath.Join(dir, name), filepath.Join(at, name)); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", filepath.Join(dir, "mirror"))
	return dir, os.WriteFile(filepath.Join(dir, "rc"), []byte(text), 0o600)
})
