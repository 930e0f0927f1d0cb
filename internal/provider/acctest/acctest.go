// SPDX-License-Identifier: MPL-2.0

// Package acctest is what the acceptance tests of all clouds share: the provider
// that the real Terraform runs, and the examples as a cloud needs them.
package acctest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/provider"
	"github.com/skybroker/terraform-provider-sky/templates"
)

// ParseFlags parses the flags of a test binary. Without TF_ACC it leaves the tests
// that run Terraform to make test, and says so on out.
func ParseFlags(out io.Writer) error {
	flag.Parse()
	if os.Getenv("TF_ACC") != "" {
		return nil
	}
	_, err := fmt.Fprintln(out, "TF_ACC is not set: the acceptance tests (TestAcc...) are left out; make test runs them.")
	return errors.Join(err, flag.Set("test.skip", "^TestAcc"))
}

// Factories make the provider with the clouds of a registry.
func Factories(registry func() (*cloud.Registry, error)) map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"sky": func() (tfprotov6.ProviderServer, error) {
			clouds, err := registry()
			if err != nil {
				return nil, err
			}
			return providerserver.NewProtocol6WithError(provider.New("test", clouds)())()
		},
	}
}

// OwnTemplate is a folder with the cluster template of a cloud for machines that
// are processes of this computer: its systemd is none of theirs.
func OwnTemplate(t *testing.T, cloudName string) string {
	t.Helper()
	name := cloudName + ".yaml.tmpl"
	text, err := fs.ReadFile(templates.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	own := bytes.Replace(text, []byte("process_manager: auto"), []byte("process_manager: setsid"), 1)
	if bytes.Equal(own, text) {
		t.Fatal("the template leaves no process manager to replace")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), own, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Quickstart is the configuration of examples/quickstart, in the folder dir, for a
// test of a driver: without its provider block and with changes, texts of it and
// what stands there instead. Nobody is asked from where this computer is seen.
func Quickstart(t *testing.T, dir string, changes map[string]string) string {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var whole string
	for _, name := range []string{"main.tf", "outputs.tf"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		whole += string(text)
	}
	replace := func(from, to string) {
		if !strings.Contains(whole, from) {
			t.Fatalf("the quickstart has no %q", from)
		}
		whole = strings.Replace(whole, from, to, 1)
	}
	replace(`provider "sky" {}`, "")
	replace("  num_nodes = 2\n\n  r", "  num_nodes = 2\n  allowed_cidrs = [\"127.0.0.0/8\"]\n\n  r")
	replace("${path.module}", dir)
	for from, to := range changes {
		replace(from, to)
	}
	return regexp.MustCompile(`(?s)\nterraform \{.*?\n\}\n`).ReplaceAllString(whole, "\n")
}
