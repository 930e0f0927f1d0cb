// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// spoilJournal puts the text in the place of a journal.
func spoilJournal(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, journal.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// makeReadOnly mounts a folder read-only, or takes the right to write away from
// who is not root.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			mode := os.FileMode(0o400)
			if d.IsDir() {
				mode = 0o500
			}
			t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
			return os.Chmod(path, mode)
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		err = syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	}
	if err != nil {
		t.Fatalf("root cannot mount %s read-only here: %v; run this test as another user, or with CAP_SYS_ADMIN", dir, err)
	}
}

// withoutAState is every way in which a state folder can be of no use.
func withoutAState() map[string]func(t *testing.T, x *bench, c cluster.Cluster) *bench {
	journalOf := func(x *bench, c cluster.Cluster) string { return filepath.Join(x.ClusterDir(c.Name), journal.FileName) }
	return map[string]func(t *testing.T, x *bench, c cluster.Cluster) *bench{
		"full": func(_ *testing.T, x *bench, _ cluster.Cluster) *bench {
			x.hooks.Append = func([]byte) error { return syscall.ENOSPC }
			return x
		},
		"read-only": func(t *testing.T, x *bench, _ cluster.Cluster) *bench {
			makeReadOnly(t, x.cfg.StateDir)
			return newBench(t, x.cfg.StateDir, x.cloud)
		},
		"read-only before anything was in it": func(t *testing.T, x *bench, _ cluster.Cluster) *bench {
			dir := stateDir(t)
			makeReadOnly(t, dir)
			return newBench(t, dir, x.cloud)
		},
		"not to be made": func(t *testing.T, x *bench, _ cluster.Cluster) *bench {
			return newBench(t, "/proc/self/no-such-folder", x.cloud)
		},
		"gone": func(t *testing.T, x *bench, _ cluster.Cluster) *bench {
			if err := os.RemoveAll(x.cfg.StateDir); err != nil {
				t.Fatal(err)
			}
			return newBench(t, x.cfg.StateDir, x.cloud)
		},
		"with a damaged journal": func(t *testing.T, x *bench, c cluster.Cluster) *bench {
			spoilJournal(t, x.ClusterDir(c.Name), "garbage\n{\"v\":1,\"event\":\"attempt\",\"generation\":\"g1\",\"attempt\":1}\n")
			return x
		},
		"with a journal of a newer version": func(t *testing.T, x *bench, c cluster.Cluster) *bench {
			spoilJournal(t, x.ClusterDir(c.Name), `{"v":99,"event":"x","generation":"g"}`+"\n")
			return x
		},
		"with a folder for a journal": func(t *testing.T, x *bench, c cluster.Cluster) *bench {
			if err := errors.Join(os.Remove(journalOf(x, c)), os.Mkdir(journalOf(x, c), 0o700)); err != nil {
				t.Fatal(err)
			}
			return x
		},
		"with a folder for a lock": func(t *testing.T, x *bench, c cluster.Cluster) *bench {
			lock := filepath.Join(x.ClusterDir(c.Name), "lock")
			if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
				t.Fatal(err)
			}
			return x
		},
	}
}

// A cluster that a state holds is read and removed whatever the state folder is
// like, and one that is gone is found gone.
func TestReadAndDestroyWithoutAStateFolder(t *testing.T) {
	for name, harm := range withoutAState() {
		for _, gone := range []bool{false, true} {
			t.Run(map[bool]string{false: "alive/", true: "gone/"}[gone]+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					x := newBench(t, stateDir(t), newFakeCloud())
					c := x.mustLaunch(t, twoNodes("train"))
					x = harm(t, x, c)
					if err := x.NoteReplacement(t.Context(), c.Name); err != nil {
						t.Errorf("NoteReplacement: %v", err)
					}
					if gone {
						x.cloud.Machines = nil
						if _, err := x.Refresh(t.Context(), c); !errors.Is(err, cluster.ErrGone) {
							t.Errorf("Refresh = %v, want ErrGone", err)
						}
						if err := x.RemoveRules(t.Context(), c); err != nil || x.cloud.Called("cleanup") == 0 {
							t.Errorf("RemoveRules: %v after %d clean-ups", err, x.cloud.Called("cleanup"))
						}
					} else if fresh, err := x.Refresh(t.Context(), c); err != nil || fresh.Status != cluster.StatusUp {
						t.Errorf("Refresh = %s, %v", fresh.Status, err)
					}
					if err := x.NoteReplacement(t.Context(), c.Name); err != nil {
						t.Errorf("NoteReplacement after a refresh: %v", err)
					}
					if err := x.Destroy(t.Context(), c); err != nil {
						t.Errorf("Destroy: %v", err)
					}
					if left := x.cloud.Live(c.Owner); len(left) > 0 {
						t.Errorf("left: %v", left)
					}
				})
			})
		}
	}
}

// Without a folder that keeps the owner id nothing is launched: nobody could
// find it again.
func TestNoLaunchWithoutAnOwnerThatLasts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		x := newBench(t, "/proc/self/no-such-folder", newFakeCloud())
		_, err := x.Launch(t.Context(), twoNodes("train"))
		if err == nil || !strings.Contains(err.Error(), "set owner in the provider block") || x.cloud.Called("run") > 0 {
			t.Errorf("Launch = %v after %d create calls", err, x.cloud.Called("run"))
		}
	})
}

// Two removals of one cluster in one process exclude each other without a lock
// file, too, and a lock that was made before the folder became read-only holds.
func TestLocksWithoutAStateFolder(t *testing.T) {
	x := newBench(t, "/proc/self/no-such-folder", newFakeCloud())
	release, err := x.lockOrGoOn(t.Context(), "train", "destroying")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.lockOrGoOn(t.Context(), "train", "destroying"); !errors.As(err, new(*statedir.BusyError)) {
		t.Errorf("the second lock = %v, want a BusyError", err)
	}
	release()
	if again, err := x.lockOrGoOn(t.Context(), "train", "destroying"); err != nil {
		t.Errorf("after the release: %v", err)
	} else {
		again()
	}

	dir := stateDir(t)
	first := newBench(t, dir, newFakeCloud())
	release, err = first.lockCluster(t.Context(), "train", "launching")
	if err != nil {
		t.Fatal(err)
	}
	makeReadOnly(t, dir)
	if _, err := newBench(t, dir, newFakeCloud()).lockOrGoOn(t.Context(), "train", "destroying"); !errors.As(err, new(*statedir.BusyError)) {
		t.Errorf("the lock of another process = %v, want a BusyError", err)
	}
	release()
}

// withoutRights runs f as somebody who may read nothing that is root's alone. Who
// is not root may not read what has no mode anyway.
func withoutRights(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread() // it is this thread's right alone
	defer runtime.UnlockOSThread()
	if err := syscall.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setfsuid(0); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// A lock that cannot be tested holds as long as somebody says that he has it, and
// one that nobody says he has stops no removal.
func TestLockThatCannotBeTested(t *testing.T) {
	dir := stateDir(t)
	first := newBench(t, dir, newFakeCloud())
	release, err := first.lockCluster(t.Context(), "train", "launching")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(first.ClusterDir("train"), "lock")
	above := filepath.Clean(os.TempDir()) + "/"
	for p := filepath.Dir(path); strings.HasPrefix(p, above); p = filepath.Dir(p) { // so that the file is seen
		if err := os.Chmod(p, 0o711); err != nil { //nolint:gosec // the test's own
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	second := newBench(t, dir, newFakeCloud())
	for _, who := range []string{"named", "not to be read"} {
		withoutRights(t, func() {
			_, err := second.lockOrGoOn(t.Context(), "train", "destroying")
			if busy := (*statedir.BusyError)(nil); !errors.As(err, &busy) || busy.Own || !strings.Contains(err.Error(), path+".holder") {
				t.Errorf("a lock that somebody has (%q) = %v, want a BusyError", who, err)
			}
		})
		if err := os.WriteFile(path+".holder", []byte("\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	release()
	withoutRights(t, func() {
		again, err := second.lockOrGoOn(t.Context(), "train", "destroying")
		if err != nil {
			t.Fatalf("a lock that nobody has = %v", err)
		}
		again()
	})
}

// What could not be written whole is not left, nor what a kill left of it.
func TestHalfWrittenFilesDoNotPileUp(t *testing.T) {
	if !alone(t) {
		return
	}
	dir := stateDir(t)
	path := filepath.Join(dir, "known_hosts")
	for _, half := range []string{".0123abcd", ".89abcdef"} {
		if err := os.WriteFile(path+half, []byte("ha"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.Replace(path, "whole"); err != nil {
		t.Fatal(err)
	}
	limited(t, func() {
		if err := durable.Replace(path, "another"); err == nil {
			t.Error("a full disk took a file")
		}
		if err := durable.LinkNew(filepath.Join(dir, "owner"), []byte("sky-1")); err == nil {
			t.Error("a full disk took a file")
		}
	})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "whole" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
