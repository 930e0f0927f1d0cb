// SPDX-License-Identifier: MPL-2.0

package all_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// madeUp is a cloud that does not exist: driver, catalog and template, as files of
// the module. The guide "Adding a cloud" quotes it.
const madeUp = "testdata/pond"

// tree puts the made-up cloud into the module by an overlay, so that nothing is
// copied and builds are shared, and returns the overlay's file. All that changes
// beside the files of the cloud is one line in all.go, and its import.
func tree(t *testing.T) (overlay, root string) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	err = filepath.WalkDir(madeUp, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(madeUp, path)
		if err != nil {
			return err
		}
		at := filepath.Join(root, rel)
		if _, err := os.Stat(at); err == nil {
			t.Errorf("%s is there already: a new cloud changes no file", rel)
		}
		replace[at], err = filepath.Abs(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("all.go")
	if err != nil {
		t.Fatal(err)
	}
	const importing, line = "import (\n", "cloud.NewRegistry(\n"
	added := strings.Replace(string(text), importing, importing+"\t\"github.com/skybroker/terraform-provider-sky/internal/cloud/pond\"\n", 1)
	added = strings.Replace(added, line, line+"\t\tpond.Factory{},\n", 1)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "all.go"), added)
	replace[filepath.Join(root, "internal", "cloud", "all", "all.go")] = filepath.Join(dir, "all.go")
	out, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(dir, "overlay.json")
	write(t, overlay, string(out))
	return overlay, root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a command of the module's root; it returns what it wrote.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "GOFLAGS=-trimpath", "CGO_ENABLED=0"), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// A cloud is a driver, a catalog, a template and one line: the suite passes, and
// so do the tests that follow the registry and the catalogs.
func TestACloudIsAnAddition(t *testing.T) {
	overlay, root := tree(t)
	suite := filepath.Join(t.TempDir(), "pond.test")
	run(t, root, nil, "go", "test", "-vet=off", "-c", "-overlay", overlay, "-o", suite, "./internal/cloud/pond")
	run(t, t.TempDir(), nil, suite, "-test.timeout", "5m")
	run(t, root, nil, "go", "test", "-vet=off", "-overlay", overlay, "-run", "Registry|Whole|About|Tables|Embedded|CLI|RayPiece",
		"./internal/cloud/all", "./internal/catalog/about", "./internal/catalog/cli", "./catalogs/gen", "./internal/clusterconfig")
}

// The same cloud in the provider: its catalog answers, and Terraform plans a
// cluster on it without any account.
func TestAccACloudIsAnAddition(t *testing.T) {
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if cli == "" {
		t.Log("TF_ACC_TERRAFORM_PATH is not set: make test sets it, and plans here")
		return
	}
	overlay, root := tree(t)
	dir := t.TempDir()
	provider := filepath.Join(dir, "terraform-provider-sky")
	run(t, root, nil, "go", "build", "-overlay", overlay, "-o", provider, ".")
	env := []string{"SKY_CATALOG_OFFLINE=1", "SKY_STATE_DIR=" + filepath.Join(dir, "state"), "TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "rc")}
	if out := run(t, dir, env, provider, "catalog", "list", "pond", "--state-dir", filepath.Join(dir, "state")); !strings.Contains(out, "embedded:pond/vms.csv") {
		t.Errorf("the catalog of pond lists\n%s", out)
	}
	quoted, err := json.Marshal(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rc"), "provider_installation {\n  dev_overrides { \"skybroker/sky\" = "+string(quoted)+" }\n  direct {}\n}\n")
	write(t, filepath.Join(dir, "main.tf"), `
terraform {
  required_providers { sky = { source = "skybroker/sky" } }
}
provider "sky" {
  enabled_clouds = ["pond"]
  clouds         = { pond = { token = "none" } }
}
resource "sky_cluster" "c" {
  name      = "made-up"
  resources = { cpus = "2+", memory = "4+", inputs = [{ cloud = "vast", size_gb = 7 }] }
}
`)
	out := run(t, dir, env, cli, "plan", "-no-color")
	for _, want := range []string{"pond/nyc3", "s-2vcpu-4gb", "moving 7 GB out of vast"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}
