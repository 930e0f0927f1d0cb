// SPDX-License-Identifier: MPL-2.0

//go:build unix

package gcp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/gcp/gcpfake"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// selfCommands are what the cluster template runs on a machine that ends itself.
func selfCommands(t *testing.T) (stop, terminate string) {
	t.Helper()
	tmpl, err := clusterconfig.Load(templates.FS, "", Name)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := tmpl.Render(clusterconfig.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg.SelfStop, cfg.SelfTerminate
}

// runOnMachine runs a command of the template on a machine of Google's, and
// returns whether the machine shut down, and what was said.
func runOnMachine(t *testing.T, m *metadataServer, command string) (down bool, said string) {
	t.Helper()
	dir := t.TempDir()
	mark := filepath.Join(dir, "down")
	for name, text := range map[string]string{"sudo": `exec "$@"`, "shutdown": `[ "$*" = "-h now" ] && : >` + mark} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SKY_METADATA="+m.URL+"/md", "SKY_COMPUTE="+m.URL, "SKY_PAUSE=0")
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, both.String())
	}
	_, err := os.Stat(mark)
	return err == nil, both.String()
}

func TestSelfStop(t *testing.T) {
	stop, _ := selfCommands(t)
	if down, said := runOnMachine(t, newMetadataServer(t, "", "token-of-the-machine"), stop); !down || said != "" {
		t.Errorf("down: %t; it said %s", down, said)
	}
}

// TestSelfTerminate: the machine deletes itself with its own token, and where
// that is refused it stops at least.
func TestSelfTerminate(t *testing.T) {
	_, terminate := selfCommands(t)
	m := newMetadataServer(t, "", "token-of-the-machine")
	if down, said := runOnMachine(t, m, terminate); down || said != "" {
		t.Errorf("down: %t; it said %s", down, said)
	}
	if got, want := <-m.deleted, "/compute/v1/projects/acme-weather/zones/us-central1-a/instances/1001"; got != want {
		t.Errorf("it deleted %s, want %s", got, want)
	}
	forbidden := newMetadataServer(t, "", "token-of-the-machine")
	forbidden.forbidden = true
	for name, m := range map[string]*metadataServer{"not allowed": forbidden, "no account": newMetadataServer(t, "", "")} {
		down, said := runOnMachine(t, m, terminate)
		if !down || !strings.Contains(said, "needs compute.instances.delete") || strings.Contains(said, "token-of-the-machine") {
			t.Errorf("%s: down: %t; it said %s", name, down, said)
		}
	}
}

// TestWhatTheAccountAllows: machines remove themselves only under an account of
// which the user says so; what would be right is said where they do not.
func TestWhatTheAccountAllows(t *testing.T) {
	with := func(values map[string]string) cloud.Capabilities {
		return cloud.CapabilitiesOf(Factory{}, cloud.Credentials{Values: values})
	}
	for _, values := range []map[string]string{nil, {optionServiceAccount: gcpfake.Deleter}, {optionSelfDelete: "true"}, {optionServiceAccount: gcpfake.Deleter, optionSelfDelete: "false"}} {
		caps := with(values)
		why := caps.CannotEndItself(cloud.Offer{Cloud: Name, Market: cloud.OnDemand}, cloud.ShutdownTerminate)
		if caps.DeadMan || !caps.DeadManStops || caps.CannotEndItself(cloud.Offer{Cloud: Name, Market: cloud.Spot}, cloud.ShutdownStop) != "" ||
			!strings.Contains(why, "unless") || !strings.Contains(why, "compute.instances.delete") {
			t.Errorf("with %v: %+v, %q", values, caps, why)
		}
	}
	if caps := with(map[string]string{optionServiceAccount: gcpfake.Deleter, optionSelfDelete: "true"}); !caps.DeadMan || caps.CannotEndItself(cloud.Offer{Cloud: Name, Market: cloud.Spot}, cloud.ShutdownTerminate) != "" {
		t.Errorf("with an account that may: %+v", caps)
	}
}
