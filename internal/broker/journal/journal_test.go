// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

func writeJournal(t *testing.T, dir, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, "journal.jsonl")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// privateFolder is one that others may not write to.
func privateFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

const goodLine = `{"v":1,"event":"attempt","generation":"g1","attempt":1}` + "\n"

func TestJournalDamage(t *testing.T) {
	tests := []struct {
		name, text string
		mode       os.FileMode
		entries    int
		err        string
	}{
		{"empty", "", 0o600, 0, ""},
		{"whole", goodLine, 0o600, 1, ""},
		{"torn tail", goodLine + `{"v":1,"event":"crea`, 0o600, 1, ""},
		{"torn only", `{"v":1`, 0o600, 0, ""},
		{"damaged middle", goodLine + "garbage\n" + goodLine, 0o600, 0, "line 2 is damaged"},
		{"newer", goodLine + `{"v":99,"event":"x","generation":"g"}` + "\n", 0o600, 0, "line 2 has format 99"},
		{"writable by others", goodLine, 0o666, 0, "chmod go-w"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := privateFolder(t)
			writeJournal(t, dir, tt.text, tt.mode)
			j, err := Open(dir, time.Now, Hooks{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("openJournal = %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(j.entries) != tt.entries {
				t.Errorf("%d entries, want %d", len(j.entries), tt.entries)
			}
			if err := j.Append(Entry{Event: EventRemoved, Generation: "g1"}); err != nil {
				t.Fatal(err)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Read(dir)
			if err != nil || len(again.entries) != tt.entries+1 {
				t.Errorf("after an append: %d entries, %v", len(again.entries), err)
			}
		})
	}
}

// A journal that is a link, and one of another user, are refused.
func TestForeignJournal(t *testing.T) {
	dir := privateFolder(t)
	path := filepath.Join(dir, "journal.jsonl")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, time.Now, Hooks{}); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a link: %v", err)
	}
	foreign := "/dev/null" // root's
	if os.Getuid() == 0 {
		foreign = filepath.Join(t.TempDir(), "journal.jsonl")
		writeJournal(t, filepath.Dir(foreign), goodLine, 0o600)
		if err := os.Chown(foreign, 4711, -1); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.CheckPrivate(foreign, info); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("of another user: %v", err)
	}
}

// A disk that is full refuses the entry, and the error says that nothing began.
func TestJournalFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatalf("this test needs /dev/full: %v", err)
	}
	j := &Journal{path: "/dev/full", file: full, now: time.Now}
	if err := j.Append(Entry{Event: EventAttempt, Generation: "g1"}); err == nil || !strings.Contains(err.Error(), "nothing was started") {
		t.Errorf("append = %v", err)
	}
	if len(j.entries) != 0 {
		t.Error("an entry that was not written is remembered")
	}
}

func FuzzParseJournal(f *testing.F) {
	f.Add(goodLine)
	f.Add("{}\n[]\n")
	f.Fuzz(func(_ *testing.T, text string) {
		entries, err := parse([]byte(text))
		if err == nil {
			(&Journal{entries: entries}).Generations()
		}
	})
}

// The journal that version 0.1.0 wrote reads as it did then.
func TestJournalOfAReleasedVersion(t *testing.T) {
	text, err := os.ReadFile("testdata/journal-v1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	dir := privateFolder(t)
	writeJournal(t, dir, string(text), 0o600)
	j, err := Open(dir, time.Now, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	all := j.Generations()
	if len(all) != 1 {
		t.Fatalf("%d generations, want 1", len(all))
	}
	g := all[0]
	if !g.LaunchedHere || !g.Committed || !g.Complete || g.Removed || g.Attempts != 1 || g.ID != "8f53ff0570dc" {
		t.Errorf("generation = %+v", g)
	}
	want := []string{"i-c400e4cc26e65f04", "i-e5a429c094f765bc"}
	if !slices.Equal(g.Instances, want) || !slices.Equal(g.Cluster.InstanceIDs(), want) {
		t.Errorf("instances = %v and %v, want %v", g.Instances, g.Cluster.InstanceIDs(), want)
	}
	if c := g.Cluster; c.ID != "fluffycloud/meadow-1/golden" || c.Size != 2 || c.HourlyUSD != 0.876 || c.Status != cluster.StatusUp || c.SSHUser != "fluffy" {
		t.Errorf("cluster = %+v", c)
	}
}
