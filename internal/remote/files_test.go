// SPDX-License-Identifier: MPL-2.0

package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as users do
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644) //nolint:gosec // as users do
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read returns a tree as write takes it.
func read(t testing.TB, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			all[rel] = "-> " + target
			return err
		}
		data, err := os.ReadFile(path)
		all[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPut(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	for _, content := range []string{"", "x", "line\n\n\n", "\x00\xff" + strings.Repeat("big", 1<<20)} {
		if err := c.Put(t.Context(), strings.NewReader(content), "~/some dir/it's", 0o640); err != nil {
			t.Fatal(err)
		}
		same(t, read(t, n.Home), map[string]string{"some dir/it's": content})
	}
	if info, err := os.Stat(filepath.Join(n.Home, "some dir/it's")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v, want 0640", info.Mode(), err)
	}
	if err := c.Put(t.Context(), strings.NewReader("x"), "~/some dir", 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("disk on fire")))
	if err := c.Put(t.Context(), broken, "~/some dir/it's", 0o600); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Put of a broken source = %v", err)
	}
}

func TestPutIsWholeOrNothing(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{DropAfter: 300_000})
	write(t, n.Home, map[string]string{"f": "old"})
	c := dial(t, n)
	if err := c.Put(t.Context(), bytes.NewReader(make([]byte, 1<<20)), "f", 0o600); err == nil {
		t.Fatal("an interrupted upload succeeded")
	}
	eventually(t, "only the old file is left", func() bool { return fmt.Sprint(read(t, n.Home)) == "map[f:old]" })
}

var odd = map[string]string{
	"plain": "1", "sub/deep/file": "2", "sp ace/it's": "3", "new\nline": "4", "-rf": "5", "ünïcödé": "6", "\xff\xfe": "7",
	"link": "-> plain", "dangling": "-> /none/such", "dirlink": "-> sub", "$(touch pwned)": "8", `back\slash"quote`: "9", "empty": "",
	strings.Repeat("long/", 30) + strings.Repeat("n", 200): "10",
}

func TestPutTree(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	src := t.TempDir()
	write(t, src, odd)
	for name, mode := range map[string]fs.FileMode{"plain": 0o755, "sub/deep": 0o750, "sub/deep/file": 0o400, "empty": 0o666} {
		if err := os.Chmod(filepath.Join(src, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := c.PutTree(t.Context(), src, "~/work dir/it's"); err != nil {
			t.Fatal(err)
		}
		same(t, read(t, filepath.Join(n.Home, "work dir/it's")), odd)
		for _, name := range []string{"plain", "sub", "sub/deep", "sub/deep/file", "empty"} {
			want, _ := os.Stat(filepath.Join(src, name))
			got, err := os.Stat(filepath.Join(n.Home, "work dir/it's", name))
			if err != nil || got.Mode() != want.Mode() || got.Mode().IsRegular() && !got.ModTime().Truncate(time.Second).Equal(want.ModTime().Truncate(time.Second)) {
				t.Errorf("%s: %v %v, want %v %v, %v", name, got.Mode(), got.ModTime(), want.Mode(), want.ModTime(), err)
			}
		}
	}
	left, _ := filepath.Glob(filepath.Join(n.Home, "work dir", "*"))
	if len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

func TestPutTreeAgain(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	src := t.TempDir()
	write(t, src, odd)
	write(t, src, map[string]string{"gone": "x", "gonedir/a": "x", "shared/ours": "x", "becomes/dir": "x", "becomesdir": "x", "changed": "old", "mode": "m"})
	put := func() {
		t.Helper()
		if err := c.PutTree(t.Context(), src, "~/w"); err != nil {
			t.Fatal(err)
		}
	}
	put()
	dest := filepath.Join(n.Home, "w")
	before, err := os.Stat(filepath.Join(dest, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dest, map[string]string{"result": "of a job", "shared/result": "too"})
	for _, name := range []string{"gone", "gonedir", "shared", "becomes", "becomesdir", "dirlink"} {
		if err := os.RemoveAll(filepath.Join(src, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, src, map[string]string{"becomes": "file", "becomesdir/in": "y", "changed": "new", "more/new": "z", "dirlink/real": "folder now"})
	if err := os.Chmod(filepath.Join(src, "mode"), 0o700); err != nil {
		t.Fatal(err)
	}
	put()
	want := read(t, src)
	want["result"], want["shared/result"] = "of a job", "too"
	same(t, read(t, dest), want)
	after, err := os.Stat(filepath.Join(dest, "plain"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("an unchanged file was sent again: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dest, "mode")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v, want 0700", info.Mode(), err)
	}
	if err := os.RemoveAll(dest); err != nil {
		t.Fatal(err)
	}
	put()
	same(t, read(t, dest), read(t, src))
}

// TestPutTreeRestores brings again what a job has changed or removed, and leaves
// alone what it made.
func TestPutTreeRestores(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	src := t.TempDir()
	write(t, src, odd)
	write(t, src, map[string]string{"config": "ours", "it's": "ours"})
	if err := os.Mkdir(filepath.Join(src, "results"), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func() {
		t.Helper()
		if err := c.PutTree(t.Context(), src, "~/w"); err != nil {
			t.Fatal(err)
		}
	}
	put()
	dest := filepath.Join(n.Home, "w")
	plain, err := os.Stat(filepath.Join(dest, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dest, "sub")), os.Mkdir(filepath.Join(dest, "locked"), 0)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"results", "new\nline", "link", "\xff\xfe"} {
		if err := os.Remove(filepath.Join(dest, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dest, map[string]string{"config": "a job's", "it's": "a job's", "result": "of a job"})
	later := time.Now().Add(time.Minute)
	for _, name := range []string{"config", "it's"} {
		if err := os.Chtimes(filepath.Join(dest, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if err := errors.Join(os.Remove(filepath.Join(dest, "locked")), os.Remove(filepath.Join(dest, "results"))); err != nil {
		t.Errorf("the empty folder did not come again: %v", err)
	}
	want := read(t, src)
	want["result"] = "of a job"
	same(t, read(t, dest), want)
	if now, err := os.Stat(filepath.Join(dest, "plain")); err != nil || !os.SameFile(plain, now) {
		t.Errorf("an unchanged file was sent again: %v", err)
	}
	file := filepath.Join(src, "config")
	for range 2 {
		if err := c.PutTree(t.Context(), file, "~/one"); err != nil {
			t.Fatal(err)
		}
		if got := read(t, n.Home)["one"]; got != "ours" {
			t.Errorf("the file reads %q", got)
		}
		write(t, n.Home, map[string]string{"one": "a job's"})
		if err := os.Chtimes(filepath.Join(n.Home, "one"), later, later); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPutTreeOfAFile(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	src := filepath.Join(t.TempDir(), "data.csv")
	for _, content := range []string{"one", "two"} {
		write(t, filepath.Dir(src), map[string]string{"data.csv": content})
		for range 2 {
			if err := c.PutTree(t.Context(), src, "~/in/data"); err != nil {
				t.Fatal(err)
			}
			same(t, read(t, filepath.Join(n.Home, "in")), map[string]string{"data": content})
		}
	}
	if err := c.PutTree(t.Context(), src, "~/in"); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := c.PutTree(t.Context(), filepath.Dir(src), "~/in/data"); err == nil {
		t.Error("a file was replaced by a folder")
	}
	if err := c.PutTree(t.Context(), filepath.Dir(src), "~"); err != nil {
		t.Errorf("into the home folder: %v", err)
	}
	if got := read(t, n.Home)["data.csv"]; got != "two" {
		t.Errorf("home folder has %q", got)
	}
}

func TestInterruptedTreeLeavesTheOldOne(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	src := t.TempDir()
	write(t, src, map[string]string{"a": "old", "b": "old"})
	if err := dial(t, n).PutTree(t.Context(), src, "~/w"); err != nil {
		t.Fatal(err)
	}
	write(t, src, map[string]string{"a": "new", "b": strings.Repeat("new", 1<<20)})
	n.Set(remotetest.Behaviour{DropAfter: 1 << 20})
	if err := dial(t, n).PutTree(t.Context(), src, "~/w"); err == nil {
		t.Fatal("an interrupted upload succeeded")
	}
	eventually(t, "nothing but the old tree", func() bool {

		left, _ := filepath.Glob(filepath.Join(n.Home, "*"))
		return len(left) == 2 && fmt.Sprint(read(t, filepath.Join(n.Home, "w"))) == "map[a:old b:old]"
	})
	n.Set(remotetest.Behaviour{})
	if err := dial(t, n).PutTree(t.Context(), src, "~/w"); err != nil {
		t.Fatal(err)
	}
	same(t, read(t, filepath.Join(n.Home, "w")), read(t, src))
}

// What a hard kill left of an upload goes at the next one; an upload that may be
// under way stays, and so does what only looks like one.
func TestStageOfAKilledUploadGoes(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	src := t.TempDir()
	write(t, src, map[string]string{"a": "1"})
	const id = "0123456789abcdef0123456"
	kept := map[string]string{
		"w.sky-" + id + "1/tree/slow": "", "w.sky-" + id + "1/tree/now": "", "w.sky-" + id + "x/tree/f": "", "w.sky-notes/f": "", "w.sky-" + id + "2": "a file",
		"w.sky-" + id + "3": "-> elsewhere", "elsewhere/f": "", "other.sky-" + id + "4/tree/f": "",
	}
	write(t, n.Home, kept)
	write(t, n.Home, map[string]string{"w.sky-" + id + "5/tree/f": "", "w.sky-" + id + "6/tree/f": ""})
	before := time.Now().Add(-2 * time.Hour)
	err := filepath.WalkDir(n.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 || d.Name() == "now" {
			return err
		}
		return os.Chtimes(path, before, before)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := dial(t, n).PutTree(t.Context(), src, "~/w"); err != nil {
		t.Fatal(err)
	}
	got := read(t, n.Home)
	for name := range got {
		if strings.HasPrefix(name, ".sky/") {
			delete(got, name)
		}
	}
	kept["w/a"] = "1"
	same(t, got, kept)
}

func TestPutTreeStopsWithItsContext(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	src := t.TempDir()
	write(t, src, map[string]string{"a": "x"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dial(t, n).PutTree(ctx, src, "~/w"); !errors.Is(err, context.Canceled) {
		t.Errorf("PutTree = %v, want context.Canceled", err)
	}
}

func TestIgnoreRules(t *testing.T) {
	files := map[string]string{".git/HEAD": "ref", "keep.py": "", "a.log": "", "build/out": "", "sub/.git": "gitdir: x", "sub/b.log": "", "sub/important.log": "", "sub/tmp/x": "", "data/big.bin": ""}
	tests := []struct {
		name  string
		rules map[string]string
		want  []string
	}{
		{"none", nil, []string{"a.log", "build/out", "data/big.bin", "keep.py", "sub/b.log", "sub/important.log", "sub/tmp/x"}},
		{"gitignore", map[string]string{".gitignore": "# logs\r\n*.log\r\n/build/\n\n", "sub/.gitignore": "!important.log\n/tmp\n"},
			[]string{".gitignore", "data/big.bin", "keep.py", "sub/.gitignore", "sub/important.log"}},
		{"skyignore wins", map[string]string{".gitignore": "*.log\n", ".skyignore": "data\n*.py\n"},
			[]string{".gitignore", ".skyignore", "a.log", "build/out", "sub/b.log", "sub/important.log", "sub/tmp/x"}},
	}
	n := remotetest.NewNode(t, remotetest.Behaviour{})
	c := dial(t, n)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := t.TempDir()
			write(t, src, files)
			write(t, src, tt.rules)
			dest := fmt.Sprintf("w%d", i)
			if err := c.PutTree(t.Context(), src, dest); err != nil {
				t.Fatal(err)
			}
			got := read(t, filepath.Join(n.Home, dest))
			if len(got) != len(tt.want) {
				t.Errorf("uploaded %q, want %q", got, tt.want)
			}
			for _, name := range tt.want {
				if _, ok := got[name]; !ok {
					t.Errorf("%s is missing", name)
				}
			}
		})
	}
}

func TestTreeDigest(t *testing.T) {
	src := t.TempDir()
	write(t, src, map[string]string{"a": "1", "d/b": "2", "l": "-> a"})
	digest := func() string {
		t.Helper()
		tree, err := remote.OpenTree(src)
		if err != nil {
			t.Fatal(err)
		}
		return tree.Digest()
	}
	seen := map[string]string{digest(): "first"}
	for _, change := range []struct {
		name string
		do   func() error
	}{ // in this order: the file that gets a mode is renamed later
		{"content", func() error { return os.WriteFile(filepath.Join(src, "a"), []byte("3"), 0o600) }},
		{"mode", func() error { return os.Chmod(filepath.Join(src, "d/b"), 0o755) }}, //nolint:gosec // a test of modes
		{"name", func() error { return os.Rename(filepath.Join(src, "d/b"), filepath.Join(src, "d/c")) }},
		{"folder", func() error { return os.Mkdir(filepath.Join(src, "e"), 0o700) }},
		{"link", func() error {
			return errors.Join(os.Remove(filepath.Join(src, "l")), os.Symlink("d", filepath.Join(src, "l")))
		}},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		if now := digest(); seen[now] != "" {
			t.Errorf("changing a %s did not change the digest", change.name)
		} else {
			seen[now] = change.name
		}
	}
	if _, err := remote.OpenTree(filepath.Join(src, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenTree of nothing = %v", err)
	}
}

// TestNodeWithoutRoom is reliability.md 6, 53: a read-only home is an error that says so.
func TestNodeWithoutRoom(t *testing.T) {
	n := remotetest.NewNode(t, remotetest.Behaviour{Env: []string{"HOME=/proc/none"}})
	c := dial(t, n)
	src := t.TempDir()
	write(t, src, map[string]string{"a": "x"})
	if err := c.PutTree(t.Context(), src, "~/w"); err == nil {
		t.Error("PutTree without a home succeeded")
	}
	if err := c.Put(t.Context(), strings.NewReader("x"), "/dev/full/x", 0o600); err == nil {
		t.Error("Put into nowhere succeeded")
	}
}
