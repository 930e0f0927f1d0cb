// SPDX-License-Identifier: MPL-2.0

// Command quickstart runs examples/quickstart from beginning to end with the
// provider built from this checkout: init, plan, apply, output, a second plan
// that must be empty, destroy. Everything it makes lies in one scratch folder,
// and the caller's own Terraform configuration, plugin cache, state and
// environment play no part. Whatever fails, and at Ctrl-C, what was launched
// is destroyed before it returns.
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
	"time"
)

// cleanupLimit bounds the clean-up after a failure or an interrupt.
const cleanupLimit = 10 * time.Minute

func main() {
	var o options
	flag.StringVar(&o.terraform, "terraform", "", "Terraform or OpenTofu `command`; by default terraform, else tofu, from PATH")
	flag.StringVar(&o.root, "root", ".", "`folder` of the checkout")
	flag.BoolVar(&o.keep, "keep", false, "keep the scratch folder, with its logs")
	flag.Parse()
	o.out = os.Stdout
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "\nquickstart:", err)
		os.Exit(1)
	}
}

type options struct {
	terraform string
	root      string
	keep      bool
	out       io.Writer
}

// errInterrupted is what a run that was stopped by a signal ends with.
var errInterrupted = errors.New("interrupted")

func run(o options) (err error) {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "examples", "quickstart")); err != nil {
		return fmt.Errorf("%s is not a checkout of the provider: %w", root, err)
	}
	scratch, err := newScratch(root)
	if err != nil {
		return err
	}
	q := &quickstart{options: o, scratch: scratch}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if q.cli, err = findCLI(ctx, o.terraform, scratch.environ(os.Environ())); err != nil {
		return errors.Join(err, os.RemoveAll(scratch.dir))
	}
	q.say("%s %s at %s; scratch folder %s", q.cli.product, q.cli.version, q.cli.path, scratch.dir)
	err = q.steps(ctx)
	if ctx.Err() != nil {
		err = errInterrupted
	}
	stop() // from here on a signal is the clean-up's own
	if cleanErr := q.cleanUp(err); cleanErr != nil {
		return errors.Join(err, cleanErr)
	}
	if err == nil {
		q.summary()
	}
	return err
}
