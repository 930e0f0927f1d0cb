// SPDX-License-Identifier: MPL-2.0

// Package cli is the commands with which people look after catalogs.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
	"github.com/skybroker/terraform-provider-sky/internal/statefolder"
)

// cli holds the flags that all catalog commands share.
type cli struct {
	opts  catalog.Options
	json  bool
	tools Options
}

// Options are what the commands need from outside of this package.
type Options struct {
	// Fetchers are the clouds that can be asked for their prices.
	Fetchers map[string]fetch.Fetcher
	// OptIn are clouds whose offers are listed only where they are named.
	OptIn []string
	// Explain says why none of the offers satisfies a requirement.
	Explain func(r cloud.Requirement, offers iter.Seq[*cloud.Offer]) error
}

// Command returns the catalog commands for people.
func Command(tools Options) *cobra.Command {
	c := &cli{tools: tools}
	root := &cobra.Command{
		Use:   "catalog",
		Short: "Show, refresh and check the catalogs of machines and prices",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&c.opts.StateDir, "state-dir", "", "the provider's state `folder` (default: SKY_STATE_DIR, else ~/.terraform-provider-sky)")
	f.StringVar(&c.opts.Path, "path", "", "a folder of your own that holds <cloud>/vms.csv, as catalog.path in the provider block")
	f.StringVar(&c.opts.BaseURL, "base-url", "", "where hosted catalogs lie; the default is SkyPilot's public catalog")
	f.BoolVar(&c.opts.Offline, "offline", false, "never use the network")
	f.BoolVar(&c.json, "json", false, "write JSON, for scripts")
	root.AddCommand(c.listCommand(), c.updateCommand(), c.verifyCommand(), c.fetchCommand())
	return root
}

func (c *cli) open() (*catalog.Set, error) {
	dir, err := statefolder.Resolve(c.opts.StateDir, os.Getenv)
	if err != nil {
		return nil, err
	}
	c.opts.StateDir = dir
	c.opts.Path = localfile.ExpandHome(c.opts.Path)
	if c.opts.Path != "" {
		if _, err := os.Stat(c.opts.Path); err != nil {
			return nil, fmt.Errorf("--path: %w", err)
		}
	}
	return catalog.Open(c.opts)
}

// search holds the flags that turn the list of catalogs into one of offers.
type search struct {
	accelerators, cpus, memory, infra, market string
	max                                       float64
	limit                                     int
}

func (c *cli) listCommand() *cobra.Command {
	var s search
	cmd := &cobra.Command{
		Use:   "list [cloud...]",
		Short: "List the catalogs in use, or with a filter the cheapest offers",
		Example: `  terraform-provider-sky catalog list
  terraform-provider-sky catalog list --accelerators A100:8 --market any
  terraform-provider-sky catalog list aws gcp --cpus 8+ --memory 4x --json`,
		RunE: func(cmd *cobra.Command, clouds []string) error {
			set, err := c.open()
			if err != nil {
				return err
			}
			if len(clouds) == 0 {
				clouds = nil
			}
			if cmd.Flags().Changed("max-hourly-cost") && s.max <= 0 {
				return fmt.Errorf("--max-hourly-cost %v: write US dollars an hour, above zero, such as 2.5", s.max)
			}
			if s.limit < 1 {
				return fmt.Errorf("--limit %d: write a number of offers from 1 on", s.limit)
			}
			if cmd.Flags().NFlag() > 0 && s.given() {
				return c.listOffers(cmd, set, clouds, s)
			}
			return c.listCatalogs(cmd, set, clouds)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.accelerators, "accelerators", "", `devices, such as "A100:8"`)
	f.StringVar(&s.cpus, "cpus", "", `vCPUs, such as "8" or "8+"`)
	f.StringVar(&s.memory, "memory", "", `GiB, such as "32", "32+" or "4x"`)
	f.StringVar(&s.infra, "infra", "", `place, such as "aws/us-east-1"`)
	f.StringVar(&s.market, "market", "", "on_demand, spot or any")
	f.Float64Var(&s.max, "max-hourly-cost", 0, "US dollars an hour for one machine")
	f.IntVar(&s.limit, "limit", 20, "how many offers to show")
	return cmd
}

func (s *search) given() bool {
	return s.accelerators+s.cpus+s.memory+s.infra+s.market != "" || s.max > 0
}

// requirement reads the flags.
func (s *search) requirement() (r cloud.Requirement, err error) {
	if s.accelerators != "" {
		r.Accelerators, err = cloud.ParseAccelerators(strings.Split(s.accelerators, ",")...)
	}
	if s.cpus != "" && err == nil {
		r.CPUs, err = cloud.ParseCPUs(s.cpus)
	}
	if s.memory != "" && err == nil {
		r.Memory, err = cloud.ParseMemory(s.memory)
	}
	if s.infra != "" && err == nil {
		var at cloud.Infra
		at, err = cloud.ParseInfra(s.infra)
		r.Cloud, r.Region, r.Zone = at.Cloud, at.Region, at.Zone
	}
	if s.market != "" && err == nil {
		r.Markets, _, err = cloud.ParseMarket(s.market)
	}
	r.MaxHourlyUSD = s.max
	return r, err
}

func (c *cli) listOffers(cmd *cobra.Command, set *catalog.Set, clouds []string, s search) error {
	r, err := s.requirement()
	if err != nil {
		return err
	}
	if clouds == nil {
		if clouds, err = c.unasked(set, r.Cloud); err != nil {
			return err
		}
	}
	reqs := []cloud.Requirement{r}
	offers, _, err := set.Cheapest(cmd.Context(), reqs, clouds, s.limit)
	if err == nil && len(offers) == 0 && !c.json {
		err = c.explain(cmd.Context(), set, r, clouds)
	}
	if err != nil {
		return err
	}
	if c.json {
		return writeJSON(cmd.OutOrStdout(), offersJSON(offers))
	}
	rows := [][]string{{"INFRA", "INSTANCE", "vCPUs", "Mem(GB)", "GPUS", "MARKET", "COST ($/h)"}}
	for _, o := range offers {
		t := o.InstanceType
		rows = append(rows, []string{o.Place(), t.Name, fmt.Sprint(t.VCPUs), fmt.Sprint(t.MemoryGiB),
			cmp.Or(t.Accelerator.String(), "-"), string(o.Market), dollars(o.HourlyUSD)})
	}
	return writeTable(cmd.OutOrStdout(), rows)
}

// unasked are the clouds to look at where none is named: all but those that
// must be. The one that a place names is.
func (c *cli) unasked(set *catalog.Set, named string) ([]string, error) {
	all, err := set.Clouds()
	return slices.DeleteFunc(all, func(name string) bool { return name != named && slices.Contains(c.tools.OptIn, name) }), err
}

func (c *cli) explain(ctx context.Context, set *catalog.Set, r cloud.Requirement, clouds []string) error {
	_, err := set.Over(ctx, []cloud.Requirement{r}, clouds, func(offers iter.Seq[*cloud.Offer]) error {
		if c.tools.Explain == nil {
			return nil
		}
		return c.tools.Explain(r, offers)
	})
	return cmp.Or(err, errors.New("no offer fits"))
}

// dollars writes a price with two to six decimals.
func dollars(usd float64) string {
	s := strings.TrimRight(strconv.FormatFloat(usd, 'f', 6, 64), "0")
	if after := len(s) - strings.IndexByte(s, '.') - 1; after < 2 {
		s += "00"[after:]
	}
	return s
}

// offerJSON is an offer by the names that sky_catalog_offer has.
type offerJSON struct {
	Cloud        string  `json:"cloud"`
	Region       string  `json:"region"`
	Zone         string  `json:"zone"`
	InstanceType string  `json:"instance_type"`
	Market       string  `json:"market"`
	HourlyCost   float64 `json:"hourly_cost"`
	VCPUs        float64 `json:"vcpus"`
	MemoryGiB    float64 `json:"memory_gib"`
	Accelerator  string  `json:"accelerator_name"`
	Count        float64 `json:"accelerator_count"`
	DeviceGiB    float64 `json:"accelerator_memory_gib"`
	Arch         string  `json:"arch"`
}

func offersJSON(offers []cloud.Offer) []offerJSON {
	out := make([]offerJSON, len(offers))
	for i, o := range offers {
		t := o.InstanceType
		out[i] = offerJSON{o.Cloud, o.Region, o.Zone, t.Name, string(o.Market), o.HourlyUSD, t.VCPUs, t.MemoryGiB,
			t.Accelerator.Name, t.Accelerator.Count, t.AcceleratorMemoryGiB, t.Arch}
	}
	return out
}

// listing is the JSON form of the list of catalogs.
type listing struct {
	Version  string           `json:"version"`
	Catalogs []catalog.Source `json:"catalogs"`
}

func (c *cli) listCatalogs(cmd *cobra.Command, set *catalog.Set, clouds []string) error {
	sources, err := set.Sources(cmd.Context(), clouds)
	if err != nil {
		return err
	}
	version, err := set.Version(cmd.Context())
	if err != nil {
		return err
	}
	if c.json {
		return writeJSON(cmd.OutOrStdout(), listing{version, sources})
	}
	rows := [][]string{{"CLOUD", "SOURCE", "DATE", "AGE", "OFFERS", "SHA256", "PATH"}}
	for _, s := range sources {
		date, old := "unknown", "unknown"
		if !s.Date.IsZero() {
			date, old = strings.TrimSuffix(s.Date.Format("2006-01-02 15:04"), " 00:00"), catalog.Age(time.Since(s.Date))
		}
		rows = append(rows, []string{s.Cloud, string(s.Kind), date, old, fmt.Sprint(s.Offers), s.SHA256[:12], s.Path})
	}
	if err := writeTable(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	for _, s := range sources {
		for _, w := range s.Warnings {
			cmd.PrintErrln("Warning:", w)
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "\nVersion of all catalogs together, to pin with catalog.version: %s\n", version[:16])
	return err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

func writeTable(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(r, "\t")); err != nil {
			return fmt.Errorf("writing a table: %w", err)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing a table: %w", err)
	}
	return nil
}
