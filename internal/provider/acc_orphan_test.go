// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

// TestProviderWithoutReaders: a provider whose Terraform died before it looked
// for the first time has the parent that it will keep. Nobody reads what it
// writes, and by that it knows.
func TestProviderWithoutReaders(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2", "PLUGIN_PROTOCOL_VERSIONS=6")
	out, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	diag, diagWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = outWrite, diagWrite
	if err := errors.Join(out.Close(), diag.Close(), cmd.Start(), outWrite.Close(), diagWrite.Close()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ctx.Err() != nil {
		t.Error("the orphan did not end by itself")
	}
}

// TestAccKilledAtOnce kills many CLIs within some milliseconds of their start,
// each a little later than the one before: no provider outlives them.
func TestAccKilledAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "")
	mark := "SKY_TEST_ORPHAN=" + w.dir
	t.Cleanup(func() { _ = procs.Kill(context.Background(), procs.ID{}, procs.Marks{Env: mark}) })
	for n := range 40 {
		var out bytes.Buffer
		plan := w.startWith(&out, []string{mark}, "plan", "-no-color")
		<-time.After(time.Duration(n) * 10 * time.Millisecond)
		_ = plan.Process.Kill()
		_ = plan.Wait()
	}
	w.until("every provider ended", func() bool {
		left, err := procs.Tree(procs.ID{}, procs.Marks{Env: mark})
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
}
