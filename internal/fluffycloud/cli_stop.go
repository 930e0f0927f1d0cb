// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
)

// stopTimeout bounds the wait for a server that was asked to stop.
const stopTimeout = 30 * time.Second

func (c *cli) stopCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "stop", Short: "Stop the cloud's server", Args: cobra.NoArgs,
		Long: "Stop the cloud's server. It refuses while machines exist, unless --force terminates them first.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.dir()
			if err != nil {
				return err
			}
			return stop(cmd.Context(), dir, force, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "terminate all machines first")
	return cmd
}

func stop(ctx context.Context, dir string, force bool, out io.Writer) error {
	v, err := readInventory(ctx, dir)
	if err != nil {
		return err
	}
	live := 0
	for _, i := range v.Instances {
		if !i.State.gone() {
			live++
		}
	}
	switch {
	case live > 0 && !force:
		return fmt.Errorf("%s left; destroy with Terraform, or terminate all with --force", machines(live))
	case !v.Running && live == 0:
		_, err = fmt.Fprintln(out, "No FluffyCloud server is running.")
		return err
	case !v.Running:
		err = destroyOffline(ctx, dir)
	default:
		err = stopServer(ctx, dir, force)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "FluffyCloud is stopped; terminated: %s.\n", machines(live))
	return err
}

// machines counts machines in words.
func machines(n int) string {
	if n == 1 {
		return "1 machine"
	}
	return fmt.Sprintf("%d machines", n)
}

// destroyOffline ends the machines that a dead server left.
func destroyOffline(ctx context.Context, dir string) error {
	srv, err := Start(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	return srv.Destroy(ctx)
}

func stopServer(ctx context.Context, dir string, force bool) error {
	c, err := connect(ctx, dir)
	if err != nil {
		return err
	}
	if force {
		if err := c.call(ctx, http.MethodPost, "/v1/terminate-all", nil, nil); err != nil {
			return err
		}
	}
	if err := c.call(ctx, http.MethodPost, "/v1/shutdown", nil, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	lock := flock.New(lockFile(dir), flock.SetPermissions(0o600))
	if got, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil || !got {
		return fmt.Errorf("the server did not end within %s: %w", stopTimeout, err)
	}
	return lock.Unlock()
}

// terminateEverything is for `stop --force`.
func (s *Server) terminateEverything(ctx context.Context, _ *call) (reply, error) {
	return reply{http.StatusOK, map[string]string{"status": "terminated"}}, s.terminateAll(ctx)
}

func (c *cli) faultsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "faults", Short: "Make the cloud fail, for tests", Args: cobra.NoArgs, RunE: help}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the faults", Args: cobra.NoArgs,
			RunE: c.withServer(listFaults),
		},
		&cobra.Command{
			Use: "add FILE", Short: "Add a fault from a JSON file, - for standard input", Args: cobra.ExactArgs(1),
			Long: "Add a fault from a JSON file, - for standard input, for example:\n" +
				`  {"op": "launch", "match": {"zone": "meadow-1a"}, "times": 1, "effect": {"error": {"code": "insufficient_capacity"}}}`,
			RunE: c.withServer(addFault),
		},
		&cobra.Command{
			Use: "clear [ID]", Short: "Remove one fault, or all", Args: cobra.MaximumNArgs(1),
			RunE: c.withServer(clearFaults),
		},
	)
	return cmd
}

type serverFunc func(cmd *cobra.Command, c *client, args []string) error

// withServer runs f with the folder's server, which must be running.
func (c *cli) withServer(f serverFunc) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		dir, err := c.dir()
		if err != nil {
			return err
		}
		cl, err := connect(cmd.Context(), dir)
		if errors.Is(err, errNoServer) {
			return fmt.Errorf("%w for %s; start it with: fluffycloud serve", err, dir)
		}
		if err != nil {
			return err
		}
		return f(cmd, cl, args)
	}
}

func listFaults(cmd *cobra.Command, c *client, _ []string) error {
	var out struct {
		Faults []fault `json:"faults"`
	}
	if err := c.call(cmd.Context(), http.MethodGet, "/v1/faults", nil, &out); err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 2, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FAULT\tOP\tMATCH\tAFTER\tTIMES\tSEEN\tFIRED\tEFFECT")
	for _, f := range out.Faults {
		match, err := json.Marshal(f.Match)
		if err != nil {
			return fmt.Errorf("encode fault: %w", err)
		}
		effect, err := json.Marshal(f.Effect)
		if err != nil {
			return fmt.Errorf("encode fault: %w", err)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", f.ID, f.Op, match, f.After, f.Times, f.Seen, f.Fired, effect)
	}
	return w.Flush()
}

func addFault(cmd *cobra.Command, c *client, args []string) error {
	in := cmd.InOrStdin()
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("read fault: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxBody))
	if err != nil {
		return fmt.Errorf("read fault: %w", err)
	}
	if !json.Valid(data) {
		return fmt.Errorf("%s is not JSON", args[0])
	}
	var out struct {
		Fault fault `json:"fault"`
	}
	if err := c.call(cmd.Context(), http.MethodPost, "/v1/faults", json.RawMessage(data), &out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), out.Fault.ID)
	return err
}

func clearFaults(cmd *cobra.Command, c *client, args []string) error {
	path := "/v1/faults"
	if len(args) == 1 {
		path += "/" + args[0]
	}
	return c.call(cmd.Context(), http.MethodDelete, path, nil, nil)
}
