// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
)

// fetchFlags steer one fetch.
type fetchFlags struct {
	out, endpoint string
	regions       []string
}

func (c *cli) fetchCommand() *cobra.Command {
	var flags fetchFlags
	cmd := &cobra.Command{
		Use:   "fetch <cloud>",
		Short: "Ask a cloud itself for its present prices and keep them as your own catalog",
		Long: "Ask a cloud itself for its present prices, with your own access to it, and keep them as your own\n" +
			"catalog in the state folder; it then wins over the hosted and the built-in one until you delete it.\n\n" +
			"Clouds that can be asked, and the access they take:\n" + c.accesses(),
		Example: `  terraform-provider-sky catalog fetch lambda
  terraform-provider-sky catalog fetch aws --region us-east-1 --region us-west-2
  terraform-provider-sky catalog fetch gcp --out prices/gcp/vms.csv`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name one cloud to ask: %s", strings.Join(c.askable(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.fetch(cmd, args[0], flags) },
	}
	cmd.Flags().StringVar(&flags.out, "out", "", "write the catalog to this file instead")
	cmd.Flags().StringVar(&flags.endpoint, "endpoint", "", "the address of the cloud's API, instead of its own")
	cmd.Flags().StringArrayVar(&flags.regions, "region", nil, "ask about this region only; may be repeated (aws)")
	return cmd
}

// fetchTimeout bounds one answer of a cloud.
const fetchTimeout = 2 * time.Minute

func (c *cli) accesses() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	for _, name := range c.askable() {
		fmt.Fprintf(w, "  %s\t%s\n", name, c.tools.Fetchers[name].Needs)
	}
	_ = w.Flush()
	return b.String()
}

// askable are the names of the clouds that can be asked, sorted.
func (c *cli) askable() []string { return slices.Sorted(maps.Keys(c.tools.Fetchers)) }

func (c *cli) fetch(cmd *cobra.Command, name string, flags fetchFlags) error {
	f, ok := c.tools.Fetchers[name]
	if !ok {
		return fmt.Errorf("%q cannot be asked for prices; these can: %s. For the others there is catalog update", name, strings.Join(c.askable(), ", "))
	}
	set, err := c.open()
	if err != nil {
		return err
	}
	if c.opts.Offline {
		return errors.New("fetching is switched off: offline is set")
	}
	bar := newProgress(cmd.ErrOrStderr(), f.Cloud)
	rows, err := f.Fetch(cmd.Context(), fetch.Options{
		Getenv: os.Getenv, Client: &http.Client{Timeout: fetchTimeout}, Endpoint: flags.endpoint,
		Regions: flags.regions, Progress: bar.steps,
	})
	bar.done()
	if err != nil {
		return fmt.Errorf("fetching the prices of %s: %w", name, err)
	}
	return c.keep(cmd, set, f.Cloud, localfile.ExpandHome(flags.out), rows)
}

// keep writes fetched rows where they read without error.
func (c *cli) keep(cmd *cobra.Command, set *catalog.Set, cloudName, path string, rows []fetch.Row) error {
	text, err := fetch.CSV(rows)
	if err != nil {
		return err
	}
	result, err := set.Keep(cloudName, path, text)
	if err != nil {
		return err
	}
	if c.json {
		return writeJSON(cmd.OutOrStdout(), result)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d rows of %s written to %s\n", result.Rows, cloudName, result.Path)
	return err
}
