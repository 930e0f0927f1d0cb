// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// woolFolder is the folder of a cluster in a state folder of its own.
func woolFolder(t *testing.T) Folder {
	t.Helper()
	d := Dir{Path: filepath.Join(t.TempDir(), "state"), Log: slog.New(slog.DiscardHandler), Now: time.Now, Busy: &Busy{}}
	return d.Cluster("me", "wool")
}

// A lock that is a link is refused, and what it points to stays as it is.
func TestLockIsNoLink(t *testing.T) {
	b := woolFolder(t)
	dir := b.Path()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	_, err := b.Lock(t.Context(), "launching")
	if err == nil || !strings.Contains(err.Error(), "is no regular file; remove it") {
		t.Errorf("Lock = %v", err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "mine" {
		t.Errorf("the link's target holds %q, %v", text, err)
	}
}

// The kernel frees the lock of a process that died; the file that names it is
// no lock.
func TestLockOfADeadProcess(t *testing.T) {
	b := woolFolder(t)
	dir := b.Path()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	gone := exec.CommandContext(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(holder{PID: gone.Process.Pid, Host: "here", Doing: "launching", Since: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"lock": nil, "lock.holder": text} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	release, err := b.Lock(t.Context(), "launching")
	if err != nil {
		t.Fatalf("the lock of a dead process stands in the way: %v", err)
	}
	var busy *BusyError
	if _, err := b.Lock(t.Context(), "stopping"); !errors.As(err, &busy) || !strings.Contains(busy.Holder, "launching") || !strings.Contains(err.Error(), `such as "wool-${count.index}"`) {
		t.Errorf("a second lock = %v, want the living holder", err)
	}
	release()
	if _, err := os.Stat(filepath.Join(dir, "lock.holder")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the holder file outlives the lock: %v", err)
	}
}
