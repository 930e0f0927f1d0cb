// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// workspace is a configuration run by the real CLI, with this test's binary as
// the provider, in processes of their own: what signals need.
type workspace struct {
	*lab
	cli, dir string
}

func newWorkspace(t *testing.T, body string) *workspace {
	t.Helper()
	l := newLab(t)
	w := &workspace{lab: l, cli: cliPath(t), dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(w.dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "terraform-provider-sky")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(w.dir, "rc"), fmt.Sprintf("provider_installation {\n  dev_overrides { \"skybroker/sky\" = %q }\n  direct {}\n}\n", bin))
	writeFile(t, filepath.Join(w.dir, "main.tf"),
		"terraform {\n  required_providers {\n    sky = { source = \"skybroker/sky\" }\n  }\n}\n"+l.config(body))
	t.Cleanup(func() { w.mustRun("destroy", "-auto-approve", "-no-color") })
	return w
}

func applyArgs() []string { return []string{"apply", "-auto-approve", "-no-color"} }

// start runs the CLI in a process group of its own, as a shell does.
func (w *workspace) start(out *bytes.Buffer, args ...string) *exec.Cmd {
	w.t.Helper()
	return w.startWith(out, nil, args...)
}

// startWith is start with more of an environment.
func (w *workspace) startWith(out *bytes.Buffer, env []string, args ...string) *exec.Cmd {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, w.cli, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, out, out
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "TF_") })
	cmd.Env = append(cmd.Env, "TF_CLI_CONFIG_FILE="+filepath.Join(w.dir, "rc"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd
}

// rewrite changes the configuration.
func (w *workspace) rewrite(from, to string) {
	path := filepath.Join(w.dir, "main.tf")
	writeFile(w.t, path, strings.ReplaceAll(readFile(w.t, path), from, to))
}

func (w *workspace) mustRun(args ...string) {
	w.t.Helper()
	var out bytes.Buffer
	if err := w.start(&out, args...).Wait(); err != nil {
		w.t.Errorf("terraform %v: %v\n%s", args, err, out.String())
	}
}

// rawState is the state file without spaces, which OpenTofu leaves out.
func (w *workspace) rawState() string {
	w.t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(readFile(w.t, filepath.Join(w.dir, "terraform.tfstate")))); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

// inState lists the machines that the state holds.
func (w *workspace) inState() []string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var state struct {
		Resources []struct {
			Instances []struct {
				Attributes struct {
					Nodes []struct {
						InstanceID string `json:"instance_id"`
					} `json:"nodes"`
				} `json:"attributes"`
			} `json:"instances"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, r := range state.Resources {
		for _, i := range r.Instances {
			for _, n := range i.Attributes.Nodes {
				ids = append(ids, n.InstanceID)
			}
		}
	}
	return ids
}

// until waits for something that must happen.
func (w *workspace) until(what string, f func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("it did not happen in %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

const slowCluster = `
resource "sky_cluster" "c" {
  name      = "slow"
  num_nodes = 2
  resources = { instance_type = "puff-2" }
  setup     = "sleep 300"
}
`

// TestAccInterrupt sends one Ctrl-C, as a terminal does, to the whole process
// group: in the middle of boot and in the middle of setup.
func TestAccInterrupt(t *testing.T) {
	t.Parallel()
	slowBoot := `{"op":"boot","effect":{"boot":"slow","boot_delay_ms":120000}}`
	for name, at := range map[string]struct {
		fault  string
		state  string
		signal syscall.Signal
	}{
		"boot":                 {slowBoot, "pending", syscall.SIGINT},
		"setup":                {"", "running", syscall.SIGINT},
		"setup, by a CI's end": {"", "running", syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, slowCluster)
			if at.fault != "" {
				w.fault(at.fault)()
			}
			var out bytes.Buffer
			apply := w.start(&out, "apply", "-auto-approve", "-no-color")
			w.until("machines are "+at.state, func() bool {
				all := w.alive()
				return len(all) == 2 && all[0].State == at.state && all[1].State == at.state
			})
			if err := syscall.Kill(-apply.Process.Pid, at.signal); err != nil {
				t.Fatal(err)
			}
			sent := time.Now()
			if err := apply.Wait(); err == nil {
				t.Error("an interrupted apply succeeded")
			}
			t.Logf("the CLI ended %s after the signal", time.Since(sent).Round(10*time.Millisecond))
			kept := w.inState()
			for _, m := range w.alive() {
				if !slices.Contains(kept, m.ID) {
					t.Errorf("machine %s is alive and not in state %v", m.ID, kept)
				}
			}
			if !strings.Contains(out.String(), "interrupted") {
				t.Errorf("the diagnostic does not say what happened:\n%s", out.String())
			}
		})
	}
}

// TestAccTerraformKilled kills Terraform and leaves the provider an orphan: it
// must stop launching and clean up by itself.
func TestAccTerraformKilled(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slowCluster)
	var out bytes.Buffer
	apply := w.start(&out, "apply", "-auto-approve", "-no-color")
	w.until("machines are up", func() bool { return len(w.alive()) == 2 })
	if err := apply.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	w.until("the orphan cleans up", func() bool { return len(w.left()) == 0 })
}

// TestAccProviderKilled kills everything in the middle of a launch; the next
// apply cleans up what it finds and never pays twice.
func TestAccProviderKilled(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, strings.Replace(slowCluster, "sleep 300", "test -e ~/again || sleep 300", 1))
	var out bytes.Buffer
	apply := w.start(&out, "apply", "-auto-approve", "-no-color")
	w.until("machines are up", func() bool { return len(w.alive()) == 2 })
	if err := syscall.Kill(-apply.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	writeFile(t, filepath.Join(w.dir, "main.tf"), strings.Replace(readFile(t, filepath.Join(w.dir, "main.tf")), "sleep 300", "true", 1))
	w.mustRun("apply", "-auto-approve", "-no-color")
	kept := w.inState()
	if alive := w.alive(); len(alive) != 2 || len(kept) != 2 {
		t.Errorf("alive %+v, in state %v", alive, kept)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
