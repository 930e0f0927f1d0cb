// SPDX-License-Identifier: MPL-2.0

//go:build storm && linux

package provider_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// stormWorld is a cloud whose server is a process of its own, and one or two
// computers that share a configuration, its state, and an account of the cloud.
type stormWorld struct {
	*workspace
	// folders are the state folders. The cloud's own is the lab's.
	folders []string
	// folder is the one of the next run.
	folder int
	// key is the user's private key, starts the file that jobs note their starts
	// in.
	key, starts string
}

func newStormWorld(t *testing.T, folders int, small bool) *stormWorld {
	t.Helper()
	root := t.TempDir()
	w := &stormWorld{starts: filepath.Join(root, "starts"), key: filepath.Join(root, "key")}
	w.workspace = &workspace{lab: &lab{t: t, dir: filepath.Join(root, "cloud")}, cli: cliPath(t), dir: filepath.Join(root, "work")}
	writeKey(t, w.key)
	for _, dir := range []string{w.lab.dir, filepath.Join(w.lab.dir, "fluffycloud"), w.dir, filepath.Join(w.dir, "bin")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(w.dir, "bin")
	if err := os.Symlink(self, filepath.Join(bin, "terraform-provider-sky")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(w.dir, "rc"), "provider_installation {\n  dev_overrides { \"skybroker/sky\" = "+strconv.Quote(bin)+" }\n  direct {}\n}\n")
	for n := range folders {
		w.folders = append(w.folders, w.newFolder(filepath.Join(root, "computer"+strconv.Itoa(n)), small))
	}
	w.serve()
	t.Cleanup(w.endServer)
	return w
}

// newFolder makes a state folder, which has the cloud's own in it, on a small
// disk of its own if asked.
func (w *stormWorld) newFolder(dir string, small bool) string {
	w.t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if small {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
			w.t.Fatalf("a small disk, which needs root: %v", err)
		}
		w.t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				w.t.Error(err)
			}
		})
	}
	if err := os.Symlink(filepath.Join(w.lab.dir, "fluffycloud"), filepath.Join(dir, "fluffycloud")); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

func writeKey(t *testing.T, path string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

// write writes the configuration.
func (w *stormWorld) write(body string) {
	writeFile(w.t, filepath.Join(w.dir, "main.tf"), "terraform {\n  required_providers {\n    sky = { source = \"skybroker/sky\" }\n  }\n}\n"+body)
}

// start runs the CLI on the present computer.
func (w *stormWorld) start(out *bytes.Buffer, args ...string) *exec.Cmd {
	w.t.Helper()
	return w.startWith(out, []string{"SKY_STATE_DIR=" + w.folders[w.folder]}, args...)
}

func (w *stormWorld) mustRun(args ...string) {
	w.t.Helper()
	var out bytes.Buffer
	if err := w.start(&out, args...).Wait(); err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, out.String())
	}
}

// journals is all that the journals of all folders say.
func (w *stormWorld) journals() string {
	w.t.Helper()
	var all strings.Builder
	for _, dir := range w.folders {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), "journal") {
				text, rerr := os.ReadFile(path)
				all.Write(text)
				err = rerr
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // an orphan tidies up
			}
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return all.String()
}

// started is the note of the jobs that were started.
func (w *stormWorld) started() string {
	text, err := os.ReadFile(w.starts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Error(err)
	}
	return string(text)
}

// jobMayRunAgain reports whether the state has no job, or a tainted one: then
// the next apply rightly runs it.
func (w *stormWorld) jobMayRunAgain() bool {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil || len(text) == 0 {
		return true
	}
	var state struct {
		Resources []struct {
			Type      string `json:"type"`
			Instances []struct {
				Status string `json:"status"`
			} `json:"instances"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range state.Resources {
		if r.Type == "sky_job" && len(r.Instances) == 1 {
			return r.Instances[0].Status == "tainted"
		}
	}
	return false // it may be under way, unrecorded: the next apply must not start it anew
}

// childrenNow is childrenOf for a process that may have none, or have ended.
func childrenNow(parent int) []int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/task/" + strconv.Itoa(parent) + "/children")
	if err != nil {
		return nil
	}
	var out []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// pids are the processes, but this one's, whose command line holds all words.
func pids(words ...string) []int {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	var out []int
	for _, path := range lines {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		line := strings.ReplaceAll(string(text), "\x00", " ")
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() &&
			!slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			out = append(out, pid)
		}
	}
	return out
}

// orphans reports whether a provider of a CLI that is gone still works on one
// of the folders.
func (w *stormWorld) orphans() bool {
	for _, pid := range pids("terraform-provider-sky") {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err == nil && slices.ContainsFunc(w.folders, func(dir string) bool { return bytes.Contains(env, []byte("SKY_STATE_DIR="+dir)) }) {
			return true
		}
	}
	return false
}

// serve starts the cloud's server, as its keeper, if none answers.
func (w *stormWorld) serve() {
	w.t.Helper()
	if _, err := w.ask(http.MethodGet, "/v1/instances"); err == nil {
		return
	}
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(self, "fluffycloud", "serve", "--state-dir", w.lab.dir, "--boot-time", "50ms")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }() // it may be killed at any time
	w.until("the cloud's server answers", func() bool {
		_, err := w.ask(http.MethodGet, "/v1/instances")
		return err == nil
	})
}

// killServer ends the cloud's server hard; its machines run on.
func (w *stormWorld) killServer() {
	for _, pid := range w.servers() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// servers are the processes of the cloud's server, whoever started it.
func (w *stormWorld) servers() []int {
	return slices.DeleteFunc(pids("fluffycloud", "serve"), func(pid int) bool {
		line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		return err != nil || !slices.ContainsFunc(append([]string{w.lab.dir}, w.folders...), func(dir string) bool { return bytes.Contains(line, []byte(dir)) })
	})
}

// endServer ends the cloud with all that is in it.
func (w *stormWorld) endServer() {
	self, err := os.Executable()
	if err != nil {
		w.t.Error(err)
		return
	}
	out, err := exec.Command(self, "fluffycloud", "stop", "--force", "--state-dir", w.lab.dir).CombinedOutput()
	if err != nil {
		w.t.Errorf("end the cloud: %v\n%s", err, out)
	}
}

// ask calls the cloud's API, at the server that there is now.
func (w *stormWorld) ask(method, path string) ([]byte, error) {
	dir := filepath.Join(w.lab.dir, "fluffycloud")
	var server guest.Server
	if err := guest.ReadJSON(filepath.Join(dir, "server.json"), &server); err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, "api_key"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := server.Client(0)
	defer client.CloseIdleConnections()
	return askAPI(ctx, client, method, server.URL+path, strings.TrimSpace(string(key)), nil)
}

// all are the machines there ever were.
func (w *stormWorld) all() []machine {
	w.t.Helper()
	w.serve()
	text, err := w.ask(http.MethodGet, "/v1/instances")
	if err != nil {
		w.t.Fatal(err)
	}
	var list struct {
		Instances []machine `json:"instances"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		w.t.Fatal(err)
	}
	return list.Instances
}

// living are the machines that are billed.
func (w *stormWorld) living() []machine {
	return slices.DeleteFunc(w.all(), func(m machine) bool { return m.State == "terminated" })
}

func (w *stormWorld) everLaunched() int { return len(w.all()) }

// head is the machine of rank 0.
func (w *stormWorld) head() machine {
	w.t.Helper()
	for _, m := range w.living() {
		if m.Tags["sky-rank"] == "0" {
			return m
		}
	}
	w.t.Fatal("there is no head")
	return machine{}
}

// endHead terminates the head behind everybody's back.
func (w *stormWorld) endHead() {
	w.t.Helper()
	if _, err := w.ask(http.MethodDelete, "/v1/instances/"+w.head().ID); err != nil {
		w.t.Fatal(err)
	}
}

// freezeHead stops all processes of the head: it accepts connections, and says
// nothing.
func (w *stormWorld) freezeHead() {
	w.t.Helper()
	machines := pids("fluffycloud", "machine", w.head().ID)
	if len(machines) == 0 {
		w.t.Fatal("the head has no process")
	}
	for _, pid := range machines {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			w.t.Fatal(err)
		}
	}
}

// fill leaves no byte on the present state folder's disk.
func (w *stormWorld) fill() {
	w.t.Helper()
	f, err := os.Create(filepath.Join(w.folders[w.folder], "filler"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// gc removes what nobody holds, as the command does that errors point to.
func (w *stormWorld) gc() {
	w.t.Helper()
	for _, dir := range w.folders {
		text, err := runTool(w.t, "gc", "--owner", "storm", "--state-dir", dir, "--state", filepath.Join(w.dir, "terraform.tfstate"), "--delete")
		w.t.Logf("gc: %v\n%s", err, text)
	}
}
