// SPDX-License-Identifier: MPL-2.0

//go:build unix

package remote_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// TestGetTakesWhatItCan fetches a folder with all that cannot be taken in it.
func TestGetTakesWhatItCan(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	work := filepath.Join(n.Home, "sky_workdir")
	write(t, work, map[string]string{
		"out/a": "a", "out/absolute": "-> /etc/passwd", "out/up": "-> ../../x", "out/z/last": "z",
		"out/Dup": "1", "out/dUP": "2", "out/main.tf": "t", "out/x.auto.tfvars": "t", "out/.git/hooks/pre-commit": "evil", "out/.gitattributes": "g",
	})
	if err := os.Link(filepath.Join(work, "out/a"), filepath.Join(work, "out/again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(work, "out/a"), filepath.Join(work, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(work, "out/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(work, "out")) // a socket's name is short
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dest := t.TempDir()
	got, err := dial(t, n).Get(t.Context(), wants("out"), dest)
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, dest)
	if all["out/Dup"] == "" { // which of them comes first is the folder's affair
		all["out/Dup"] = all["out/dUP"]
		delete(all, "out/dUP")
	}
	all["out/Dup"] = ""
	same(t, all, map[string]string{"out/a": "a", "out/again": "a", "out/z/last": "z", "out/Dup": ""})
	said := fmt.Sprintf("%+v", got.Refused)
	for _, want := range []string{"absolute Why:it is a link to \"/etc/passwd\"", "out/up", "fifo Why:it is a pipe", "socket", "as well", "main.tf could", "x.auto.tfvars could", ".git could", ".gitattributes could"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said: %s", want, said)
		}
	}
}
