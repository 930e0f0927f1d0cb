// SPDX-License-Identifier: MPL-2.0

package cost

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// DefaultWindow is the window of a report where nothing is said of it.
const DefaultWindow = 30 * 24 * time.Hour

// flags are those of the cost command.
type flags struct {
	stateDir, owner string
	states          []string
	window          time.Duration
	json            bool
}

// Command returns the command "cost". open makes what looks over a state folder, for
// an owner id; empty strings are the defaults.
func Command(open func(stateDir, owner string) (teardown.Teardown, error)) *cobra.Command {
	fl := flags{window: DefaultWindow}
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Estimate what clusters have cost, by cluster and in all",
		Long: `Sums up the hours of machines and their price at launch, since launch and in a
window before now: of the clusters that live on the enabled clouds under this
owner id, and of those that are gone, as long as the journals of the state
folder know them. ` + "\n\n" + Estimate + `

Clusters that were launched from another computer have a price where a state
given with --state holds them.`,
		Example: `  terraform-provider-sky cost
  terraform state pull | terraform-provider-sky cost --state - --window 168h --json`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fl.window <= 0 {
				return fmt.Errorf("--window %s: write how far back it reaches, such as 720h", fl.window)
			}
			down, err := open(fl.stateDir, fl.owner)
			if err != nil {
				return err
			}
			return fl.run(cmd, Ledger{Down: down})
		},
	}
	f := cmd.Flags()
	f.StringVar(&fl.stateDir, "state-dir", "", "the provider's `folder` of journals and keys (default: SKY_STATE_DIR, else ~/.terraform-provider-sky)")
	f.StringVar(&fl.owner, "owner", "", "the owner `id` on the machines (default: the one of the state folder)")
	f.StringArrayVar(&fl.states, "state", nil, "a `file` with the output of \"terraform state pull\", or - for standard input; may be given several times")
	f.DurationVar(&fl.window, "window", fl.window, "how far back the window reaches")
	f.BoolVar(&fl.json, "json", false, "print JSON instead of a table")
	return cmd
}

// run makes the report and prints it.
func (fl flags) run(cmd *cobra.Command, l Ledger) error {
	for _, path := range fl.states {
		state, err := gc.ReadStateFile(path, cmd.InOrStdin())
		if err != nil {
			return err
		}
		for _, held := range state.Clusters {
			l.Held = append(l.Held, held.Record)
		}
	}
	r, err := l.Report(cmd.Context(), fl.window)
	if err != nil {
		return err
	}
	if fl.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return r.Print(cmd.OutOrStdout())
}

// Print writes the report as a table.
func (r Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("CLUSTER", "PLACE", "MACHINES", "MARKET", "LAUNCHED", "ENDED", "NOW $/h", "HOURS", "COST $", "IN WINDOW $", "REMARK")
	for _, c := range r.Clusters {
		line(c.Cluster, cloud.ShortPlace(c.Cloud, c.Region, ""), fmt.Sprintf("%d x %s", c.Running, c.InstanceType), string(c.Market), stamp(c.LaunchedAt), stamp(c.EndedAt),
			usd(c.HourlyUSD, c.Priced), fmt.Sprintf("%.2f", c.Total.Hours), usd(c.Total.USD, c.Priced), usd(c.Window.USD, c.Priced), cmp.Or(cluster.OneLine(c.Remark), "-"))
	}
	for _, m := range slices.Sorted(maps.Keys(r.All.Markets)) {
		line("all "+string(m), "", "", "", "", "", "", fmt.Sprintf("%.2f", r.All.Markets[m].Hours), usd(r.All.Markets[m].USD, true), "", "")
	}
	line("all", "", "", "", "", "", usd(r.All.HourlyUSD, true), fmt.Sprintf("%.2f", r.All.Total.Hours), usd(r.All.Total.USD, true), usd(r.All.Window.USD, true), unpriced(r.All.Total))
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Unasked)) {
		_, _ = fmt.Fprintf(out, "\n%s could not be asked: %s\n", name, cluster.OneLine(r.Unasked[name]))
	}
	_, err := fmt.Fprintf(out, "\nThe window begins at %s. %s\n", r.Since.Format(time.RFC3339), r.Note)
	return err
}

func unpriced(s Sum) string {
	if s.Unpriced == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f hours have no known price and are not in the cost", s.Unpriced)
}

func usd(v float64, known bool) string {
	if !known {
		return "?"
	}
	return fmt.Sprintf("%.2f", v)
}

func stamp(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
