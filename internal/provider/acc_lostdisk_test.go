// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// loseDisk is another computer: the state folder is gone with the first one, the
// cloud is not. Without state, so is Terraform's.
func (w *workspace) loseDisk(state bool) {
	w.t.Helper()
	entries, err := os.ReadDir(w.lab.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "fluffycloud" {
			if err := os.RemoveAll(filepath.Join(w.lab.dir, e.Name())); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if !state {
		_ = os.Remove(filepath.Join(w.dir, "terraform.tfstate"))
	}
}

// words are what the CLI said, without its line breaks.
func words(out bytes.Buffer) string {
	return strings.Join(strings.Fields(strings.NewReplacer("\u2502", "", "\u2577", "", "\u2575", "").Replace(out.String())), " ")
}

// TestAccLostDisk loses the state and the disk after an apply. A next run with the
// owner set finds the cluster and says how to take it over; one without is warned
// in its plan.
func TestAccLostDisk(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"", "ml-team"} {
		t.Run("owner "+owner, func(t *testing.T) {
			w := newWorkspace(t, "resource \"sky_cluster\" \"c\" {\n  name = \"lost\"\n  resources = { instance_type = \"puff-2\" }\n}\n")
			env := []string{"SKY_OWNER=" + owner}
			var out bytes.Buffer
			if err := w.startWith(&out, env, applyArgs()...).Wait(); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			first := w.alive()[0]
			w.loseDisk(false)

			args, want := applyArgs(), `the name is taken.*terraform import <address> fluffycloud/.*/lost`
			if owner == "" {
				args, want = []string{"plan", "-no-color"}, `may be running already.*`+first.ID+`.*owner = "`+first.Tags["sky-owner"]+`"`
			}
			out.Reset()
			err := w.startWith(&out, env, args...).Wait()
			if said := words(out); !regexp.MustCompile(want).MatchString(said) || (err == nil) != (owner == "") {
				t.Errorf("the next run: %v; it does not say %s:\n%s", err, want, out.String())
			}
			if n := len(w.alive()); n != 1 {
				t.Errorf("%d machines are alive", n)
			}
			env = []string{"SKY_OWNER=" + first.Tags["sky-owner"]}
			for _, args := range [][]string{
				{"import", "-no-color", "sky_cluster.c", "fluffycloud/" + first.Zone[:len(first.Zone)-1] + "/lost"},
				{"destroy", "-auto-approve", "-no-color"},
			} {
				out.Reset()
				if err := w.startWith(&out, env, args...).Wait(); err != nil {
					t.Errorf("%v: %v\n%s", args, err, out.String())
				}
			}
		})
	}
}

// TestAccKilledWithItsDisk kills a launch and loses its disk: the name is taken
// over with the command that the next apply names, and nothing is left of it.
func TestAccKilledWithItsDisk(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true") // gc asks every cloud; this one over the network
	w := newWorkspace(t, strings.Replace(slowCluster, "sleep 300", "test -e ~/again || sleep 300", 1))
	env := []string{"SKY_OWNER=ml-team"}
	var out bytes.Buffer
	apply := w.startWith(&out, env, applyArgs()...)
	w.until("machines are up", func() bool { return len(w.alive()) == 2 })
	if err := syscall.Kill(-apply.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = apply.Wait()
	w.loseDisk(true)
	w.rewrite("sleep 300", "true")

	out.Reset()
	err := w.startWith(&out, env, applyArgs()...).Wait()
	command := regexp.MustCompile(`terraform-provider-sky (gc --owner ml-team --take-over slow/[a-z0-9]+)`).FindStringSubmatch(words(out))
	if err == nil || command == nil {
		t.Fatalf("the next apply: %v; it names no way out:\n%s", err, out.String())
	}
	if text, err := runTool(t, append(strings.Fields(command[1]), "--state-dir", w.lab.dir)...); err != nil {
		t.Errorf("%s: %v\n%s", command[0], err, text)
	}
	if alive := w.alive(); len(alive) > 0 {
		t.Errorf("after the take-over: %+v", alive)
	}
	out.Reset()
	if err := w.startWith(&out, env, applyArgs()...).Wait(); err != nil {
		t.Errorf("apply: %v\n%s", err, out.String())
	}
	out.Reset()
	if err := w.startWith(&out, env, "destroy", "-auto-approve", "-no-color").Wait(); err != nil {
		t.Errorf("destroy: %v\n%s", err, out.String())
	}
}
