// SPDX-License-Identifier: MPL-2.0

//go:build unix

package remote

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// folder makes a folder with files; a name with a slash at its end is a folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(full), 0o755) //nolint:gosec // as users do
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(full, 0o755) //nolint:gosec // as users do
		} else if err == nil {
			err = os.WriteFile(full, []byte(text), 0o644) //nolint:gosec // as users do
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func walked(t testing.TB, root string, leave ...string) *Tree {
	t.Helper()
	tree, err := OpenTree(root, leave...)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func (t *Tree) names() []string {
	var names []string
	for _, e := range t.entries {
		if e.path != "." {
			names = append(names, e.path)
		}
	}
	return names
}

const someRepository = ".git/HEAD|.git/objects/|.git/refs/"

// TestWhatTravels are the rules for what is uploaded, one case each; the test
// against git has more of those that are git's.
func TestWhatTravels(t *testing.T) {
	t.Parallel()
	plan := "PK\x03\x04" + strings.Repeat("\x00", 22) + "\x06\x00\x00\x00tfplan and more"
	for _, tt := range []struct {
		name  string
		files map[string]string
		at    string // what of it is uploaded
		leave []string
		want  string
	}{
		{name: "Terraform's own", files: map[string]string{
			"main.tf": "", "terraform.tfstate": "", "terraform.tfstate.backup": "", "terraform.tfstate.1700000000.backup": "", ".terraform.tfstate.lock.info": "",
			".terraform/providers/x": "", ".terraform.lock.hcl": "", "secret.auto.tfvars": "", "x.tfvars.json": "", "crash.log": "", "crash.1.log": "", "tfplan": "",
			"out.bin": plan, "data.zip": "PK\x03\x04 of something else, and long enough", "errored.tfstate": "", "terraform.tfstate.d/dev/terraform.tfstate": "",
			"sub/b.tfstate": "", "sub/code.py": "", "state/only.tfstate": "", "deep/er/x.tfvars": "", "keep/": "", ".terraformrc": "",
		}, want: "data.zip|keep|main.tf|sub|sub/code.py"},
		{name: "a plan far from the configuration is a file", files: map[string]string{"d/out.bin": plan}, want: "d|d/out.bin"},
		{name: "folders to leave", files: map[string]string{"a": "", "results/x": "", "state/key": "", "state2/x": ""}, leave: []string{"results", "state", "/elsewhere"}, want: "a|state2|state2/x"},
		{name: "what jobs brought", files: map[string]string{"a": "", "new/.skylocal": "*\n", "new/x": "", "old/.skylocal": "/x\n", "old/x": "", "old/mine": "", "was/.skylocal": "/x\n", "was/x": ""}, want: "a|old|old/mine|was"},
		{name: "what jobs brought, named on purpose", files: map[string]string{".skylocal": "*\n", "x": ""}, want: "x"},
		{name: "what jobs brought into the module", files: map[string]string{".skylocal": "/x\n", "x": "", "main.tf": ""}, want: "main.tf"},
		{name: "what jobs brought into the workdir", files: map[string]string{".skylocal": "/x\n", "x": "", "y": ""}, leave: []string{"."}, want: "y"},
		{name: "git's own", files: map[string]string{someRepository: "", "a": "", "sub/.git": "gitdir: x", "sub/b": ""}, want: "a|sub|sub/b"},
		{name: "git's own, sent", files: map[string]string{someRepository: "", ".skyignore": "!.git\n", "a": ""}, want: ".git|.git/HEAD|.git/objects|.git/refs|.skyignore|a"},
		{name: ".skyignore stands in", files: map[string]string{".gitignore": "a\n", ".skyignore": "b\n", "a": "", "b": "", "s/.gitignore": "c\n", "s/c": "", "s/d": "", "s/.skyignore": "d\n", "s/b": ""},
			want: ".gitignore|.skyignore|a|s|s/.gitignore|s/.skyignore|s/c"},
		{name: ".skyignore in a subfolder", files: map[string]string{".gitignore": "*.log\n", "a.log": "", "s/.skyignore": "b\n", "s/a.log": "", "s/b": "", "s/t/b": ""}, want: ".gitignore|s|s/.skyignore|s/a.log"},
		{name: "folders of what is left out", files: map[string]string{".gitignore": "*.pyc\nbuild/\n", "a": "", "__pycache__/a.pyc": "", "p/q/__pycache__/a.pyc": "", "p/build/x": "", "s/.git/x": "", "empty/": "", "r/empty/": "", "r/b.pyc": ""},
			want: ".gitignore|a|empty|r|r/empty"},
		{name: "the folders around", files: map[string]string{someRepository: "", ".gitignore": "*.log\n", "m/.gitignore": "!keep.log\n", "m/w/a.log": "", "m/w/keep.log": "", "m/w/b": ""}, at: "m/w", want: "b|keep.log"},
		{name: "no repository around, as in an archive", files: map[string]string{".gitignore": "*.log\n", "m/.gitignore": "!keep.log\n*.env\n", "m/w/a.log": "", "m/w/keep.log": "", "m/w/prod.env": "", "m/w/b": ""}, at: "m/w", want: "b|keep.log"},
		{name: "nor a rule for what is named", files: map[string]string{".gitignore": "dist/\n*.env\n", "dist/prod.env": "", "dist/b": ""}, at: "dist", want: "b"},
		{name: "a folder that is left out, named on purpose", files: map[string]string{someRepository: "", ".git/info/exclude": "/build\nx\n", ".gitignore": "build/\nbuild/**\n*.o\n*.env\n!ok.env\n", "build/.gitignore": "*\n", "build/w/.gitignore": "b\n", "build/w/a.o": "", "build/w/prod.env": "", "build/w/ok.env": "", "build/w/b": "", "build/w/c": "", "build/w/x": ""},
			at: "build/w", want: ".gitignore|c|ok.env"},
		{name: "a repository within", files: map[string]string{someRepository: "", ".gitignore": "*.log\n", "in/.git/HEAD": "", "in/.git/objects/": "", "in/.git/refs/": "", "in/.git/info/exclude": "x\n", "in/x": "", "in/a.log": ""}, want: ".gitignore|in|in/a.log"},
		{name: "a working tree", files: map[string]string{"main/" + someRepository: "", "main/.git/info/exclude": "x\n", "main/.git/worktrees/w/commondir": "../..\n", "main/.git/worktrees/w/HEAD": "", "w/.git": "gitdir: ../main/.git/worktrees/w\n", "w/x": "", "w/y": ""}, at: "w", want: "y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for name, text := range tt.files {
				if before, ok := strings.CutSuffix(name, someRepository); ok {
					for part := range strings.SplitSeq(someRepository, "|") {
						files[before+part] = ""
					}
					continue
				}
				files[name] = text
			}
			root := folder(t, files)
			var leave []string
			for _, l := range tt.leave {
				leave = append(leave, filepath.Join(root, l))
			}
			if got := strings.Join(walked(t, filepath.Join(root, tt.at), leave...).names(), "|"); got != tt.want {
				t.Errorf("travels %s\nwant    %s", got, tt.want)
			}
		})
	}
}

// TestIgnoreFilesOfAnArchiveEndAtHome: what lies in a home folder, or in one that
// all share, is of no project, unless Terraform runs there.
func TestIgnoreFilesOfAnArchiveEndAtHome(t *testing.T) {
	root := folder(t, map[string]string{".gitignore": "*.log\n", "p/.gitignore": "*.env\n", "p/w/a.log": "", "p/w/prod.env": "", "p/w/b": ""})
	t.Setenv("HOME", root)
	for _, tt := range []struct{ runs, want string }{{"p", "a.log|b"}, {".", "b"}} {
		t.Chdir(filepath.Join(root, tt.runs))
		if got := strings.Join(walked(t, filepath.Join(root, "p/w")).names(), "|"); got != tt.want {
			t.Errorf("where Terraform runs in %s, travels %s, want %s", tt.runs, got, tt.want)
		}
	}
	if err := os.Chmod(filepath.Join(root, "p"), 0o755|os.ModeSticky); err != nil { //nolint:gosec // as /tmp
		t.Fatal(err)
	}
	if got := strings.Join(walked(t, filepath.Join(root, "p/w")).names(), "|"); got != "a.log|b|prod.env" {
		t.Errorf("below a shared folder, travels %s", got)
	}
}

// TestOneSetForUploadAndDigest: what is sent is what was counted, whatever else is there.
func TestOneSetForUploadAndDigest(t *testing.T) {
	t.Parallel()
	root := folder(t, map[string]string{"main.tf": "", "x.tfvars": "", "a": "1", "d/b": "2", "d/.gitignore": "c\n", "d/c": "", "results/.skylocal": "*\n", "results/x": "", "e/": ""})
	if err := errors.Join(os.Symlink("a", filepath.Join(root, "l")), syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	counted := walked(t, root)
	sent, err := walkTree(root)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := sent.pack(&archive, nil); err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(path.Clean(h.Name), "tree/"); ok {
			names = append(names, name)
		}
	}
	if !slices.Equal(names, counted.names()) || counted.Digest() != sent.Digest() {
		t.Errorf("sent %q under %s\ncounted %q under %s", names, sent.Digest(), counted.names(), counted.Digest())
	}
}

// TestDigestMeansContent: other modes and times, as another umask or checkout
// makes them, are no other digest; the executable bit is.
func TestDigestMeansContent(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a": "1", "d/b": "2", "run.sh": "echo"}
	one, two := folder(t, files), folder(t, files)
	modes := func(root string, x os.FileMode, of map[string]os.FileMode) {
		for name, mode := range of {
			if err := os.Chmod(filepath.Join(root, name), mode|x); err != nil {
				t.Fatal(err)
			}
		}
	}
	modes(one, 0, map[string]os.FileMode{"a": 0o644, "d": 0o755, "d/b": 0o444, "run.sh": 0o755})
	modes(two, 0, map[string]os.FileMode{"a": 0o664, "d": 0o2775, "d/b": 0o600, "run.sh": 0o700})
	if a, b := walked(t, one), walked(t, two); a.Digest() != b.Digest() || a.FormerDigest() == b.FormerDigest() {
		t.Errorf("digests %s and %s, formerly %s and %s", a.Digest(), b.Digest(), a.FormerDigest(), b.FormerDigest())
	}
	before := walked(t, two).Digest()
	modes(two, 0o100, map[string]os.FileMode{"a": 0o664})
	if walked(t, two).Digest() == before {
		t.Error("the executable bit is no other digest")
	}
}

// TestSpecialFilesAreNeverRead: a pipe would hold a reader up for ever.
func TestSpecialFilesAreNeverRead(t *testing.T) {
	t.Parallel()
	root := folder(t, map[string]string{"a": "1", ".gitignore": "ignored\n", "main.tf": ""})
	var made []error
	for _, name := range []string{"p1", "p2", "p3", "p4", "p5", "p6", "ignored"} {
		made = append(made, syscall.Mkfifo(filepath.Join(root, name), 0o600))
	}
	made = append(made, os.Symlink("loop", filepath.Join(root, "loop")), os.Symlink("..", filepath.Join(root, "up")),
		os.Mkdir(filepath.Join(root, "sub"), 0o700), syscall.Mkfifo(filepath.Join(root, "sub", ".gitignore"), 0o600), syscall.Mkfifo(filepath.Join(root, "sub", ".skyignore"), 0o600))
	if err := errors.Join(made...); err != nil {
		t.Fatal(err)
	}
	tree := walked(t, root)
	notes := tree.Notes()
	if got := strings.Join(tree.names(), "|"); got != ".gitignore|a|loop|main.tf|sub|up" || notes.SpecialCount != 8 || len(notes.Special) != 5 || !notes.Configuration || notes.Empty {
		t.Errorf("travels %s, notes %+v", got, notes)
	}
	if _, err := OpenTree(filepath.Join(root, "p1")); err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
		t.Errorf("OpenTree of a pipe = %v", err)
	}
	if _, err := OpenTree(filepath.Join(root, "loop")); err == nil || !strings.Contains(err.Error(), "too many links") {
		t.Errorf("OpenTree of a loop = %v", err)
	}
	for name, change := range map[string]func(string) error{
		"a pipe": func(f string) error { return errors.Join(os.Remove(f), syscall.Mkfifo(f, 0o600)) },
		"longer": func(f string) error { return os.WriteFile(f, []byte("12"), 0o600) },
		"gone":   os.Remove,
	} {
		root := folder(t, map[string]string{"a": "1"})
		tree, err := walkTree(root)
		if err == nil {
			err = change(filepath.Join(root, "a"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.hashAll(); (err == nil) != (name == "longer") { // only what was there counts
			t.Errorf("hashing what became %s = %v", name, err)
		}
	}
}

// TestKeepFromUploads: the list that fetching writes is what the next walk reads.
func TestKeepFromUploads(t *testing.T) {
	t.Parallel()
	root := folder(t, map[string]string{"mine": "", "main.tf": ""})
	names := []string{"a b ", "#x", "!y", "s*r/[z]?", `back\slash`, "mine2"}
	for range 2 {
		if err := KeepFromUploads(filepath.Join(root, "."), names...); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append(names, "star/z") {
		full := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(walked(t, root).names(), "|"); got != "main.tf|mine|star|star/z" {
		t.Errorf("travels %s", got)
	}
	text, err := os.ReadFile(filepath.Join(root, localFile))
	if lines := strings.Count(string(text), "\n"); err != nil || lines != 1+len(names) {
		t.Errorf("%d lines, %v:\n%s", lines, err, text)
	}
}

// TestEmptyTreeSaysSo: a user may wonder why nothing came.
func TestEmptyTreeSaysSo(t *testing.T) {
	t.Parallel()
	for want, files := range map[bool]map[string]string{true: {".gitignore": "*\n", "a": ""}, false: {"a": ""}} {
		if got := walked(t, folder(t, files)).Notes().Empty; got != want {
			t.Errorf("%v: empty %t", slices.Sorted(maps.Keys(files)), got)
		}
	}
	if walked(t, t.TempDir()).Notes().Empty {
		t.Error("an empty folder is not to be wondered at")
	}
}
