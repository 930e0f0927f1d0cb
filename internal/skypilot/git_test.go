// SPDX-License-Identifier: MPL-2.0

package skypilot_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// clones runs the setup of a git workdir in a home, which has sky_workdir or not.
func clones(t *testing.T, home, url string, env ...string) (string, error) {
	t.Helper()
	task, err := skypilot.ParseGiven("workdir: {url: '"+url+"'}\nsetup: echo done", skypilot.Given{Commit: strings.Repeat("0", 40)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", *task.Setup)
	cmd.Dir = t.TempDir()
	cmd.Env = append(env, "HOME="+home, "PATH="+os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if _, err := os.Stat(filepath.Join(cmd.Dir, ".git")); err == nil {
		t.Error("there is a repository in the folder that setup began in")
	}
	return string(out), err
}

// Without its folder, nothing is cloned elsewhere, and setup ends.
func TestGitWorkdirWithoutFolder(t *testing.T) {
	out, err := clones(t, t.TempDir(), "https://127.0.0.1/x")
	if err == nil || strings.Contains(out, "done") || !strings.Contains(out, "there is no folder") {
		t.Errorf("%v: %s", err, out)
	}
}

// asking is a server that lets nobody in without a login, and counts those who
// come with the token.
func asking(tokens *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, password, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		} else if password == "hush-hush-canary" {
			tokens.Add(1)
		}
	}
}

// The token goes to the host of the URL by https, and to nobody else: not in plain
// text, not to where that host sends git on, and into no store of the image.
func TestGitToken(t *testing.T) {
	var sent, plain, elsewhere atomic.Int64
	server, open, other := httptest.NewTLSServer(asking(&sent)), httptest.NewServer(asking(&plain)), httptest.NewTLSServer(asking(&elsewhere))
	moved := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.String(), http.StatusFound)
	}))
	home := t.TempDir()
	for _, s := range []*httptest.Server{server, open, other, moved} {
		t.Cleanup(s.Close)
	}
	cert := filepath.Join(home, "cert.pem")
	for path, text := range map[string][]byte{
		cert:                              pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		filepath.Join(home, ".gitconfig"): []byte("[credential]\n\thelper = store\n"),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(home, "sky_workdir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*httptest.Server{server, open, moved} {
		out, err := clones(t, home, s.URL+"/org/name", "GIT_TOKEN=hush-hush-canary", "GIT_SSL_CAINFO="+cert)
		if err == nil || strings.Contains(out, "hush") {
			t.Errorf("%s: %v: %s", s.URL, err, out)
		}
	}
	if sent.Load() == 0 || plain.Load() != 0 || elsewhere.Load() != 0 {
		t.Errorf("the token came %d times to the host, %d times in plain text, %d times elsewhere", sent.Load(), plain.Load(), elsewhere.Load())
	}
	if _, err := os.Stat(filepath.Join(home, ".git-credentials")); err == nil {
		t.Error("the token is in a store")
	}
}

// A setup for a shell begins with its own first line, options and all.
func TestGitBesideShell(t *testing.T) {
	for _, first := range []string{"#!/bin/bash", "#!/bin/sh -ex", "#!/usr/bin/env bash", "#! /usr/bin/env -S bash -e"} {
		task, err := skypilot.ParseGiven("workdir: {url: 'https://x/y'}\nsetup: |\n  "+first+"\n  make\n", skypilot.Given{Commit: strings.Repeat("0", 40)})
		if err != nil || !strings.HasPrefix(*task.Setup, first+"\n( url=") || !strings.HasSuffix(*task.Setup, "exit 1\nmake\n") {
			t.Errorf("%s: %v", first, err)
		}
	}
	if task, err := skypilot.ParseGiven("{workdir: {url: 'https://x/y'}, setup: '#!/bin/sh'}", skypilot.Given{Commit: strings.Repeat("0", 40)}); err != nil || !strings.HasPrefix(*task.Setup, "#!/bin/sh\n( url=") {
		t.Errorf("a first line alone: %v", err)
	}
	for _, first := range []string{"#!/usr/bin/env python3", "#!/usr/bin/fish", "#!/bin/shutdown", "#!/opt/bin/bash.py"} {
		if _, err := skypilot.ParseGiven("{workdir: {url: 'https://x/y'}, setup: '"+first+"'}", skypilot.Given{Commit: strings.Repeat("0", 40)}); err == nil || !strings.Contains(err.Error(), "another interpreter") {
			t.Errorf("%s: %v", first, err)
		}
	}
}

// A given commit stands in place of a ref, whose variable then needs no value.
func TestGitRefWithoutValue(t *testing.T) {
	const text = "{workdir: {url: 'https://x/y', ref: $BRANCH}, envs: {BRANCH: }}"
	commit := strings.Repeat("0", 40)
	task, err := skypilot.ParseGiven(text, skypilot.Given{Commit: commit})
	if err != nil || !strings.Contains(*task.Setup, commit) {
		t.Errorf("with a commit: %v", err)
	}
	if _, err := skypilot.Parse(text); err == nil || !strings.Contains(err.Error(), "names the variable BRANCH") {
		t.Errorf("without a commit: %v", err)
	}
}
