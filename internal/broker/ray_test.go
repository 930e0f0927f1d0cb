// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// rayBench is a bench whose template knows Ray, and whose nodes note what they
// are told of it.
type rayBench struct {
	*bench
	told []string
	fail string // this command fails
	// jobs are what the head says, one answer after the other, of the jobs that
	// keep nodes; asked is what it was asked and after which words to the nodes.
	jobs, asked []string
}

func newRayBench(t *testing.T) *rayBench {
	t.Helper()
	x := &rayBench{bench: newBench(t, stateDir(t), newFakeCloud())}
	template := "ssh_user: ubuntu\nray:\n{{ include \"ray.piece.tmpl\" . | indent 2 }}\nuser_data: {{ .HostKey.Private | quote }}\n"
	if err := os.WriteFile(filepath.Join(x.cfg.TemplateDir, "nimbus.yaml.tmpl"), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`ray\.sh ((?:install|secret|up|wait|down)[^<\n]*)`)
	x.exit = func(rank int, script string) (int, string) {
		if first, _, _ := strings.Cut(script, "\n"); strings.HasPrefix(first, "set -- jobs ") {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.asked = append(x.asked, fmt.Sprintf("%s after %q", strings.TrimPrefix(first, "set -- "), x.told))
			if len(x.jobs) == 0 {
				return 0, ""
			}
			said := x.jobs[0]
			x.jobs = x.jobs[1:]
			return 0, said + "\n"
		}
		m := command.FindStringSubmatch(script)
		if m == nil {
			return 0, ""
		}
		said := strings.TrimSpace(m[1])
		x.mu.Lock()
		x.told = append(x.told, fmt.Sprintf("%d %s", rank, said))
		x.mu.Unlock()
		switch {
		case said == x.fail:
			return 1, ""
		case said == "secret":
			return 0, "the-secret"
		case said == "up":
			return 0, "session_1 6380\n"
		}
		return 0, ""
	}
	return x
}

// wantTold compares what the nodes were told since the last call; the order
// between nodes is free where they are told at once.
func (x *rayBench) wantTold(t *testing.T, steps ...[]string) {
	t.Helper()
	at := 0
	for _, step := range steps {
		end := min(at+len(step), len(x.told))
		got := slices.Sorted(slices.Values(x.told[at:end]))
		if !slices.Equal(got, step) {
			t.Errorf("the nodes were told %q, want %q next", x.told[at:], step)
			break
		}
		at = end
	}
	if at < len(x.told) {
		t.Errorf("the nodes were told %q besides", x.told[at:])
	}
	x.told = nil
}

func TestRayLife(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newRayBench(t)
		spec := twoNodes("train")
		spec.Runtime = cluster.RuntimeRay
		c := x.mustLaunch(t, spec)
		if c.Runtime != cluster.RuntimeRay {
			t.Errorf("runtime %q", c.Runtime)
		}
		x.wantTold(t, []string{"0 install", "1 install"}, []string{"0 secret"}, []string{"0 up"},
			[]string{"1 secret -"}, []string{"1 up 'session_1' '6380'"}, []string{"0 wait 2"})
		big, err := x.Resize(t.Context(), c, spec, 3)
		if err != nil {
			t.Fatal(err)
		}
		x.wantTold(t, []string{"0 install", "2 install"}, []string{"0 secret"}, []string{"0 up"},
			[]string{"2 secret -"}, []string{"2 up 'session_1' '6380'"}, []string{"0 wait 3"})
		x.jobs = []string{"narrow", "narrow"}
		small, err := x.Resize(t.Context(), big, spec, 2)
		if err != nil {
			t.Fatal(err)
		}
		drained := fmt.Sprintf("jobs 2 '%s' after []", big.Nodes[2].InternalIP)
		if want := []string{drained, drained, drained}; !slices.Equal(x.asked, want) {
			t.Errorf("the head was asked %q, want %q: jobs come to their end before their node leaves", x.asked, want)
		}
		x.wantTold(t, []string{"2 down"})
		spec.Runtime = cluster.RuntimeSSH
		plain, err := x.Update(t.Context(), small, spec, Changes{Runtime: true})
		if err != nil || plain.Runtime != cluster.RuntimeSSH {
			t.Errorf("Update = %q, %v", plain.Runtime, err)
		}
		x.wantTold(t, []string{"0 down", "1 down"})
		log, err := os.ReadFile(x.LogPath("train"))
		if err != nil || strings.Contains(string(log), "the-secret") {
			t.Errorf("the log holds the secret, %v", err)
		}
	})
}

func TestRayFailures(t *testing.T) {
	for fail, want := range map[string]string{"install": "installation of Ray on cluster", "up": "start of Ray on cluster", "wait 2": "start of Ray on cluster"} {
		t.Run(fail, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				x := newRayBench(t)
				x.fail = fail
				spec := twoNodes("train")
				spec.Runtime = cluster.RuntimeRay
				_, err := x.Launch(t.Context(), spec)
				var se *nodes.SetupError
				if !errors.As(err, &se) || se.ExitCode != 1 || !strings.Contains(err.Error(), want) {
					t.Errorf("Launch = %v, want a SetupError with %q", err, want)
				}
				x.wantLive(t, 0)
			})
		})
	}
}

func TestRayWithoutTemplate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, stateDir(t), newFakeCloud())
		spec := twoNodes("train")
		spec.Runtime = cluster.RuntimeRay
		if _, err := x.Launch(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "does not say how to install Ray") {
			t.Errorf("Launch = %v", err)
		}
		x.wantLive(t, 0)
	})
}
