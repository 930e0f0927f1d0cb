// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// command prepares a command. When ctx ends it is interrupted once, as by one
// Ctrl-C, and then waited for: Terraform needs the time to stop in order and
// to write its state.
func command(ctx context.Context, o options, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = o.root
	cmd.Stdout, cmd.Stderr = o.out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = cleanupLimit
	ownGroup(cmd)
	return cmd
}

// buildProvider builds this checkout's provider into the file at path.
func buildProvider(ctx context.Context, o options, path string) error {
	cmd := command(ctx, o, "go", "build", "-ldflags", "-X main.version="+providerVersion, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// runAcc runs a command, "go test" as a rule, with acceptance tests on.
func runAcc(ctx context.Context, o options, args []string) error {
	if len(args) == 0 {
		return errors.New("acc: say which command to run")
	}
	c, err := findCLI(ctx, o.terraform, accEnviron(cli{}, os.Environ()))
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "acceptance tests run %s %s at %s\n", c.product, c.version, c.path)
	cmd := command(ctx, o, args[0], args[1:]...)
	cmd.Env = accEnviron(c, os.Environ())
	cmd.SysProcAttr = nil // a test binary deep below go test needs the terminal's Ctrl-C, too
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exitStatus(exit.ExitCode())
	}
	return err
}

// accEnviron is the caller's environment, less what would steer the CLI, the
// provider or a cloud, with acceptance tests against c switched on. Logging
// and the test framework's own settings stay the caller's.
func accEnviron(c cli, callers []string) []string {
	var env []string
	for _, kv := range callers {
		if !steers(kv) || strings.HasPrefix(kv, "TF_LOG") || strings.HasPrefix(kv, "TF_ACC_") {
			env = append(env, kv)
		}
	}
	return append(env,
		"TF_ACC=1",
		"TF_ACC_TERRAFORM_PATH="+c.path,
		"TF_ACC_PROVIDER_HOST="+c.host,
		"TF_CLI_CONFIG_FILE="+os.DevNull,
		"CHECKPOINT_DISABLE=1",
		"SKY_CATALOG_OFFLINE=1",
	)
}
