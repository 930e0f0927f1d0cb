// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// providerVersion is the version under which the build is installed.
const providerVersion = "0.1.0"

// scratch is the folder of one run: a mirror for the provider, a CLI
// configuration that knows only that mirror, a Terraform configuration, and
// the provider's state folder.
type scratch struct{ dir string }

// newScratch makes the folder, with an empty mirror and the CLI configuration.
func newScratch() (scratch, error) {
	dir, err := os.MkdirTemp("", "sky-dev-")
	if err != nil {
		return scratch{}, fmt.Errorf("making a scratch folder: %w", err)
	}
	s := scratch{dir}
	rc := fmt.Sprintf("disable_checkpoint = true\n\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n",
		filepath.ToSlash(s.mirror()))
	err = errors.Join(
		os.WriteFile(s.cliConfig(), []byte(rc), 0o600),
		os.Mkdir(s.mirror(), 0o700),
		os.Mkdir(s.config(), 0o700),
	)
	if err != nil {
		return scratch{}, errors.Join(fmt.Errorf("filling the scratch folder: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s scratch) mirror() string    { return filepath.Join(s.dir, "mirror") }
func (s scratch) config() string    { return filepath.Join(s.dir, "config") }
func (s scratch) cliConfig() string { return filepath.Join(s.dir, "cli.tfrc") }
func (s scratch) stateDir() string  { return filepath.Join(s.dir, "sky") }
func (s scratch) cloudDir() string  { return filepath.Join(s.stateDir(), "fluffycloud") }

// provider is where a CLI that looks for skybroker/sky on host finds it.
func (s scratch) provider(host string) string {
	name := "terraform-provider-sky_v" + providerVersion
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(s.mirror(), host, "skybroker", "sky", providerVersion, runtime.GOOS+"_"+runtime.GOARCH, name)
}

// environ is the caller's environment without anything that would steer
// Terraform, OpenTofu, the provider or its clouds, and with this run's own
// settings instead.
func (s scratch) environ(callers []string) []string {
	var env []string
	for _, kv := range callers {
		if !steers(kv) {
			env = append(env, kv)
		}
	}
	return append(env,
		"CHECKPOINT_DISABLE=1",
		"TF_IN_AUTOMATION=1",
		"TF_CLI_CONFIG_FILE="+s.cliConfig(),
		"TF_DATA_DIR="+filepath.Join(s.dir, "data"),
		"SKY_STATE_DIR="+s.stateDir(),
		"SKY_CATALOG_OFFLINE=1",
	)
}

func steers(kv string) bool {
	for _, prefix := range []string{"TF_", "TOFU_", "SKY_", "FLUFFYCLOUD_", "CHECKPOINT_DISABLE="} {
		if strings.HasPrefix(kv, prefix) {
			return true
		}
	}
	return false
}

// copyExample copies the example as it is in the repository, without what a
// run by hand may have left in it.
func copyExample(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if leftover(entry.Name()) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
}

func leftover(name string) bool {
	return name == ".terraform" || name == ".terraform.lock.hcl" || name == "crash.log" ||
		strings.Contains(name, ".tfstate") || strings.HasSuffix(name, ".tfplan") || strings.HasSuffix(name, ".tfvars")
}
