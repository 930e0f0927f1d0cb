// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/all"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider"
	"github.com/skybroker/terraform-provider-sky/internal/provider/acctest"
)

// TestMain lets the test binary be the processes that FluffyCloud's server and
// its machines consist of, and the provider of the tests that send signals.
func TestMain(m *testing.M) {
	if handled, code := fluffycloud.Main(os.Args); handled {
		os.Exit(code)
	}
	if len(os.Args) == 3 && os.Args[1] == answerArgument {
		os.Exit(answer(os.Args[2]))
	}
	if len(os.Args) == 1 && os.Getenv("TF_PLUGIN_MAGIC_COOKIE") != "" {
		os.Exit(serve())
	}
	if err := os.Setenv("SKY_CATALOG_OFFLINE", "1"); err != nil { // no test asks the world for prices
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := acctest.ParseFlags(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if f := flag.Lookup("test.parallel"); os.Getenv("TF_ACC") != "" && f.Value.String() == f.DefValue {
		// They wait more than they compute.
		if err := f.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func serve() int {
	registry, err := all.Registry()
	if err == nil {
		err = fillDisk()
	}
	if err == nil {
		err = provider.Serve(context.Background(), "test", registry, false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// patience bounds every wait for something that must happen.
const patience = 90 * time.Second

// cliPath is the CLI to run; a test that was asked for and has none fails.
func cliPath(t *testing.T) string {
	t.Helper()
	name := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if name == "" {
		name = "terraform"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("TF_ACC is set, and there is no Terraform or OpenTofu to run: %v. Put terraform on PATH, or name one in TF_ACC_TERRAFORM_PATH.", err)
	}
	return path
}

func factories() map[string]func() (tfprotov6.ProviderServer, error) {
	return acctest.Factories(all.Registry)
}

// lab is a FluffyCloud of a test's own.
type lab struct {
	t      *testing.T
	dir    string // the provider's state folder
	server *fluffycloud.Server
	key    string
	client *http.Client
}

// newLab starts a cloud that must be empty at the end of the test.
func newLab(t *testing.T) *lab {
	t.Helper()
	cliPath(t)
	l := &lab{t: t, dir: t.TempDir()}
	cloudDir := filepath.Join(l.dir, "fluffycloud")
	server, err := fluffycloud.Start(t.Context(), fluffycloud.Options{
		Dir: cloudDir, BootTime: 50 * time.Millisecond, StopTime: 10 * time.Millisecond, Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	l.server, l.client = server, server.Client(patience)
	key, err := os.ReadFile(filepath.Join(cloudDir, "api_key"))
	if err != nil {
		t.Fatal(err)
	}
	l.key = strings.TrimSpace(string(key))
	t.Cleanup(func() {
		l.wantEmpty()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Destroy(ctx); err != nil {
			t.Errorf("end the cloud: %v", err)
		}
	})
	return l
}

// config is a configuration with the provider block of this lab.
func (l *lab) config(body string) string {
	return fmt.Sprintf("provider \"sky\" {\n  state_dir       = %q\n  enabled_clouds  = [\"fluffycloud\"]\n  show_plan_table = false\n}\n%s", l.dir, body)
}

// call asks the cloud's API, as nobody of the provider.
func (l *lab) call(method, path string, in, out any) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	text, err := askAPI(ctx, l.client, method, l.server.URL()+path, l.key, in)
	if err != nil {
		l.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			l.t.Fatal(err)
		}
	}
}

// askAPI makes a call of FluffyCloud's API and returns the answer to one that
// succeeded.
func askAPI(ctx context.Context, client *http.Client, method, url, key string, in any) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, url, resp.Status, text)
	}
	return text, err
}

// fault adds a rule of the fault laboratory, given as JSON.
func (l *lab) fault(rule string) func() {
	return func() { l.call("POST", "/v1/faults", json.RawMessage(rule), nil) }
}

// noFaults removes all rules.
func (l *lab) noFaults() { l.call("DELETE", "/v1/faults", nil, nil) }

// sold says how many machines of a type a zone has.
func (l *lab) sold(zone, instanceType string, available int) {
	l.call("PUT", "/v1/capacity", map[string]any{
		"region": zone[:len(zone)-1], "zone": zone, "instance_type": instanceType, "available": available,
	}, nil)
}

// machine is what the tests look at of a machine.
type machine struct {
	ID    string            `json:"id"`
	Zone  string            `json:"zone"`
	State string            `json:"state"`
	Tags  map[string]string `json:"tags"`
}

// alive lists the machines that are billed.
func (l *lab) alive() []machine {
	l.t.Helper()
	var list struct {
		Instances []machine `json:"instances"`
	}
	l.call("GET", "/v1/instances", nil, &list)
	var out []machine
	for _, m := range list.Instances {
		if m.State != "terminated" {
			out = append(out, m)
		}
	}
	return out
}

// left lists the machines, disks, keys and firewalls that the cloud has.
func (l *lab) left() []string {
	l.t.Helper()
	var out []string
	for _, thing := range []string{"disks", "ssh-keys", "firewalls"} {
		var list map[string]json.RawMessage
		l.call("GET", "/v1/"+thing, nil, &list)
		var items []json.RawMessage
		if err := json.Unmarshal(list[strings.ReplaceAll(thing, "-", "_")], &items); err != nil {
			l.t.Fatal(err)
		}
		for _, item := range items {
			out = append(out, thing+": "+string(item))
		}
	}
	for _, m := range l.alive() {
		out = append(out, fmt.Sprintf("machines: %+v", m))
	}
	return out
}

// wantEmpty asserts that nothing is left.
func (l *lab) wantEmpty() {
	l.t.Helper()
	for _, thing := range l.left() {
		l.t.Errorf("left in the cloud: %s", thing)
	}
}

// homes are the home folders of the machines there are.
func (l *lab) homes() []string {
	l.t.Helper()
	homes, err := filepath.Glob(filepath.Join(l.dir, "fluffycloud", "machines", "*", "disk", "home"))
	if err != nil || len(homes) == 0 {
		l.t.Fatalf("home folders: %q, %v", homes, err)
	}
	return homes
}

// kill ends every machine of the account behind the provider's back.
func (l *lab) kill() {
	for _, m := range l.alive() {
		l.call("DELETE", "/v1/instances/"+m.ID, nil, nil)
	}
}

func (l *lab) test(steps ...resource.TestStep) {
	l.t.Helper()
	resource.Test(l.t, resource.TestCase{ProtoV6ProviderFactories: factories(), Steps: steps})
}

// allClouds are the clouds of this build, as an error lists them.
func allClouds(t *testing.T) string {
	t.Helper()
	registry, err := all.Registry()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(registry.Names(), ", ")
}
