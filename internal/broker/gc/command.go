// SPDX-License-Identifier: MPL-2.0

package gc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// gcFlags are the flags of the gc command.
type gcFlags struct {
	stateDir, owner string
	takeOver        string
	states, ids     []string
	delete, json    bool
}

// Command returns the command "gc". open makes a collector over a state folder,
// for an owner id; empty strings are the defaults.
func Command(open func(stateDir, owner string) (Collector, error)) *cobra.Command {
	var flags gcFlags
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Report, and on request remove, machines that nothing holds",
		Long: `Compares what the enabled clouds hold under this owner id with the journals of
the state folder and with the Terraform states given, and prints what they
disagree on. Nothing is changed without --delete or --delete-id, which look a
second time before they remove anything. What other owners have in the account
is listed with their id, and never touched.

--delete removes machines of launches that were cut off, and records, keys,
firewall rules and groups without machines. A complete cluster's machine is removed only by naming it with
--delete-id, and only when none of the states given with --state holds it; give
every state that uses this owner id.

--take-over removes machines that were never committed, of a launch from
elsewhere that may still go on, so that the name is free at once. A launch that
does go on loses its machines.`,
		Example: `  terraform state pull > a.json
  terraform-provider-sky gc --state a.json
  terraform-provider-sky gc --delete`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			gc, err := open(flags.stateDir, flags.owner)
			if err != nil {
				return err
			}
			return runGC(cmd, gc, flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.stateDir, "state-dir", "", "the provider's `folder` of journals and keys (default: SKY_STATE_DIR, else ~/.terraform-provider-sky)")
	f.StringVar(&flags.owner, "owner", "", "the owner `id` on the machines (default: the one of the state folder)")
	f.StringArrayVar(&flags.states, "state", nil, "a `file` with the output of \"terraform state pull\", or - for standard input; may be given several times")
	f.BoolVar(&flags.delete, "delete", false, "remove what the report calls deletable, after a second look")
	f.StringArrayVar(&flags.ids, "delete-id", nil, "remove this machine of a complete cluster that no given state holds, by its `id`; may be given several times")
	f.StringVar(&flags.takeOver, "take-over", "", "remove the machines of a launch of this `cluster`, or cluster/generation, that was never finished and is in the way of another; not while it goes on")
	f.BoolVar(&flags.json, "json", false, "print JSON instead of a table")
	return cmd
}

func runGC(cmd *cobra.Command, gc Collector, flags gcFlags) error {
	opts := Options{Delete: flags.delete, DeleteIDs: flags.ids, TakeOver: flags.takeOver}
	for _, path := range flags.states {
		state, err := readStateFile(localfile.ExpandHome(path), cmd.InOrStdin())
		if err != nil {
			return err
		}
		opts.States = append(opts.States, state)
	}
	report, err := gc.Collect(cmd.Context(), opts)
	if err != nil {
		return err
	}
	if flags.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.Print(cmd.OutOrStdout(), gc.Down.Now())
	}
	return errors.Join(err, report.Failure())
}

func readStateFile(path string, stdin io.Reader) (State, error) {
	if path == "-" {
		return ReadState("standard input", stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return State{}, err
	}
	state, err := ReadState(path, f)
	return state, errors.Join(err, f.Close())
}

// Failure is the error of a report that is not whole or whose removals failed.
func (r Report) Failure() error {
	failed := 0
	for _, f := range r.Findings {
		if f.Error != "" {
			failed++
		}
	}
	blind := r.Incomplete()
	switch {
	case failed > 0 && len(blind) > 0:
		return fmt.Errorf("%d removals failed, and these clouds could not be asked: %s", failed, strings.Join(blind, ", "))
	case failed > 0:
		return fmt.Errorf("%d removals failed", failed)
	case len(blind) > 0:
		return fmt.Errorf("the report is not whole: these clouds could not be asked: %s", strings.Join(blind, ", "))
	}
	return nil
}

// Print writes the report as a table. Ages are as of now.
func (r Report) Print(out io.Writer, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("CLOUD", "ACCOUNT", "MACHINES", "REMARK")
	for _, c := range r.Clouds {
		if c.Error != "" {
			line(c.Name, "-", "?", cluster.OneLine(c.Error))
			continue
		}
		line(c.Name, c.Account, fmt.Sprint(c.Machines), cluster.OneLine(c.Remark))
	}
	if len(r.Findings) > 0 {
		line()
		line("CLUSTER", "WHAT", "PLACE", "STATE", "AGE", "VERDICT", "ACTION", "WHY")
	}
	deletable, deleted := 0, 0
	for _, f := range r.Findings {
		line(dash(f.Cluster), f.what(), f.place(), dash(string(f.State)), f.age(now), f.Verdict, f.action(), cluster.OneLine(f.Why+f.trouble()))
		if f.Deletable && !f.Deleted {
			deletable++
		}
		if f.Deleted {
			deleted++
		}
	}
	line()
	line(fmt.Sprintf("owner %s: %d findings, %d deletable, %d deleted", r.Owner, len(r.Findings), deletable, deleted))
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (f Finding) what() string {
	switch f.Kind {
	case FindingMachine:
		return f.ID
	case FindingThing:
		return string(f.Thing) + " " + f.ID
	case FindingJournal, FindingKeys:
	}
	return string(f.Kind) + " " + f.Generation
}

func (f Finding) place() string {
	if f.Kind != FindingMachine && f.Kind != FindingThing {
		return f.Path
	}
	place := f.Cloud
	if f.Region != "" {
		place += "/" + f.Region
	}
	if f.Zone != "" {
		place += "/" + f.Zone
	}
	return place
}

func (f Finding) age(now time.Time) string {
	if f.CreatedAt == nil {
		return "-"
	}
	return now.Sub(*f.CreatedAt).Round(time.Second).String()
}

func (f Finding) action() string {
	switch {
	case f.Deleted:
		return "deleted"
	case f.Error != "":
		return "FAILED"
	case f.Deletable:
		return "delete"
	}
	return "keep"
}

func (f Finding) trouble() string {
	if f.Error == "" {
		return ""
	}
	return ": " + f.Error
}
