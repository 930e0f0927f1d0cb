// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// The oldest releases the provider is made for.
const (
	minMajor = 1
	minMinor = 8
)

// cli is the program that reads the configuration.
type cli struct {
	path    string
	product string // "Terraform" or "OpenTofu"
	version string
	host    string // of the registry that a source without a host means
}

// findCLI finds the wanted program, or any of the two where none is named, and
// refuses one that is missing, too old, or something else.
func findCLI(ctx context.Context, wanted string, env []string) (cli, error) {
	candidates := []string{wanted}
	if wanted == "" {
		candidates = []string{"terraform", "tofu"}
	}
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err != nil && !errors.Is(err, exec.ErrDot) {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return cli{}, err
		}
		cmd := exec.CommandContext(ctx, path, "version")
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			return cli{}, fmt.Errorf("%s is neither Terraform nor OpenTofu: its version command failed: %w", path, err)
		}
		return parseVersion(path, string(out))
	}
	if wanted == "" {
		wanted = "neither terraform nor tofu is on PATH"
	} else {
		wanted += " is no command that can be run, on PATH or by its path"
	}
	return cli{}, fmt.Errorf("%s: install Terraform or OpenTofu, %d.%d or newer, or say where it is: make quickstart TERRAFORM=/path/to/it",
		wanted, minMajor, minMinor)
}

var versionLine = regexp.MustCompile(`(?m)^(Terraform|OpenTofu) v((\d+)\.(\d+)\.\S+)`)

// parseVersion reads what "version" printed.
func parseVersion(path, out string) (cli, error) {
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return cli{}, fmt.Errorf("%s is neither Terraform nor OpenTofu: its version command printed %.80q", path, out)
	}
	c := cli{path: path, product: m[1], version: m[2], host: "registry.terraform.io"}
	if c.product == "OpenTofu" {
		c.host = "registry.opentofu.org"
	}
	major, err := strconv.Atoi(m[3])
	if err != nil {
		return cli{}, fmt.Errorf("version of %s: %w", path, err)
	}
	minor, err := strconv.Atoi(m[4])
	if err != nil {
		return cli{}, fmt.Errorf("version of %s: %w", path, err)
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		return cli{}, fmt.Errorf("%s %s at %s is too old: %d.%d or newer is needed", c.product, c.version, path, minMajor, minMinor)
	}
	return c, nil
}
