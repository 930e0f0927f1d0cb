// SPDX-License-Identifier: MPL-2.0

//go:build linux

package gcp

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gliderlabs/ssh"
	"github.com/goccy/go-yaml"
	gossh "golang.org/x/crypto/ssh"
	"google.golang.org/api/compute/v1"

	sshguests "github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/guests"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
)

// guests are the machines of a fake cloud, each an SSH server on a loopback
// address of its own, with a home that outlives a stop.
type guests struct {
	t    *testing.T
	port int
	dir  string
	// cloud is what a machine reaches that ends itself, by way of host.
	cloud *gcpfake.Cloud
	host  *httptest.Server
}

func newGuests(t *testing.T, port int) *guests {
	t.Helper()
	g := &guests{t: t, port: port, dir: t.TempDir()}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The head of a cluster reaches the others with ssh, which not every computer
	// that runs tests has.
	g.script("ssh", fmt.Sprintf("exec '%s' fluffycloud ssh-client \"$@\"", executable))
	// What a machine does to itself must not be done to the computer of the test.
	g.script("sudo", `[ "$1" != -n ] || shift; exec "$@"`)
	g.script("shutdown", `curl -sf "$SKY_HOST/off"`)
	g.script("crontab", `case $1 in -l) cat ~/tab ;; -) cat >~/tab.new && mv ~/tab.new ~/tab ;; esac`)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{id}/off", func(_ http.ResponseWriter, r *http.Request) {
		if err := g.cloud.PowerOff(r.PathValue("id")); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	mux.HandleFunc("GET /{id}/md/{path...}", g.metadata)
	g.host = httptest.NewServer(mux)
	t.Cleanup(g.host.Close)
	return g
}

// metadata is the metadata server as a machine sees it.
func (g *guests) metadata(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	for _, in := range g.cloud.Instances() {
		if strconv.FormatUint(in.Id, 10) != id || r.Header.Get("Metadata-Flavor") != "Google" {
			continue
		}
		switch path := r.PathValue("path"); {
		case path == "instance/service-accounts/default/token" && len(in.ServiceAccounts) > 0:
			_, _ = io.WriteString(w, `{"access_token":"`+gcpfake.MachineToken+`","expires_in":3599,"token_type":"Bearer"}`)
			return
		case path == "project/project-id":
			_, _ = io.WriteString(w, gcpfake.Project)
			return
		case path == "instance/zone":
			_, _ = io.WriteString(w, "projects/4711/zones/"+lastPart(in.Zone))
			return
		case path == "instance/id":
			_, _ = io.WriteString(w, id)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// script puts a command onto the PATH of all machines.
func (g *guests) script(name, text string) {
	g.t.Helper()
	sshguests.Script(g.t, filepath.Join(g.dir, "bin"), name, text)
}

// home is where a machine's user has its files.
func (g *guests) home(id uint64) string { return filepath.Join(g.dir, strconv.FormatUint(id, 10)) }

// boot runs a machine as an SSH server with the host key, and for the keys, that
// its metadata brought. Inside and outside it has one address.
func (g *guests) boot(in *compute.Instance) (string, func()) {
	metadata := metadataOf(in.Metadata)
	var data struct {
		SSHKeys struct {
			Private string `yaml:"ed25519_private"`
		} `yaml:"ssh_keys"`
	}
	if err := yaml.Unmarshal([]byte(metadata[metaUserData]), &data); err != nil {
		g.t.Errorf("user data: %v", err)
	}
	address := fmt.Sprintf("127.77.%d.%d", in.Id/250%250, in.Id%250+2)
	in.NetworkInterfaces[0].NetworkIP = address
	listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(g.port)))
	if err != nil {
		g.t.Errorf("listen: %v", err)
		return address, func() {}
	}
	home := g.home(in.Id)
	if err := os.MkdirAll(home, 0o700); err != nil {
		g.t.Errorf("home: %v", err)
	}
	server := &ssh.Server{
		PublicKeyHandler: func(ctx ssh.Context, key ssh.PublicKey) bool {
			line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
			added, _ := os.ReadFile(filepath.Join(home, ".ssh", "authorized_keys")) // absent until somebody adds one
			return ctx.User() == "ubuntu" && (strings.Contains(metadata[metaSSHKeys], "ubuntu:"+line) || strings.Contains(string(added), line))
		},
		Handler: func(s ssh.Session) { g.run(s, home, g.host.URL+"/"+strconv.FormatUint(in.Id, 10)) },
	}
	if err := server.SetOption(ssh.HostKeyPEM([]byte(data.SSHKeys.Private))); err != nil {
		g.t.Errorf("host key: %v", err)
	}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return address, func() {
		_ = server.Close()
		sshguests.KillAll("HOME=" + home)
	}
}

func (g *guests) run(s ssh.Session, home, host string) {
	env := []string{"HOME=" + home, "PATH=" + filepath.Join(g.dir, "bin") + ":" + os.Getenv("PATH"), "USER=ubuntu"}
	if g.cloud != nil {
		env = append(env, "SKY_HOST="+host, "SKY_METADATA="+host+"/md", "SKY_COMPUTE="+g.cloud.URL)
	}
	sshguests.Run(s, home, env)
}
