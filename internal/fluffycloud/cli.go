// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/sshclient"
	"github.com/skybroker/terraform-provider-sky/internal/statefolder"
)

// subcommand is the name under which a binary offers this package.
const subcommand = "fluffycloud"

// exitError carries an exit code of its own through cobra.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Main runs the fluffycloud subcommand if args, a whole os.Args, ask for it,
// and returns whether they did and the exit code. Binaries call it first, test
// binaries too: the machines of a cloud are processes of the same binary.
func Main(args []string) (handled bool, code int) {
	if len(args) < 2 || args[1] != subcommand {
		return false, 0
	}
	cmd := Command("dev")
	cmd.SetArgs(args[2:])
	return true, Execute(cmd)
}

// Execute runs a command and returns its exit code, with one sentence on
// stderr where something failed.
func Execute(cmd *cobra.Command) int {
	err := cmd.ExecuteContext(context.Background())
	exit := (*exitError)(nil)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	default:
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Error: %v\n", err)
		return 1
	}
}

// cli holds what all commands share.
type cli struct {
	version  string
	stateDir string
}

// dir is the cloud's own folder.
func (c *cli) dir() (string, error) {
	dir, err := statefolder.Resolve(c.stateDir, os.Getenv)
	return filepath.Join(dir, "fluffycloud"), err
}

// Command returns the fluffycloud command.
func Command(version string) *cobra.Command {
	c := &cli{version: version}
	cmd := &cobra.Command{
		Use:           subcommand,
		Short:         "FluffyCloud, a small real cloud on this machine",
		Long:          "FluffyCloud is a small real cloud on this machine: an HTTP API on loopback and machines one can SSH into.\nIt needs no account. The provider starts it on first use.",
		Args:          cobra.NoArgs,
		RunE:          help,
		SilenceErrors: true, SilenceUsage: true,
	}
	cmd.PersistentFlags().StringVar(&c.stateDir, "state-dir", "", "the provider's state folder (default $SKY_STATE_DIR, else ~/.terraform-provider-sky)")
	cmd.AddCommand(c.serveCommand(), c.statusCommand(), c.stopCommand(), c.faultsCommand(), machineCommand(), sshCommand(), selfCommand())
	return cmd
}

// help is what a command does that only has others: with NoArgs, a misspelt one
// is an error.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func (c *cli) serveCommand() *cobra.Command {
	opts := Options{Version: c.version, Log: os.Stderr}
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the cloud until stopped", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if opts.Dir, err = c.dir(); err != nil {
				return err
			}
			return serve(cmd.Context(), opts, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Listen, "listen", "127.0.0.1:0", "loopback address and port of the API")
	f.DurationVar(&opts.IdleTimeout, "idle-timeout", 30*time.Minute, "exit after that long without a machine and a request; 0 is never")
	f.DurationVar(&opts.BootTime, "boot-time", 0, "how long machines take to boot; 0 is 100 to 300 ms, by machine")
	f.DurationVar(&opts.Retention, "retention", time.Hour, "how long terminated machines stay listed")
	return cmd
}

func serve(ctx context.Context, opts Options, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv, err := startOrFind(ctx, opts)
	if locked := (*LockedError)(nil); errors.As(err, &locked) {
		_, err = fmt.Fprintln(out, locked)
		return err
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "FluffyCloud serves %s; its state is in %s\n", srv.URL(), srv.opts.Dir)
	select {
	case <-ctx.Done():
	case <-srv.Done():
	}
	return srv.Close()
}

// startOrFind starts a server, or returns the *LockedError of one that answers.
// One that holds the lock and does not answer is just coming up, or dying: it
// gets some seconds to do either.
func startOrFind(ctx context.Context, opts Options) (*Server, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		srv, err := Start(ctx, opts)
		locked := (*LockedError)(nil)
		if !errors.As(err, &locked) {
			return srv, err
		}
		c, errFind := connect(ctx, opts.Dir)
		if errFind == nil {
			locked.URL = c.url
			return nil, locked
		}
		if older := (*olderServerError)(nil); errors.As(errFind, &older) {
			return nil, older
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("process %d holds the lock of %s and does not answer", locked.PID, opts.Dir)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func machineCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "machine", Short: "Be a machine", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return guest.Run(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the machine's folder")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

func sshCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ssh-client", Short: "Reach another machine", Hidden: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			code := sshclient.Run(cmd.Context(), args, sshclient.IO{
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Home: os.Getenv("HOME"), User: guest.User,
			})
			if code != 0 {
				return &exitError{code}
			}
			return nil
		},
	}
}

func selfCommand() *cobra.Command {
	return &cobra.Command{
		Use: "self stop|terminate|reboot|sessions", Short: "Stop, terminate or restart the machine this runs on, or list who is logged in", Hidden: true,
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"stop", "terminate", "reboot", "sessions"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return guest.Self(cmd.Context(), args[0], os.Getenv, cmd.OutOrStdout())
		},
	}
}
