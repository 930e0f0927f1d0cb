// SPDX-License-Identifier: MPL-2.0

// Command dev does what the GNUmakefile has to do with the Terraform or
// OpenTofu CLI. It finds the CLI, refuses one that is too old, and runs it in
// an environment from which the caller's own Terraform settings are gone.
//
//	dev quickstart             run examples/quickstart from init to destroy
//	dev acc COMMAND [ARG...]   run COMMAND with acceptance tests switched on
//	dev generate [-check]      write docs/ and format the examples, or compare
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	var status exitStatus
	if errors.As(err, &status) {
		os.Exit(int(status))
	}
	fmt.Fprintln(os.Stderr, "\ndev:", err)
	os.Exit(1)
}

// exitStatus is how a command ended that has said all there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// options are the flags that all commands share.
type options struct {
	terraform string
	root      string
	out       io.Writer
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: quickstart, acc or generate")
	}
	o := options{out: os.Stdout}
	flags := flag.NewFlagSet("dev "+args[0], flag.ContinueOnError)
	flags.StringVar(&o.terraform, "terraform", "", "Terraform or OpenTofu `command`; by default terraform, else tofu, from PATH")
	flags.StringVar(&o.root, "root", ".", "`folder` of the checkout")
	keep := flags.Bool("keep", false, "quickstart: keep the scratch folder, with its logs")
	check := flags.Bool("check", false, "generate: compare instead of writing")
	docsTool := flags.String("tfplugindocs", "tfplugindocs", "generate: the tfplugindocs `command`")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	if o.root = root; !isCheckout(root) {
		return fmt.Errorf("%s is not a checkout of the provider", root)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch args[0] {
	case "quickstart":
		return runQuickstart(ctx, o, *keep)
	case "acc":
		return runAcc(ctx, o, flags.Args())
	case "generate":
		return runGenerate(ctx, o, *docsTool, *check)
	default:
		return fmt.Errorf("no command %q: there are quickstart, acc and generate", args[0])
	}
}

func isCheckout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "examples", "quickstart", "main.tf"))
	return err == nil
}
