// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// later is a clock far enough ahead that files written now have settled.
func later() time.Time { return time.Now().Add(time.Hour) }

func TestStoredSnapshotAnswersUntilTheFileChanges(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	csv := filepath.Join(dir, "aws", "vms.csv")
	write(t, csv, v5Header+"m.x,,,4,16,,0.5,,r1,z1\n")
	best := func() cloud.Offer {
		t.Helper()
		set, err := Open(Options{Path: dir, StateDir: state, Now: later})
		if err != nil {
			t.Fatal(err)
		}
		o, ok, err := set.Best(context.Background(), &cloud.Requirement{}, []string{"aws"})
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return o
	}
	best()
	snaps, err := filepath.Glob(filepath.Join(state, "catalogs", ".snapshots", "*.snap"))
	if err != nil || len(snaps) != 1 {
		t.Fatalf("snapshots %v, %v", snaps, err)
	}
	first := inode(t, snaps[0])
	if best(); inode(t, snaps[0]) != first {
		t.Error("an unchanged catalog was parsed again")
	}
	write(t, csv, v5Header+"m.x,,,4,16,,0.7,,r1,z1\n")
	if o := best(); o.HourlyUSD != 0.7 {
		t.Errorf("after an edit of the same length it costs %v", o.HourlyUSD)
	}

	// Whatever happens to the snapshot, the answer is the file's.
	rng := rand.New(rand.NewPCG(1, 1))
	whole, err := os.ReadFile(snaps[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		damaged := append([]byte(nil), whole...)
		switch rng.IntN(3) {
		case 0:
			damaged = damaged[:rng.IntN(len(damaged))]
		case 1:
			damaged[rng.IntN(len(damaged))] ^= byte(1 + rng.IntN(255))
		default:
			for i := rng.IntN(len(damaged)); i < len(damaged); i++ {
				damaged[i] = byte(rng.Uint32())
			}
		}
		if err := durable.ReplaceCached(snaps[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if o := best(); o.HourlyUSD != 0.7 || o.InstanceType.Name != "m.x" || o.Zone != "z1" {
			t.Fatalf("a damaged snapshot answered %+v", o)
		}
	}
}

// TestResolveFromADamagedSnapshot: names of devices are the file's, too.
func TestResolveFromADamagedSnapshot(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "aws", "vms.csv"), v5Header+"p.x,A100-80GB,8,96,1152,,32,,r1,z1\n")
	resolve := func() {
		t.Helper()
		set, err := Open(Options{Path: dir, StateDir: state, Now: later})
		if err != nil {
			t.Fatal(err)
		}
		got, err := set.Resolve(t.Context(), []cloud.Requirement{{Accelerators: []cloud.Accelerator{{Name: "A100", Count: 8}}}}, []string{"aws"})
		if err != nil || got[0].Accelerators[0].Name != "A100-80GB" {
			t.Errorf("A100 is %+v, %v", got, err)
		}
	}
	resolve()
	snaps, err := filepath.Glob(filepath.Join(state, "catalogs", ".snapshots", "*.snap"))
	if err != nil || len(snaps) != 1 {
		t.Fatalf("snapshots %v, %v", snaps, err)
	}
	whole, err := os.ReadFile(snaps[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.ReplaceAll(whole, []byte("A100-80GB"), []byte("B200-80GB"))
	if bytes.Equal(damaged, whole) {
		t.Fatal("the snapshot does not hold the name")
	}
	if err := durable.ReplaceCached(snaps[0], damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	resolve()
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	at, err := snapshot.StampOf(path)
	if err != nil {
		t.Fatal(err)
	}
	return at.Inode
}

func TestFreshlyWrittenFilesAreNotTrustedByTheirTimes(t *testing.T) {
	now := time.Now().UnixNano()
	a := snapshot.Stamp{Size: 1, MTime: now, CTime: now, Taken: now + time.Millisecond.Nanoseconds()}
	if a.Same(a) {
		t.Error("a file written within the file system's tick of the reading counts as unchanged")
	}
	a.Taken = now + time.Hour.Nanoseconds()
	if !a.Same(a) {
		t.Error("a settled file counts as changed")
	}
}

func TestVersionPin(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "aws", "vms.csv"), v5Header+"m.x,,,4,16,,0.5,,r1,z1\n")
	ctx := context.Background()
	open := func(version string) error {
		set, err := Open(Options{Path: dir, Version: version})
		if err != nil {
			return err
		}
		_, _, err = set.Best(ctx, &cloud.Requirement{}, []string{"aws"})
		return err
	}
	set, err := Open(Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	version, err := set.Version(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(version[:12]); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"0123456789", "xyz", "12"} {
		if open(bad) == nil {
			t.Errorf("version %q was accepted", bad)
		}
	}
	write(t, filepath.Join(dir, "aws", "vms.csv"), v5Header+"m.x,,,4,16,,0.6,,r1,z1\n")
	if open(version) == nil {
		t.Error("another content was accepted")
	}
}

func FuzzCatalog(f *testing.F) {
	for _, text := range []string{
		v5Header + "m.x,A100,8,4,16,\"{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]}\",0.5,0.1,r1,z1\n",
		v5Header + ",T4,1,,,T4,0.25,,r1,z1\nn1-standard-4,,,4,15,,0.2,,r1,z1\n",
		"\xef\xbb\xbf" + v5Header, "<html>", v5Header + "a,,,1,1,,\"1\"\"\",,r,z\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"aws", "gcp"} {
			rows, _, err := vms.Parse("x", name, []byte(text))
			if err != nil {
				continue
			}
			snap, err := snapshot.Open(name, snapshot.Build(rows, [32]byte{}, snapshot.Stamp{}))
			if err != nil {
				t.Fatal(err)
			}
			for o := range snap.Each(nil) {
				if !(o.HourlyUSD >= 0) || o.HourlyUSD > 2e6 || o.Region == "" || o.InstanceType.Name == "" {
					t.Errorf("offer %+v", o)
				}
			}
		}
		if images, err := parseImages("x", text); err == nil {
			_, _ = findImage(images, "t", "r", "arm64")
		}
	})
}

// TestSnapshotThatChangesUnderneath: another host, a full disk or a backup tool
// may cut the file of a snapshot that is in use. What was handed out stays, and
// what is asked for afterwards is the catalog's. (With the file mapped, the
// process ended here.)
func TestSnapshotThatChangesUnderneath(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	csv := []byte(v5Header)
	for i := range 20_000 {
		csv = fmt.Appendf(csv, "m.%d,,,%d,16,,0.%05d,,r%d,z%d\n", i, 1+i%64, i+1, i%7, i)
	}
	write(t, filepath.Join(dir, "aws", "vms.csv"), string(csv))
	all := func(set *Set) []cloud.Offer {
		t.Helper()
		offers, _, err := set.Offers(t.Context(), nil, []string{"aws"})
		if err != nil {
			t.Fatal(err)
		}
		return offers
	}
	open := func() *Set {
		t.Helper()
		set, err := Open(Options{Path: dir, StateDir: state, Now: later})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	want := all(open()) // and stores the snapshot
	for name, harm := range map[string]func(path string) error{
		"cut to nothing":    func(path string) error { return os.Truncate(path, 0) },
		"cut in the middle": func(path string) error { return os.Truncate(path, 100_000) },
		"cut and grown":     func(path string) error { return errors.Join(os.Truncate(path, 4096), os.Truncate(path, 1<<24)) },
		"overwritten": func(path string) error {
			size, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, bytes.Repeat([]byte{0xff}, len(size)), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			all(open()) // so that there is a whole one
			set := open()
			best, ok, err := set.Best(t.Context(), &cloud.Requirement{}, []string{"aws"})
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			snaps, err := filepath.Glob(filepath.Join(state, "catalogs", ".snapshots", "*.snap"))
			if err != nil || len(snaps) != 1 {
				t.Fatalf("snapshots %v, %v", snaps, err)
			}
			if err := harm(snaps[0]); err != nil {
				t.Fatal(err)
			}
			if best.InstanceType.Name != "m.0" || best.Zone != "z0" || best.Region != "r0" {
				t.Errorf("the offer that was chosen became %+v", best)
			}
			if got := all(set); !slices.Equal(got, want) {
				t.Errorf("%d offers of %d, or others", len(got), len(want))
			}
			if best.InstanceType.Name != "m.0" {
				t.Errorf("the offer that was chosen became %+v", best)
			}
		})
	}
}
