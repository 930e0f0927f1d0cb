// SPDX-License-Identifier: MPL-2.0

package status

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// flags are those of the status command.
type flags struct {
	stateDir, owner string
	states          []string
	watch, json     bool
	every           time.Duration
}

// Command returns the command "status". open makes what looks over a state folder, for
// an owner id; empty strings are the defaults.
func Command(open func(stateDir, owner string) (Viewer, error)) *cobra.Command {
	var fl flags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show clusters, what runs on them, what they cost, and what is under way",
		Long: `Shows the clusters that live on the enabled clouds under this owner id: their
nodes, jobs that have not ended, what they cost an hour at launch prices, how
long they have been idle (with autostop, whose watchdog counts it), and gc's
verdict; operations under way on this computer with their phase and percentage;
and what else gc finds. Nothing is changed.`,
		Example: `  terraform-provider-sky status --watch
  terraform-provider-sky status --json | jq '.clusters[] | select(.status == "UP")'`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fl.every < time.Second {
				return fmt.Errorf("--every %s: write a second or more, such as 5s", fl.every)
			}
			v, err := open(fl.stateDir, fl.owner)
			if err != nil {
				return err
			}
			var states []gc.State
			for _, path := range fl.states {
				state, err := gc.ReadStateFile(path, cmd.InOrStdin())
				if err != nil {
					return err
				}
				states = append(states, state)
			}
			return v.run(cmd.Context(), cmd.OutOrStdout(), fl, states)
		},
	}
	f := cmd.Flags()
	f.StringVar(&fl.stateDir, "state-dir", "", "the provider's `folder` of journals and keys (default: SKY_STATE_DIR, else ~/.terraform-provider-sky)")
	f.StringVar(&fl.owner, "owner", "", "the owner `id` on the machines (default: the one of the state folder)")
	f.StringArrayVar(&fl.states, "state", nil, "a `file` with the output of \"terraform state pull\", or - for standard input; may be given several times")
	f.BoolVarP(&fl.watch, "watch", "w", false, "look again and again, until it is interrupted")
	f.DurationVar(&fl.every, "every", 5*time.Second, "how long --watch waits between two looks")
	f.BoolVar(&fl.json, "json", false, "print JSON instead of a table; with --watch one object a line")
	return cmd
}

// newScreen goes to the top left corner of an empty screen.
const newScreen = "\x1b[H\x1b[2J"

// run looks once or, to watch, until the context ends.
func (v Viewer) run(ctx context.Context, out io.Writer, fl flags, states []gc.State) error {
	for {
		r, err := v.Look(ctx, states)
		if err != nil {
			return err
		}
		switch {
		case fl.json:
			enc := json.NewEncoder(out)
			if !fl.watch {
				enc.SetIndent("", "  ")
			}
			err = enc.Encode(r)
		default:
			text := r.text()
			if fl.watch {
				text = newScreen + text + fmt.Sprintf("\nLooked at %s, again in %s. Ctrl-C ends this.\n", r.At.Format(time.TimeOnly), fl.every)
			}
			_, err = io.WriteString(out, text) // at once, so that nothing flickers
		}
		if err != nil || !fl.watch {
			return err
		}
		_ = retry.Pause(ctx, fl.every)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that it is interrupted is how it is asked to end
		}
	}
}

// text is the report as tables.
func (r Report) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	if len(r.Underway) > 0 {
		line("UNDER WAY", "PROGRESS", "", "WAITING FOR", "DONE", "BY")
		for _, u := range r.Underway {
			line(u.Cluster, cmp.Or(u.Progress, "-"), bar(u.Progress), cmp.Or(u.Waiting, "-"), cmp.Or(u.Done, "-"), cluster.OneLine(u.By))
		}
		_ = w.Flush()
		for _, u := range r.Underway {
			_, _ = fmt.Fprintf(&b, "  tail -F %s\n", u.Log)
		}
		b.WriteString("\n")
	}
	line("CLUSTER", "STATUS", "NODES", "PLACE", "MARKET", "$/h", "JOBS", "IDLE", "GC", "REMARK")
	total := 0.0
	for _, c := range r.Clusters {
		line(c.Cluster, string(c.Status), c.nodes(), cloud.ShortPlace(c.Cloud, c.Region, c.Zone), string(c.Market), c.cost(), c.jobs(), c.idle(), cmp.Or(c.Verdict, "-"), c.remark())
		if c.HourlyUSD != nil {
			total += *c.HourlyUSD
		}
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(&b, "\n%d clusters of owner %s, %.2f $/h at launch prices\n", len(r.Clusters), r.Owner, total)
	for _, c := range r.Clouds {
		if c.Error != "" && c.Needed || c.Remark != "" {
			_, _ = fmt.Fprintf(&b, "%s: %s\n", c.Name, cluster.OneLine(cmp.Or(c.Error, c.Remark)))
		}
	}
	deletable := 0
	for _, f := range r.Others {
		if f.Deletable {
			deletable++
		}
	}
	if len(r.Others) > 0 {
		_, _ = fmt.Fprintf(&b, "gc finds %d other things, %d of them to be removed: terraform-provider-sky gc\n", len(r.Others), deletable)
	}
	return b.String()
}

// barWidth is that of a whole bar, in characters.
const barWidth = 20

// bar draws a percentage.
func bar(progress string) string {
	var percent int
	if _, err := fmt.Sscanf(progress, "%d%%", &percent); err != nil {
		return ""
	}
	full := min(max(percent, 0), 100) * barWidth / 100
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

func (c Row) nodes() string {
	running := 0
	for _, n := range c.Nodes {
		if n.State == cloud.StateRunning {
			running++
		}
	}
	return fmt.Sprintf("%d/%d %s", running, len(c.Nodes), cmp.Or(c.Accelerators, c.InstanceType))
}

func (c Row) cost() string {
	if c.HourlyUSD == nil {
		return "?"
	}
	return fmt.Sprintf("%.2f", *c.HourlyUSD)
}

func (c Row) jobs() string {
	if c.Unasked != "" {
		return "-"
	}
	return fmt.Sprint(len(c.Jobs))
}

func (c Row) idle() string {
	switch {
	case c.IdleSeconds == nil:
		return "-"
	case *c.IdleSeconds < 60:
		return "busy"
	}
	return (time.Duration(*c.IdleSeconds) * time.Second).Round(time.Minute).String()
}

func (c Row) remark() string {
	if c.Reason == "" && c.Unasked != "" && c.Status != cluster.StatusStopped {
		return "not asked: " + c.Unasked
	}
	return cmp.Or(cluster.OneLine(c.Reason), "-")
}
