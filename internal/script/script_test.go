// SPDX-License-Identifier: MPL-2.0

package script_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

// home is a user's folder with what a login reads.
type home struct {
	t    *testing.T
	dir  string
	path string // the caller's
}

func newHome(t *testing.T, files map[string]string) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir(), path: "/usr/local/bin:/usr/bin:/bin"}
	for name, text := range files {
		h.write(name, text, 0o700)
	}
	return h
}

func (h *home) write(name, text string, mode os.FileMode) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
}

// only leaves on the PATH nothing but the programs named.
func (h *home) only(programs ...string) {
	h.t.Helper()
	h.path = filepath.Join(h.dir, "programs")
	if err := os.Mkdir(h.path, 0o700); err != nil {
		h.t.Fatal(err)
	}
	for _, p := range programs {
		at, err := exec.LookPath(p)
		if p == "python3" { // not one that a version manager stands before
			var out []byte
			out, err = exec.CommandContext(h.t.Context(), p, "-c", "import sys; print(sys.executable, end='')").Output()
			at = string(out)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(h.path, p)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// run becomes the script, behind the words of a wrapper.
func (h *home) run(text string, env map[string]string, wrapper ...string) (out string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 50*time.Second) // below the limit for a login
	defer cancel()
	args := append(wrapper, "/bin/sh", "-c", script.Become("test", text))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // a test's script
	cmd.Env = []string{"HOME=" + h.dir, "PATH=" + h.path}
	for k, v := range script.Env(env) {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		h.t.Fatalf("it hangs: %s", said)
	}
	if _, isExit := err.(*exec.ExitError); err != nil && !isExit { //nolint:errorlint // as exec gives it
		h.t.Fatal(err)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

// ubuntu is what a login reads on a new machine, as far as it matters, with
// lines that users add.
var ubuntu = map[string]string{
	".profile": `if [ -n "$BASH_VERSION" ]; then . "$HOME/.bashrc"; fi
if [ -d "$HOME/.local/bin" ] ; then PATH="$HOME/.local/bin:$PATH"; fi
`,
	".bashrc": `case $- in *i*) ;; *) return;; esac
echo noise; echo more >&2; read -r answer
export PATH=$HOME/tool/bin:$PATH BASHRC="it's
two lines" GIVEN=theirs
activate() { echo "activated $1"; }
`,
	".local/bin/hello": "#!/bin/sh\necho hello\n",
}

func TestScripts(t *testing.T) {
	for _, tt := range []struct {
		name string
		home map[string]string
		env  map[string]string
		text string
		want string
		code int
	}{
		{name: "bash", text: "set -o pipefail; false | true || echo \"$0\" &>/dev/null; [[ a == a* ]] && exit 7", code: 7},
		{name: "CRLF and BOM", text: "\ufeffset -e\r\nif true; then\r\n  echo yes\r\nfi\r\n", want: "yes\n"},
		{name: "shebang", text: "#!/usr/bin/env python3\r\nimport sys\r\nprint(open(sys.argv[0]).readlines()[0][-8:])\r\n", want: "python3\n\n"},
		{name: "shebang with arguments", text: "#!/bin/sh -e\nfalse\necho no", code: 1},
		{name: "empty shebang", text: "#!\necho yes", want: "yes\n"},
		{name: "workdir", text: `[ "$PWD" = "$HOME/sky_workdir" ] && echo "$PYTHONUNBUFFERED"`, want: "1\n"},
		{name: "given", env: map[string]string{"PYTHONUNBUFFERED": "", "A": "x'y\nz"}, text: `echo "$PYTHONUNBUFFERED|$A"`, want: "|x'y\nz\n"},
		{name: "as in a login", home: ubuntu, env: map[string]string{"GIVEN": "ours"},
			text: `hello; activate base; echo "${PATH%%/bin*}" "$BASHRC" "$GIVEN" "${BASH_ENV-none}"; export -p | grep TERM; exit 0`,
			want: "hello\nactivated base\n~/.local it's\ntwo lines ours none\n"},
		{name: "functions of all kinds", home: map[string]string{".bashrc": "f() { cat <<E\na $1\nE\n}\na-b.c() { [[ x == x ]] && f \"$@\"; }\ntrap 'echo bye' EXIT; exec >~/nowhere; set -o vi; readonly PATH\n"}, text: "a-b.c 'd'", want: "a d\n"},
		{name: "login in another language", home: ubuntu, text: "#!/usr/bin/env python3\nimport os\nprint(os.environ['BASHRC'], [k for k in os.environ if k.startswith('SKY_')])", want: "it's\ntwo lines []\n"},
		{name: "profile that ends", home: map[string]string{".bash_profile": "export X=1; exit 3"}, text: "echo ran; exit 5", want: "ran\n", code: 5},
		{name: "profile that becomes another", home: map[string]string{".profile": "exec cat"}, text: "echo ran", want: "ran\n"},
		{name: "profile that fails", home: map[string]string{".profile": "set -eu; export A=1; set +e; false; $(( ; fi"}, text: "echo ran", want: "ran\n"},
		{name: "profile with a daemon", home: map[string]string{".profile": "export A=1; sleep 20 &"}, text: "echo ran $A", want: "ran 1\n"},
		{name: "own PATH", home: ubuntu, env: map[string]string{"PATH": "/bin:/usr/bin"}, text: `echo "$PATH"`, want: "/bin:/usr/bin\n"},
		{name: "local bin in any case", text: `case $PATH in "$HOME/.local/bin:"*) echo yes ;; esac`, want: "yes\n"},
		{name: "names like ours", env: map[string]string{"SKY_NAME": "a", "SKY_PATH": "b"}, text: `echo "$SKY_NAME$SKY_PATH"`, want: "ab\n"},
		{name: "own BASH_ENV", home: map[string]string{"own": "echo once\n", ".bashrc": "f() { :; }"}, env: map[string]string{"BASH_ENV": "own"}, text: "echo ran", want: "ran\n"},
		{name: "nothing of ours", home: ubuntu, text: `export -p | grep SKY_; set | grep ^SKY_; exit 0`},
		{name: "input", text: "cat; echo end", want: "end\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, tt.home)
			out, code := h.run(tt.text, tt.env)
			if out = strings.ReplaceAll(out, h.dir, "~"); out != tt.want || code != tt.code {
				t.Errorf("%d, %q, want %d, %q", code, out, tt.code, tt.want)
			}
		})
	}
}

// TestLoginSeesNoSecrets is a profile that looks at what there is.
func TestLoginSeesNoSecrets(t *testing.T) {
	h := newHome(t, map[string]string{".profile": "env >$HOME/seen"})
	if out, code := h.run("echo $TOKEN", map[string]string{"TOKEN": "canary"}); out != "canary\n" || code != 0 {
		t.Errorf("%d, %q", code, out)
	}
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if data, _ := os.ReadFile(path); strings.Contains(string(data), "canary") {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if _, serr := os.Stat(filepath.Join(h.dir, "seen")); err != nil || serr != nil {
		t.Fatal(err, serr)
	}
}

// TestWithoutBash is a small machine: sh, its own profile, and a word about it.
func TestWithoutBash(t *testing.T) {
	h := newHome(t, map[string]string{".profile": "echo noise; export A=\"it's\nhis\" GIVEN=theirs PATH=$HOME/tool:$HOME/programs"})
	h.only("sh", "env", "cat", "mkdir", "mv", "rm", "setsid", "timeout")
	out, code := h.run(`echo "$A $GIVEN $PATH"; exit 4`, map[string]string{"GIVEN": "ours"})
	want := "sky: there is no bash here, so the script runs in sh\nit's\nhis ours " + h.dir + "/.local/bin:" + h.dir + "/tool:" + h.path + "\n"
	if out != want || code != 4 {
		t.Errorf("%d, %q, want %q", code, out, want)
	}
}

// TestSignals is a script that is started with signals ignored, as a shell
// starts what is in its background.
func TestSignals(t *testing.T) {
	const ignoring = `trap '' INT QUIT PIPE; exec "$@"`
	for _, by := range []string{"env", "perl", "python3"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, nil)
			if by != "env" { // an env that is too old for it
				h.only("sh", "cat", "mkdir", "mv", "rm", "bash", by)
				h.write("programs/env", "#!/bin/sh\ncase $1 in --*) exit 125 ;; esac\nexec /usr/bin/env \"$@\"\n", 0o700)
			}
			out, code := h.run("sh -c 'while read -r name value; do [ \"$name\" != SigIgn: ] || echo $((0x$value & ~0x180000000)); done </proc/self/status'; trap 'echo got it' INT; kill -INT $$",
				nil, "/bin/sh", "-c", ignoring, "sh")
			if out != "0\ngot it\n" || code != 0 {
				t.Errorf("%d, %q", code, out)
			}
		})
	}
}
