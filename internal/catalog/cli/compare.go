// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// comparison is what a machine costs where.
type comparison struct {
	Asked string      `json:"asked"`
	Date  string      `json:"catalogs_of"`
	Rows  []offerJSON `json:"offers"`
	// More are the places beyond the rows.
	More int `json:"more"`
}

func (c *cli) compareCommand() *cobra.Command {
	s := search{market: "any", limit: 20}
	var svg, page string
	cmd := &cobra.Command{
		Use:   "compare ACCELERATORS [cloud...]",
		Short: "Show what a machine costs by cloud, region and market, with bars, or as a picture",
		Long: `Shows the cheapest machine that has what is asked for in every cloud, region and
market, the cheapest first, with bars from zero. --svg and --html write the same
as a picture for a pull request and as a page, which follow the reader's light
or dark mode and load nothing.`,
		Example: `  terraform-provider-sky catalog compare H100:8
  terraform-provider-sky catalog compare A100:8 aws gcp --market on_demand --svg a100.svg`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := c.open()
			if err != nil {
				return err
			}
			if s.limit < 1 {
				return fmt.Errorf("--limit %d: write a number of places from 1 on", s.limit)
			}
			s.accelerators = args[0]
			found, err := c.compare(cmd.Context(), set, s, args[1:])
			if err != nil {
				return err
			}
			return found.write(cmd, c.json, svg, page)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.infra, "infra", "", `place, such as "aws" or "*/us-east-1"`)
	f.StringVar(&s.market, "market", s.market, "on_demand, spot or any")
	f.Float64Var(&s.max, "max-hourly-cost", 0, "US dollars an hour for one machine")
	f.IntVar(&s.limit, "limit", s.limit, "how many places to show")
	f.StringVar(&svg, "svg", "", "also write the comparison as a picture into this `file`")
	f.StringVar(&page, "html", "", "also write the comparison as a page into this `file`")
	return cmd
}

// compare finds the cheapest offer of every cloud, region and market.
func (c *cli) compare(ctx context.Context, set *catalog.Set, s search, clouds []string) (comparison, error) {
	r, err := s.requirement()
	if err == nil && len(clouds) == 0 {
		clouds, err = c.unasked(set, r.Cloud)
	}
	if err != nil {
		return comparison{}, err
	}
	best := map[[3]string]cloud.Offer{}
	asked := []cloud.Requirement{r}
	one, _, err := set.Cheapest(ctx, asked, clouds, 1)
	if err == nil && len(one) == 0 {
		err = c.explain(ctx, set, r, clouds)
	}
	if err != nil {
		return comparison{}, err
	}
	sources, err := set.Over(ctx, asked, clouds, func(offers iter.Seq[*cloud.Offer]) error {
		clear(best)
		for o := range offers {
			if s.max > 0 && o.HourlyUSD > s.max {
				continue
			}
			place := [3]string{o.Cloud, o.Region, string(o.Market)}
			if have, ok := best[place]; !ok || cloud.CompareOffers(o, &have) < 0 {
				best[place] = *o
			}
		}
		return nil
	})
	if err != nil {
		return comparison{}, err
	}
	var rows []cloud.Offer
	for _, o := range best {
		rows = append(rows, o)
	}
	slices.SortFunc(rows, func(x, y cloud.Offer) int { return cloud.CompareOffers(&x, &y) })
	shown := rows[:min(len(rows), s.limit)]
	return comparison{Asked: s.accelerators, Date: dates(sources), Rows: offersJSON(shown), More: len(rows) - len(shown)}, nil
}

// dates says how old the catalogs are.
func dates(sources []catalog.Source) string {
	var first, last time.Time
	for _, s := range sources {
		if !s.Date.IsZero() && (first.IsZero() || s.Date.Before(first)) {
			first = s.Date
		}
		if s.Date.After(last) {
			last = s.Date
		}
	}
	switch from, to := first.UTC().Format(time.DateOnly), last.UTC().Format(time.DateOnly); {
	case first.IsZero():
		return "an unknown date"
	case from == to:
		return to
	default:
		return from + " to " + to
	}
}

// write prints the comparison, and writes the files that are asked for.
func (m comparison) write(cmd *cobra.Command, asJSON bool, svg, page string) error {
	for path, text := range map[string]string{svg: m.svg(), page: m.page()} {
		if path == "" {
			continue
		}
		if err := durable.ReplaceCached(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		cmd.PrintErrln("written:", path)
	}
	if asJSON {
		return writeJSON(cmd.OutOrStdout(), m)
	}
	rows := [][]string{{"CLOUD", "REGION", "INSTANCE", "MARKET", "$/h", "$/h EACH", ""}}
	most := m.most()
	for _, o := range m.Rows {
		rows = append(rows, []string{o.Cloud, o.Region, o.InstanceType, o.Market, price(o.HourlyCost), each(o), textBar(o.HourlyCost / most)})
	}
	if err := writeTable(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", m.foot())
	return err
}

// most is the highest price, which has the longest bar.
func (m comparison) most() float64 {
	most := math.SmallestNonzeroFloat64
	for _, o := range m.Rows {
		most = max(most, o.HourlyCost)
	}
	return most
}

// foot says what the prices are of.
func (m comparison) foot() string {
	text := "Prices of one machine in US dollars an hour, from catalogs of " + m.Date + "."
	if m.More > 0 {
		text += fmt.Sprintf(" %d dearer places are not shown.", m.More)
	}
	return text
}

// price is a price to compare, in cents where it is more than a few.
func price(usd float64) string {
	if usd < 0.1 {
		return dollars(usd)
	}
	return fmt.Sprintf("%.2f", usd)
}

// each is the price of one accelerator.
func each(o offerJSON) string {
	if o.Count <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", o.HourlyCost/o.Count)
}

// barCells is the length of the longest bar, in characters.
const barCells = 30

// textBar is a bar in eighths of a character.
func textBar(share float64) string {
	eighths := int(math.Round(share * barCells * 8))
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return bar
}
