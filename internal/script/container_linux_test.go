// SPDX-License-Identifier: MPL-2.0

package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// TestContainerKeepsVariables enters a container whose engine is made up, from the
// shells that nodes have: another shell within reads what they say of variables.
func TestContainerKeepsVariables(t *testing.T) {
	const value = "it's\n\"two\" $lines\\ \t`x`\n"
	for _, shell := range []string{"sh", "bash --posix"} {
		words := strings.Fields(shell)
		home := t.TempDir()
		base := filepath.Join(home, script.ContainerFolder)
		programs := filepath.Join(home, "programs")
		for path, text := range map[string]string{
			filepath.Join(base, "container.sh"): script.Container(),
			filepath.Join(base, "conf"):         "image=i\nname=n\n",
			filepath.Join(base, "engine"):       "engine=podman\nruntime=\n",
			filepath.Join(base, "env"):          "export PATH='/image/bin:" + os.Getenv("PATH") + "'\nexport OF_IMAGE='yes'\n",
			filepath.Join(programs, "podman"):   "#!/bin/sh\necho $FIRST\n",
			filepath.Join(programs, "sudo"):     "#!/bin/sh\nshift\nexec \"$@\"\n",
			filepath.Join(programs, "nsenter"):  "#!/bin/sh\nshift 3\nexec env -i PATH=\"$PATH\" \"$@\"\n",
		} {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		first := exec.CommandContext(t.Context(), "cat") // waits for its input
		first.Env = []string{"SKY_CONTAINER=n"}
		if _, err := first.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		arguments := append(words[1:], filepath.Join(base, "container.sh"), "enter", "sh", "-c", `printf '%s|%s|%s|%s' "$VALUE" "$OF_IMAGE" "$image" "${PATH%%:*}"; exit 7`)
		cmd := exec.CommandContext(t.Context(), words[0], arguments...)
		cmd.Env = []string{"HOME=" + home, "PATH=" + programs + ":" + os.Getenv("PATH"), "FIRST=" + strconv.Itoa(first.Process.Pid), "VALUE=" + value, "image=the user's"}
		out, err := cmd.CombinedOutput()
		_ = first.Process.Kill()
		_ = first.Wait()
		if want := value + "|yes|the user's|/image/bin"; string(out) != want || cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("%s: %q, %v, want %q and 7", shell, out, err, want)
		}
	}
}
