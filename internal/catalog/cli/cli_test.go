// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/catalogs"
	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func runCLI(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := Command(Options{
		Fetchers: fetch.Small(), OptIn: []string{"fluffycloud"},
		Explain: func(r cloud.Requirement, offers iter.Seq[*cloud.Offer]) error {
			n := 0
			for range offers {
				n++
			}
			return fmt.Errorf("%d offers, none of %s", n, r.Accelerators[0])
		},
	})
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(context.Background())
	return out.String(), errs.String(), err
}

// embeddedClouds are the clouds whose catalogs are built in, as an error lists them.
func embeddedClouds(t *testing.T) string {
	t.Helper()
	files, err := fs.Glob(catalogs.FS, "*/vms.csv")
	if err != nil || len(files) == 0 {
		t.Fatalf("no catalogs are built in: %v", err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = path.Dir(f)
	}
	return strings.Join(names, ", ")
}

func TestCLIList(t *testing.T) {
	state := t.TempDir()
	out, _, err := runCLI(t, "list", "--state-dir", state)
	if err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), "fluffycloud embedded 2026-11-01") {
		t.Errorf("list: %v\n%s", err, out)
	}
	out, _, err = runCLI(t, "list", "--json", "--state-dir", state)
	var l listing
	if err != nil || json.Unmarshal([]byte(out), &l) != nil || len(l.Version) != 64 || len(l.Catalogs) < 7 {
		t.Errorf("list --json: %v\n%s", err, out)
	}
	out, _, err = runCLI(t, "list", "fluffycloud", "--accelerators", "a100:8", "--market", "any", "--limit", "1", "--json", "--state-dir", state)
	var offers []offerJSON
	if err != nil || json.Unmarshal([]byte(out), &offers) != nil || len(offers) != 1 || offers[0].InstanceType != "storm-a100-8" {
		t.Errorf("list of offers: %v\n%s", err, out)
	}
	out, _, err = runCLI(t, "list", "--accelerators", "H100:8", "--state-dir", state)
	if err != nil || strings.Contains(out, "fluffycloud") || !strings.Contains(out, "lambda/us-east-1") || !strings.Contains(out, "  31.92\n") {
		t.Errorf("list of offers where no cloud is named: %v\n%s", err, out)
	}
	out, _, err = runCLI(t, "list", "--accelerators", "H100:8", "--infra", "fluffycloud", "--state-dir", state)
	if err != nil || !strings.Contains(out, "fluffycloud/meadow-1") {
		t.Errorf("list of offers of a named cloud: %v\n%s", err, out)
	}
	if _, _, err = runCLI(t, "list", "--accelerators", "H1000:8", "--state-dir", state); err == nil || !strings.Contains(err.Error(), "none of H1000:8") {
		t.Errorf("list of offers there are not: %v", err)
	}
	if _, _, err = runCLI(t, "list", "--cpus", "many", "--state-dir", state); err == nil {
		t.Error("a bad filter was accepted")
	}
}

func TestCLISaysWhatIsWrong(t *testing.T) {
	state := t.TempDir()
	for args, want := range map[string]string{
		"list --cpus 8 --limit 0":                    "--limit 0: write a number of offers",
		"list --cpus 8 --max-hourly-cost -1":         "--max-hourly-cost -1: write US dollars an hour",
		"list amazon":                                "there are those of " + embeddedClouds(t),
		"list --path /nonexistent":                   "--path: stat /nonexistent: no such file or directory",
		"update fluffycloud":                         `no catalog of "fluffycloud" is hosted; those of aws`,
		"update do":                                  `the cloud that the hosted catalogs call "do" is "digitalocean" here`,
		"list --accelerators T4 --infra a/b/c/d":     "more than three",
		"list --path /nonexistent --accelerators T4": "--path",
	} {
		_, _, err := runCLI(t, append(strings.Fields(args), "--state-dir", state)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: %v, want one line with %q", args, err, want)
		}
	}
}

func TestCLIUpdateAndVerify(t *testing.T) {
	good := v5Header + strings.Repeat("m.x,,,4,16,,0.5,,r1,z1\n", 10)
	h := &host{text: good}
	server := httptest.NewServer(h)
	defer server.Close()
	state := t.TempDir()
	out, _, err := runCLI(t, "update", "aws", "--state-dir", state, "--base-url", server.URL)
	if err != nil || !strings.Contains(out, "updated") {
		t.Errorf("update: %v\n%s", err, out)
	}
	h.text = "<html>\n"
	out, _, err = runCLI(t, "update", "aws", "--force", "--state-dir", state, "--base-url", server.URL)
	if err == nil || !strings.Contains(err.Error(), "HTML") || !strings.Contains(out, "failed") {
		t.Errorf("update from a bad host: %v\n%s", err, out)
	}
	out, _, err = runCLI(t, "update", "aws", "--force", "--json", "--state-dir", state, "--base-url", server.URL)
	if err == nil || !strings.Contains(out, `"outcome": "failed"`) || !strings.Contains(out, "HTML") {
		t.Errorf("update --json from a bad host: %v\n%s", err, out)
	}
	if out, _, err = runCLI(t, "update", "aws", "--offline", "--state-dir", state); err == nil || out != "" {
		t.Errorf("update --offline: %v\n%s", err, out)
	}
	if _, _, err = runCLI(t, "fetch"); err == nil || !strings.Contains(err.Error(), "name one cloud to ask: lambda, runpod") {
		t.Errorf("fetch of nothing: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "aws", "vms.csv")
	write(t, bad, v5Header+"m.x,,,4,16,,-1,,r1,z1\n")
	_, errs, err := runCLI(t, "verify", "aws", bad, "--state-dir", state)
	if err == nil || !strings.Contains(errs, "row 2, column Price: -1 is negative") || !strings.Contains(err.Error(), "1 of 3") {
		t.Errorf("verify: %v\n%s", err, errs)
	}
	if _, _, err = runCLI(t, "fetch", "ibm", "--state-dir", state); err == nil || !strings.Contains(err.Error(), "these can: lambda, runpod") {
		t.Errorf("fetch of a cloud without fetcher: %v", err)
	}
}

const v5Header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"

// host serves one text as every vms.csv, and no images.
type host struct{ text string }

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/vms.csv") {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, h.text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A path in the home folder is found where no shell expands it, as in --path=~/x.
func TestCLIHomeFolder(t *testing.T) {
	home, state := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	write(t, filepath.Join(home, "own", "aws", "vms.csv"), v5Header+"m.mine,,,4,16,,0.5,,r1,z1\n")
	if out, _, err := runCLI(t, "list", "--path=~/own", "--state-dir", state); err != nil || !strings.Contains(out, filepath.Join(home, "own", "aws", "vms.csv")) {
		t.Errorf("list --path=~/own: %v\n%s", err, out)
	}
	if out, _, err := runCLI(t, "verify", "~/own/aws/vms.csv", "--state-dir", state); err != nil || !strings.Contains(out, "good") {
		t.Errorf("verify ~/own/aws/vms.csv: %v\n%s", err, out)
	}
}

// TestCLIStateFolder expects the folder that the provider takes, too.
func TestCLIStateFolder(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("SKY_STATE_DIR", "~/from-variable")
	for flag, want := range map[string]string{"~/from-flag": "from-flag", "": "from-variable"} {
		c := &cli{opts: catalog.Options{StateDir: flag}}
		if _, err := c.open(); err != nil || c.opts.StateDir != filepath.Join(home, want) {
			t.Errorf("--state-dir %q: %s, %v", flag, c.opts.StateDir, err)
		}
	}
}
