// SPDX-License-Identifier: MPL-2.0

//go:build (faults || storm) && linux

package provider_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What the lanes that kill processes share.

// childrenOf lists the living children of a process.
func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// "pid (name) state ppid ...", and the name may hold anything.
		rest := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(parent) && rest[0] != "Z" {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pid)
		}
	}
	if len(out) == 0 {
		t.Error("the CLI has no provider running")
	}
	return out
}

func needAcc(t *testing.T) {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Fatal("run this lane with make, or with TF_ACC=1: it needs a Terraform CLI")
	}
}

// reportFaults prints a part of the report, and adds it to the file that the
// lane shows at its end.
func reportFaults(t *testing.T, title, text string) {
	t.Helper()
	whole := title + "\n" + text + "\n"
	t.Log("\n" + whole)
	path := os.Getenv("FAULT_REPORT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(whole); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// held is what the state holds; one that was cut off in its first write is empty.
func (w *workspace) held() []string {
	w.t.Helper()
	if info, err := os.Stat(filepath.Join(w.dir, "terraform.tfstate")); err == nil && info.Size() == 0 {
		return nil
	}
	return w.inState()
}

// launched counts all machines that ever were.
func (w *workspace) launched() int {
	var list struct {
		Instances []json.RawMessage `json:"instances"`
	}
	w.call("GET", "/v1/instances", nil, &list)
	return len(list.Instances)
}
