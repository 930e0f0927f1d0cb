// SPDX-License-Identifier: MPL-2.0

//go:build container && linux

package provider_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// registry serves one image, "own:1", to who logs in with the password, and counts
// whom it lets in and whom not.
type registry struct {
	password    string
	blobs       map[string][]byte // by digest
	manifest    []byte
	in, refused atomic.Int64
}

// newRegistry serves an image, and has Podman take the registry without TLS.
func newRegistry(t *testing.T, image, password string) (r *registry, address string) {
	t.Helper()
	r = &registry{password: password, blobs: map[string][]byte{}}
	dir := t.TempDir()
	podman(t, nil, "save", "-q", "--format", "docker-dir", "-o", dir, image)
	var err error
	if r.manifest, err = os.ReadFile(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		sum := sha256.Sum256(text)
		r.blobs["sha256:"+hex.EncodeToString(sum[:])] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	address = strings.TrimPrefix(server.URL, "http://")
	conf := filepath.Join("/etc/containers/registries.conf.d", "sky-test-"+strings.ReplaceAll(address, ":", "-")+".conf")
	t.Cleanup(func() { _ = os.Remove(conf) })
	text := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", address)
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return r, address
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, password, _ := req.BasicAuth(); user != "puller" || password != r.password {
		r.refused.Add(1)
		w.Header().Set("WWW-Authenticate", `Basic realm="own"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	r.in.Add(1)
	digest := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	switch blob := r.blobs[digest]; {
	case req.URL.Path == "/v2/":
	case strings.Contains(req.URL.Path, "/manifests/"):
		var kind struct {
			MediaType string `json:"mediaType"`
		}
		_ = json.Unmarshal(r.manifest, &kind)
		w.Header().Set("Content-Type", kind.MediaType)
		_, _ = w.Write(r.manifest)
	case blob != nil:
		_, _ = w.Write(blob)
	default:
		http.NotFound(w, req)
	}
}

// TestAccContainerLogin has an image behind a login, and follows the password
// through everything that is written down, on this computer and on the node.
func TestAccContainerLogin(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711-it's"
	r, address := newRegistry(t, imageWith(t), canary)
	image := address + "/own:1"
	t.Cleanup(func() {
		for _, id := range strings.Fields(podman(t, nil, "ps", "-aq", "--filter", "ancestor="+image)) {
			podman(t, nil, "rm", "-f", "-t", "0", id)
		}
		podman(t, nil, "rmi", "-f", "--ignore", image)
	})
	body := func(password string) string {
		return fmt.Sprintf(`
resource "sky_cluster" "c" {
  name       = "login"
  resources  = { instance_type = "puff-2", image_id = "docker:%s" }
  image_auth = { username = "puller", password = %s }
  setup      = "cat /etc/sky-image >~/seen"
}
`, image, password)
	}
	w := newWorkspace(t, body("var.password"))
	w.rewrite("terraform {", "variable \"password\" {\n  type = string\n  ephemeral = true\n}\nterraform {")
	trace := filepath.Join(w.dir, "trace.log")
	run := func(password string, args ...string) (string, error) {
		var out bytes.Buffer
		err := w.startWith(&out, []string{"TF_LOG=TRACE", "TF_LOG_PATH=" + trace, "TF_VAR_password=" + password}, args...).Wait()
		return out.String(), err
	}
	if !writeOnly(t, w.cli) {
		w.rewrite("  ephemeral = true\n", "")
		if out, err := run(canary, "plan", "-no-color"); err == nil || !strings.Contains(out, "WriteOnly Attribute Not Allowed") {
			t.Errorf("a CLI without write-only attributes said %v:\n%s", err, out)
		}
		writeFile(t, filepath.Join(w.dir, "main.tf"), "") // nothing was made
		return
	}
	out, err := run("wrong-one", applyArgs()...)
	if err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), "cannot be pulled") || r.in.Load() != 0 || r.refused.Load() == 0 {
		t.Fatalf("with a wrong password, %d calls let in, %d not: %v\n%s", r.in.Load(), r.refused.Load(), err, out)
	}
	if n := w.lab.everMade(); n != 1 {
		t.Errorf("a refused login made %d machines", n)
	}
	out, err = run(canary, applyArgs()...)
	if err != nil || r.in.Load() == 0 {
		t.Fatalf("%v, %d calls let in\n%s", err, r.in.Load(), out)
	}
	for name, where := range map[string]string{"what the CLI said": out, "the state": w.rawState(), "the trace": readFile(t, trace)} {
		if strings.Contains(where, "canary-4711") {
			t.Errorf("%s shows the password", name)
		}
	}
	for _, dir := range []string{w.lab.dir, "/dev/shm", "/root/.docker", "/run/containers"} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // what is gone holds nothing
			}
			text, _ := os.ReadFile(path)
			if strings.Contains(string(text), "canary-4711") || strings.Contains(string(text), "cHVsbGVyOmNhbmFyeS00NzEx") {
				t.Errorf("%s holds the password", path)
			}
			return nil
		})
	}
	if seen := readFile(t, filepath.Join(w.lab.homes()[len(w.lab.homes())-1], "seen")); seen != "made\n" {
		t.Errorf("setup saw %q", seen)
	}
	if out, err := run(canary, "destroy", "-auto-approve", "-no-color"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	writeFile(t, filepath.Join(w.dir, "main.tf"), "") // what the workspace destroys at last knows no password
}
