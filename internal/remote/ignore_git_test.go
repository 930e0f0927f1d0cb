// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestIgnoreFilesMeanWhatGitSays compares walks with git itself over random
// trees and ignore files. SKY_TEST_IGNORE_TREES asks for more trees than the
// usual, SKY_TEST_IGNORE_SEED for others.
func TestIgnoreFilesMeanWhatGitSays(t *testing.T) {
	trees, seed := uint64(2000), uint64(1)
	for name, to := range map[string]*uint64{"SKY_TEST_IGNORE_TREES": &trees, "SKY_TEST_IGNORE_SEED": &seed} {
		if text := os.Getenv(name); text != "" {
			var err error
			if *to, err = strconv.ParseUint(text, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	compared := uint64(0)
	for i := uint64(0); compared < trees && !t.Failed(); i++ {
		if i > trees { // what is around the trees leaves all of them out now and then, not always
			t.Fatalf("only %d trees could be compared", compared)
		}
		compared += forestOf(t, seed, i).compare(fmt.Sprintf("seed %d, forest %d", seed, i))
	}
}

const (
	forestTrees  = 60
	forestRounds = 25
)

// forest is a repository with many small trees, so that one call of git is for
// all, and the files are made once for many rounds of other rules.
type forest struct {
	*testing.T
	root  string
	rnd   *rand.Rand
	rules []rules
}

// rules is a file of rules, of so many lines, which is empty in most rounds where
// it is rare.
type rules struct {
	file string
	most int
	rare bool
}

func forestOf(t *testing.T, seed, n uint64) *forest {
	g := &forest{T: t, root: t.TempDir(), rnd: rand.New(rand.NewPCG(seed, n))} //nolint:gosec // a test's
	g.repository(".")
	// What is around the trees leaves out much, so it says little.
	g.rules = []rules{{".git/info/exclude", 2, true}, {".gitignore", 2, true}, {"m/.gitignore", 2, true}}
	for i := range forestTrees {
		g.tree(fmt.Sprintf("m/t%d", i))
	}
	return g
}

// compare returns how many trees it compared.
func (g *forest) compare(name string) (compared uint64) {
	for round := range forestRounds {
		for _, r := range g.rules {
			text := ""
			if !r.rare || g.rnd.IntN(3) == 0 {
				text = g.text(r.most)
			}
			g.write(r.file, text)
		}
		compared += g.round(fmt.Sprintf("%s, round %d", name, round))
	}
	return compared
}

func (g *forest) round(name string) (compared uint64) {
	listed := g.git("", "ls-files", "-co", "--exclude-standard", "-z")
	want := map[string][]string{}
	for i := 0; i < len(listed); i++ {
		file := listed[i]
		if nested, ok := strings.CutSuffix(file, "/"); ok { // a repository within: its own rules
			cmd := g.git("", "-C", nested, "ls-files", "-co", "--exclude-standard", "-z")
			for _, f := range cmd {
				listed = append(listed, nested+"/"+f)
			}
			continue
		}
		if parts := strings.SplitN(file, "/", 3); len(parts) == 3 && parts[0] == "m" {
			want[parts[1]] = append(want[parts[1]], parts[2])
		}
	}
	var all strings.Builder
	for i := range forestTrees {
		fmt.Fprintf(&all, "m/t%d\x00", i)
	}
	named := g.git(all.String(), "check-ignore", "--no-index", "-z", "--stdin")
	for i := range forestTrees {
		dir := fmt.Sprintf("t%d", i)
		if slices.Contains(named, "m/"+dir) {
			continue // left out itself: who names it all the same gets what is in it
		}
		compared++
		if got := g.walk("m/" + dir); !slices.Equal(got, slices.Sorted(slices.Values(want[dir]))) {
			g.Errorf("%s, %s:\n%s\nwe have  %q\ngit says %q", name, dir, g.show("m/"+dir), got, want[dir])
		}
	}
	return compared
}

// walk lists the files and links that an upload of a folder would take.
func (g *forest) walk(dir string) []string {
	tree, err := walkTree(filepath.Join(g.root, dir))
	if err != nil {
		g.Fatal(err)
	}
	var names []string
	for _, e := range tree.entries {
		if e.kind != 'd' {
			names = append(names, e.path)
		}
	}
	return names
}

// show prints the ignore files that hold for a folder.
func (g *forest) show(dir string) string {
	var out strings.Builder
	for _, pattern := range []string{".git/info/exclude", ".gitignore", "m/.gitignore", dir + "/.gitignore", dir + "/*/.gitignore", dir + "/*/*/.gitignore", dir + "/*/.git/info/exclude"} {
		found, err := filepath.Glob(filepath.Join(g.root, pattern))
		if err != nil {
			g.Fatal(err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				g.Fatal(err)
			}
			rel, _ := filepath.Rel(g.root, file)
			fmt.Fprintf(&out, "  %s: %q\n", rel, text)
		}
	}
	return out.String()
}

// git runs git at the root, with nothing of this computer's settings, and splits
// what it prints at NUL bytes.
func (g *forest) git(input string, args ...string) []string {
	g.Helper()
	cmd := exec.CommandContext(g.Context(), "git", args...)
	cmd.Dir, cmd.Stdin = g.root, strings.NewReader(input)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + g.root, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 { // check-ignore: none
		g.Fatalf("git %q: %v: %s", args, err, said.String())
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
}

// repository makes a folder the root of one, without a call of git.
func (g *forest) repository(dir string) {
	g.write(dir+"/.git/HEAD", "ref: refs/heads/main\n")
	g.write(dir+"/.git/config", "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
	for _, d := range []string{"objects", "refs", "info"} {
		if err := os.MkdirAll(filepath.Join(g.root, dir, ".git", d), 0o755); err != nil { //nolint:gosec // as git does
			g.Fatal(err)
		}
	}
}

func (g *forest) write(name, text string) {
	g.Helper()
	file := filepath.Join(g.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // as users do
		g.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // as users do
		g.Fatal(err)
	}
}

func (g *forest) pick(of ...string) string { return of[g.rnd.IntN(len(of))] }

// segment is one name: few of them, so that rules meet them.
func (g *forest) segment() string {
	return g.pick("a", "b", "c", "p", "ab", "abc", "foo", "a.py", "b.log", "secret.env", "README.md", "x y", "sp ", "#h", "!n", "[z]", `q\r`, "é", "-", "models", "A")
}

func (g *forest) tree(dir string) {
	folders := []string{dir}
	for range 2 + g.rnd.IntN(5) {
		folders = append(folders, path.Join(folders[g.rnd.IntN(len(folders))], g.segment()))
	}
	for _, f := range folders {
		for range g.rnd.IntN(4) {
			g.file(f + "/" + g.segment())
		}
	}
	g.rules = append(g.rules, rules{dir + "/.gitignore", 5, false})
	for _, f := range folders[1:] {
		if info, err := os.Stat(filepath.Join(g.root, f)); err == nil && !info.IsDir() || err != nil && os.MkdirAll(filepath.Join(g.root, f), 0o755) != nil { //nolint:gosec // as users do
			continue // a file is in the way
		}
		switch g.rnd.IntN(60) {
		case 0, 1, 2, 3, 4, 5, 8, 9, 10:
			g.rules = append(g.rules, rules{f + "/.gitignore", 3, g.rnd.IntN(2) == 0})
		case 6:
			g.repository(f)
			g.rules = append(g.rules, rules{f + "/.git/info/exclude", 2, false})
		case 7:
			_ = os.Symlink(g.pick("nowhere", ".", "a"), filepath.Join(g.root, f, g.segment())) // where nothing is yet
		}
	}
}

// file makes a file where no folder is, and no file in the way.
func (g *forest) file(name string) {
	full := filepath.Join(g.root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err == nil { //nolint:gosec // as users do
		_ = os.WriteFile(full, nil, 0o644) //nolint:gosec // as users do
	}
}

// text is that of an ignore file.
func (g *forest) text(most int) string {
	text := g.pick("", "", "", "", "\xef\xbb\xbf")
	end := g.pick("\n", "\n", "\r\n")
	for range 1 + g.rnd.IntN(most) {
		text += g.rule() + end
	}
	if g.rnd.IntN(4) == 0 {
		text = strings.TrimSuffix(text, end)
	}
	return text
}

func (g *forest) rule() string {
	switch g.rnd.IntN(12) {
	case 0: // letters at random
		const letters = "aabbc*?[]!^-\\/. #:"
		line := ""
		for range 1 + g.rnd.IntN(7) {
			line += string(letters[g.rnd.IntN(len(letters))])
		}
		return line
	case 1: // from reports
		return g.pick("*", "!*/", "!*.py", "models/**", "!models/README.md", "[!p]", "c/**/", "**/foo", "foo/**", "a/**/b", "/*", "!/foo", "*/", "**", "!**/", "***", "a**/b", "a/b**", "# no", "", "\\#h", "\\!n", "!!n", "/", "//", "a//")
	}
	parts := []string{}
	for range 1 + g.rnd.IntN(3)*g.rnd.IntN(2) {
		parts = append(parts, g.glob())
	}
	return g.pick("", "", "", "!", "!") + g.pick("", "", "", "/") + strings.Join(parts, "/") + g.pick("", "", "", "/") +
		g.pick("", "", "", "", "", "", " ", "  ", "\\ ", "\t", "\\")
}

func (g *forest) glob() string {
	if g.rnd.IntN(2) == 0 {
		return g.segment()
	}
	out := ""
	for range 1 + g.rnd.IntN(3) {
		out += g.pick("*", "**", "***", "?", "a", "b", ".", "py", "*.py", "*.log", "[a-c]", "[!p]", "[^a]", "[[:alpha:]]", "[![:digit:]]", "[]a]", "[a", "[[:no:]]", "[a-]", "[--a]", "[\\]]", "[z-a]", "[[:]", "[a\\-c]", "\\a", "\\*", "\\[", "é", "oo")
	}
	return out
}
