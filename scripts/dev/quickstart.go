// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// cleanupLimit bounds the clean-up after a failure or an interrupt.
const cleanupLimit = 10 * time.Minute

// errInterrupted is what a run that was stopped by a signal ends with.
var errInterrupted = errors.New("interrupted")

// quickstart is one run of the example. Everything it makes lies in one
// scratch folder; whatever fails, and at Ctrl-C, what was launched is
// destroyed before it returns.
type quickstart struct {
	options
	cli     cli
	scratch scratch
	keep    bool
	// built and launched say what there is to clean up: launched holds from
	// the apply until the cloud was seen empty.
	built, launched bool
	took            []timing
}

type timing struct {
	step string
	d    time.Duration
}

func runQuickstart(ctx context.Context, o options, keep bool) error {
	scratch, err := newScratch()
	if err != nil {
		return err
	}
	q := &quickstart{options: o, scratch: scratch, keep: keep}
	if q.cli, err = findCLI(ctx, o.terraform, scratch.environ(os.Environ())); err == nil {
		err = copyExample(filepath.Join(o.root, "examples", "quickstart"), scratch.config())
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(scratch.dir))
	}
	q.say("%s %s at %s; scratch folder %s", q.cli.product, q.cli.version, q.cli.path, scratch.dir)
	err = q.steps(ctx)
	if ctx.Err() != nil {
		err = errInterrupted
	}
	if cleanErr := q.cleanUp(context.WithoutCancel(ctx), err); cleanErr != nil {
		return errors.Join(err, cleanErr)
	}
	if err == nil {
		q.summary()
	}
	return err
}

// steps runs the example up to and including destroy, and proves that nothing
// is left.
func (q *quickstart) steps(ctx context.Context) error {
	terraform := func(args ...string) func() error {
		return func() error { return q.terraform(ctx, args...) }
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"build the provider", func() error { return q.build(ctx) }},
		{"init", terraform("init", "-input=false")},
		{"plan", terraform("plan", "-input=false", "-out=quickstart.tfplan")},
		{"apply", func() error {
			q.launched = true
			return q.terraform(ctx, "apply", "-input=false", "quickstart.tfplan")
		}},
		{"output", func() error { return q.checkAnswer(ctx) }},
		{"plan again, which must be empty", func() error { return q.planIsEmpty(ctx) }},
		{"destroy", terraform("destroy", "-input=false", "-auto-approve")},
		{"look at the cloud", func() error {
			// A cloud that never was is empty, too.
			if _, err := os.Stat(q.scratch.cloudDir()); err != nil {
				return fmt.Errorf("the example did not use the cloud: %w", err)
			}
			return q.cloudIsEmpty(ctx)
		}},
	} {
		if err := q.step(step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

// step runs one step under its name and notes how long it took.
func (q *quickstart) step(name string, do func() error) error {
	q.say("\n==> %s", name)
	began := time.Now()
	err := do()
	d := time.Since(began)
	q.took = append(q.took, timing{name, d})
	if err != nil {
		return fmt.Errorf("%s, after %s: %w", name, seconds(d), err)
	}
	q.say("    %s", seconds(d))
	return nil
}

func (q *quickstart) build(ctx context.Context) error {
	err := buildProvider(ctx, q.options, q.scratch.provider(q.cli.host))
	q.built = err == nil
	return err
}

func (q *quickstart) planIsEmpty(ctx context.Context) error {
	err := q.terraform(ctx, "plan", "-input=false", "-detailed-exitcode")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		return errors.New("the second plan is not empty")
	}
	return err
}

func (q *quickstart) cloudIsEmpty(ctx context.Context) error {
	if err := q.fluffycloud(ctx, "status", "--expect-empty"); err != nil {
		return fmt.Errorf("the cloud still lists something: %w", err)
	}
	q.launched = false
	q.say("    the cloud lists no machine, disk, key or firewall rule")
	return nil
}

// cleanUp leaves nothing behind: it destroys what a failed run launched, stops
// the cloud and removes the scratch folder. Where that cannot be done it says
// what is left and how to go on. why is the run's own error, nil after success.
func (q *quickstart) cleanUp(ctx context.Context, why error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	if q.launched {
		q.say("\n%v: destroying what was launched", why)
		err := q.step("destroy", func() error { return q.terraform(ctx, "destroy", "-input=false", "-auto-approve") })
		if err == nil {
			err = q.step("look at the cloud", func() error { return q.cloudIsEmpty(ctx) })
		}
		if err != nil {
			return fmt.Errorf("%w\nsomething may be left; state and logs are in %s\nto see and to end it:\n%s", err, q.scratch.dir, q.byHand())
		}
		q.say("what was launched is destroyed")
	}
	if q.built {
		if err := q.fluffycloud(ctx, "stop"); err != nil {
			return fmt.Errorf("stopping the cloud: %w (its folder is %s)", err, q.scratch.cloudDir())
		}
	}
	if q.keep {
		q.say("\nkept: %s", q.scratch.dir)
		return nil
	}
	if err := os.RemoveAll(q.scratch.dir); err != nil {
		return fmt.Errorf("removing the scratch folder: %w", err)
	}
	q.say("the scratch folder is removed")
	return nil
}

// byHand are the commands for what this run left.
func (q *quickstart) byHand() string {
	provider, stateDir := q.scratch.provider(q.cli.host), q.scratch.stateDir()
	return fmt.Sprintf("  %q fluffycloud status --state-dir %q\n  %q fluffycloud stop --force --state-dir %q",
		provider, stateDir, provider, stateDir)
}

func (q *quickstart) summary() {
	q.say("\nquickstart is complete:")
	var total time.Duration
	for _, t := range q.took {
		q.say("  %8s  %s", seconds(t.d), t.step)
		total += t.d
	}
	q.say("  %8s  in all", seconds(total))
}

// terraform runs the CLI in the copy of the example.
func (q *quickstart) terraform(ctx context.Context, args ...string) error {
	return q.terraformTo(ctx, q.out, args...)
}

func (q *quickstart) terraformTo(ctx context.Context, out io.Writer, args ...string) error {
	if !isTerminal(q.out) {
		args = append(args[:1:1], append([]string{"-no-color"}, args[1:]...)...)
	}
	cmd := q.command(ctx, q.cli.path, args...)
	cmd.Stdout = out
	cmd.Dir = q.scratch.config()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", q.cli.product, args[0], err)
	}
	return nil
}

func (q *quickstart) terraformOutput(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	err := q.terraformTo(ctx, &out, "output", "-json")
	return out.Bytes(), err
}

// fluffycloud runs a command of the embedded cloud on this run's own server.
func (q *quickstart) fluffycloud(ctx context.Context, args ...string) error {
	args = append([]string{"fluffycloud"}, append(args, "--state-dir", q.scratch.stateDir())...)
	return q.command(ctx, q.scratch.provider(q.cli.host), args...).Run()
}

// command prepares a command in this run's environment.
func (q *quickstart) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := command(ctx, q.options, name, args...)
	cmd.Env = q.scratch.environ(os.Environ())
	return cmd
}

func (q *quickstart) say(format string, args ...any) {
	fmt.Fprintf(q.out, format+"\n", args...)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
