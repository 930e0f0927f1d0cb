// SPDX-License-Identifier: MPL-2.0

//go:build unix

package remote

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// TestStepBeginsUnderTheEyes looks at a step just as its keeper writes its record:
// after the look for the keeper, before the judgment.
func TestStepBeginsUnderTheEyes(t *testing.T) {
	home := t.TempDir()
	sh := func(text string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", text)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		return cmd
	}
	self, err := sh(script.OnNode(fmt.Sprintf("boot && born %d && echo \"$boot $born\"", os.Getpid()))).Output()
	names := strings.Fields(string(self))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v: %q", err, self)
	}
	dir := filepath.Join(home, ".sky", "steps", "x")
	if err := os.MkdirAll(filepath.Join(dir, "boot."+names[0]), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("out", "news, so that the look does not wait for more\n")
	work := filepath.Join(dir, "work")
	if err := unix.Mkfifo(work, 0o600); err != nil {
		t.Fatal(err)
	}

	look := sh((&Step{id: "x"}).ask("look"))
	var out bytes.Buffer
	look.Stdout, look.Stderr = &out, &out
	if err := look.Start(); err != nil {
		t.Fatal(err)
	}
	// The look reads the record of the script, which comes after the keeper's.
	reading, err := os.OpenFile(work, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(work); err != nil {
		t.Error(err)
	}
	write("keeper", fmt.Sprintf("pid=%d\nborn=%s\n", os.Getpid(), names[1]))
	if err := reading.Close(); err != nil {
		t.Error(err)
	}
	if err := look.Wait(); err != nil {
		t.Error(err)
	}
	if state, _, _ := strings.Cut(out.String(), " "); state != "running" {
		t.Errorf("a step that has just begun is taken for %q", out.String())
	}
}
