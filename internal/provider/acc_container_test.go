// SPDX-License-Identifier: MPL-2.0

//go:build container && linux

package provider_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// podman runs a command of the engine.
func podman(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("podman", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("this lane needs a Podman that works (.ci/peers/test-container): podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// imageWith makes an image of busybox and programs of this computer, and returns
// its name. Containers of the lab go at the end of the test.
func imageWith(t *testing.T, programs ...string) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("this lane needs busybox (.ci/peers/test-container): %v", err)
	}
	root := t.TempDir()
	script := `set -e
mkdir -p "$0/bin" "$0/etc" "$0/tmp" "$0/opt/own/bin"
cp "$1" "$0/bin/busybox"
for name in $("$1" --list); do [ "$name" = busybox ] || ln -s busybox "$0/bin/$name"; done
echo made >"$0/etc/sky-image"
printf '#!/bin/sh\necho own\n' >"$0/opt/own/bin/which-one" && chmod 755 "$0/opt/own/bin/which-one"
for program; do
	[ "$program" = "$1" ] || cp --remove-destination "$program" "$0/bin/"
	ldd "$program" | sed -n 's/^[^/]*\(\/[^ ]*\).*/\1/p' | while read -r lib; do
		mkdir -p "$0${lib%/*}" && cp -L "$lib" "$0$lib"
	done
done
tar -C "$0" -c . >"$0.tar"`
	if out, err := exec.Command("sh", append([]string{"-c", script, root, busybox}, programs...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	name := "localhost/sky-test-" + strings.ToLower(rand.Text()[:8])
	podman(t, nil, "import", "-q", "--change", "ENV PATH=/opt/own/bin:/usr/bin:/bin", "--change", "ENV FROM_IMAGE=yes", "--change", "USER 4711", root+".tar", name+":1")
	t.Cleanup(func() {
		for _, id := range strings.Fields(podman(t, nil, "ps", "-aq", "--filter", "ancestor="+name+":1")) {
			podman(t, nil, "rm", "-f", "-t", "0", id)
		}
		podman(t, nil, "rmi", "-f", name+":1")
	})
	return name + ":1"
}

func contained(l *lab, image, status, more string) string {
	return l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name           = "contained"
  num_nodes      = 2
  desired_status = %q
  resources      = { instance_type = "puff-2", image_id = "docker:%s" }
  setup          = "which-one; touch /within; echo $FROM_IMAGE $(id -u) $(cat /etc/sky-image) $SKYPILOT_SETUP_NODE_RANK >built"
  %s`, status, image, more))
}

// TestAccContainer is the life of a cluster whose scripts run in a container on each
// node: setup, files, a gang, its exit code, a cancel, a stop and a start.
func TestAccContainer(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	image := imageWith(t, bash)
	l := newLab(t)
	outside := filepath.Join("/tmp", "sky-"+strings.ToLower(rand.Text()[:8]), "data")
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(outside)) })
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("from outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts := fmt.Sprintf("file_mounts = { %q = %q, \"~/in-home\" = %q }\n}\n", outside, file, file)
	job := func(run, more string) string {
		return fmt.Sprintf("resource \"sky_job\" \"j\" {\n  cluster_id = sky_cluster.c.id\n  num_nodes = 2\n  run = <<-EOT\n%s\nEOT\n  %s\n}\n", run, more)
	}
	value := func(at, name string, want knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue(at, tfjsonpath.New(name), want)
	}
	tail := func(pattern string) statecheck.StateCheck {
		return value("sky_job.j", "log_tail", knownvalue.StringRegexp(regexp.MustCompile(pattern)))
	}
	gang := `set -o pipefail
[ -e /within ] && [ -n "$BASH_VERSION" ] && cat built ` + outside + ` ~/in-home
echo "rank $SKYPILOT_NODE_RANK on $(echo "$SKYPILOT_NODE_IPS" | wc -l), $GREETING, $(which-one), $PWD $HOME"`
	long := job("(setsid sleep 4711 &); trap '' TERM; sleep 4711 & sleep 4711", "wait = false\n  grace_period = \"1s\"\n")
	ours := func() []string { return processes(t, l.dir, "sleep 4711") }
	inPlace := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("sky_cluster.c", plancheck.ResourceActionUpdate)}}
	l.test(
		resource.TestStep{
			Config: contained(l, image, "UP", mounts) + job(gang, `envs = { GREETING = "it's\n\"so\"" }`),
			ConfigStateChecks: []statecheck.StateCheck{
				value("sky_job.j", "status", knownvalue.StringExact("SUCCEEDED")),
				tail(`yes 0 made 0`), tail(`yes 0 made 1`), tail(`(?s)from outside.*from outside.*from outside.*from outside`),
				tail(`rank 1 on 2, it's\n\(rank 1\) "so", own, /\S+/home/sky_workdir /\S+/home\n`),
			},
			Check: func(*terraform.State) error {
				if _, err := os.Stat("/within"); err == nil {
					return fmt.Errorf("setup has written to this computer's own root")
				}
				return nil
			},
		},
		resource.TestStep{
			Config:      contained(l, image, "UP", mounts) + job(`[ "$SKYPILOT_NODE_RANK" = 0 ] || exit 7; sleep 4711`, ""),
			ExpectError: regexp.MustCompile(`with exit\s+code\s+7\s+on\s+rank\s+1`),
		},
		resource.TestStep{
			Config: contained(l, image, "UP", mounts) + long,
			Check: func(*terraform.State) error {
				(&workspace{lab: l}).until("both ranks run", func() bool { return len(ours()) >= 6 })
				if engines := processes(t, l.dir, "SKY_CONTAINER"); len(engines) < 2 {
					return fmt.Errorf("the containers are %q", engines)
				}
				return nil
			},
		},
		resource.TestStep{
			Config: contained(l, image, "UP", mounts),
			Check: func(*terraform.State) error {
				if left := ours(); len(left) > 0 {
					return fmt.Errorf("still running: %q", left)
				}
				return nil
			},
		},
		resource.TestStep{
			Config: contained(l, image, "STOPPED", mounts), ConfigPlanChecks: inPlace,
			Check: func(*terraform.State) error {
				if left := processes(t, l.dir, "SKY_CONTAINER"); len(left) > 0 {
					return fmt.Errorf("the stop has left %q", left)
				}
				return nil
			},
		},
		resource.TestStep{
			Config: contained(l, image, "UP", mounts) + job("[ -e /within ] && cat built "+outside, ""), ConfigPlanChecks: inPlace,
			ConfigStateChecks: []statecheck.StateCheck{tail(`yes 0 made [01]\n\(rank [01]\) from outside`)},
		},
	)
}

// TestAccContainerWithoutBash has an image with nothing but busybox: its sh runs
// the scripts, and says so.
func TestAccContainerWithoutBash(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.test(resource.TestStep{
		Config: contained(l, imageWith(t), "UP", "}\n") + `
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  run        = "cat built; [ -z \"$BASH_VERSION\" ]"
}`,
		ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("log_tail"),
			knownvalue.StringRegexp(regexp.MustCompile(`(?s)there is no bash here.*yes 0 made`)))},
	})
}

// TestAccContainerImageAtFault has images that cannot be used: that is the user's
// fault, and no second machine is made.
func TestAccContainerImageAtFault(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"localhost/sky-test-none:1":      `(?s)the image\s+localhost/sky-test-none:1\s+cannot\s+be\s+pulled`,
		"127.0.0.1:1/none:1":             `(?s)the\s+image\s+127.0.0.1:1/none:1\s+cannot\s+be\s+pulled`,
		imageWithout(t, "sh", "busybox"): `(?s)does\s+not\s+start;\s+it\s+must\s+have\s+sh`,
	} {
		l := newLab(t)
		l.test(resource.TestStep{Config: contained(l, image, "UP", "}\n"), ExpectError: regexp.MustCompile(want)})
		if n := l.everMade(); n != 2 {
			t.Errorf("with the image %s %d machines were made for a cluster of 2", image, n)
		}
	}
}

// imageWithout is an image that lacks programs.
func imageWithout(t *testing.T, programs ...string) string {
	t.Helper()
	name := imageWith(t)
	id := strings.TrimSpace(podman(t, nil, "create", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", name, "true"))
	root := t.TempDir()
	tar := filepath.Join(root, "tar")
	podman(t, nil, "export", "-o", tar, id)
	podman(t, nil, "rm", id)
	args := []string{"--delete", "-f", tar}
	for _, p := range programs {
		args = append(args, "bin/"+p)
	}
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	less := strings.TrimSuffix(name, ":1") + "-less:1"
	podman(t, nil, "import", "-q", tar, less)
	t.Cleanup(func() {
		for _, id := range strings.Fields(podman(t, nil, "ps", "-aq", "--filter", "ancestor="+less)) {
			podman(t, nil, "rm", "-f", "-t", "0", id)
		}
		podman(t, nil, "rmi", "-f", less)
	})
	return less
}
