// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/fetch"
)

func (c *cli) updateCommand() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "update [cloud...]",
		Short: "Download newer copies of the hosted catalogs",
		Long: `Download newer copies of the hosted catalogs into the state folder. A copy is replaced
whole, and only by a file that reads without error. Files edited by hand are never touched.
Without clouds, all that have a catalog already and are hosted.`,
		RunE: func(cmd *cobra.Command, clouds []string) error {
			set, err := c.open()
			if err != nil {
				return err
			}
			if len(clouds) == 0 {
				known, err := set.Clouds()
				if err != nil {
					return err
				}
				clouds = slices.DeleteFunc(Hosted(), func(n string) bool { return !slices.Contains(known, n) })
			}
			return c.update(cmd, set, clouds, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "ask the host however young the copies are")
	return cmd
}

// update refreshes each cloud and reports all of them, also after an error.
func (c *cli) update(cmd *cobra.Command, set *Set, clouds []string, force bool) error {
	rows := [][]string{{"CLOUD", "OUTCOME", "ROWS", "PATH"}}
	var results []Refreshed
	var errs []error
	for _, name := range clouds {
		bar := newProgress(cmd.ErrOrStderr(), name)
		out, err := set.Refresh(cmd.Context(), name, RefreshOptions{Force: force, Progress: bar.tell})
		bar.done()
		if err != nil {
			errs = append(errs, err)
			rows = append(rows, []string{name, "failed", "", "the copy at hand stays"})
			continue
		}
		results = append(results, out)
		rows = append(rows, []string{name, string(out.Outcome), fmt.Sprint(out.Rows), out.Path})
	}
	var err error
	if c.json {
		err = writeJSON(cmd.OutOrStdout(), results)
	} else {
		err = writeTable(cmd.OutOrStdout(), rows)
	}
	return errors.Join(append(errs, err)...)
}

// progress draws a bar on a terminal, and nothing elsewhere.
type progress struct {
	out   io.Writer
	label string
	drawn time.Time
}

func newProgress(out io.Writer, label string) *progress {
	f, ok := out.(*os.File)
	if !ok {
		return &progress{}
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{out: f, label: label}
}

const barWidth = 30

func (p *progress) tell(done, total int64) {
	if p.out == nil || time.Since(p.drawn) < 50*time.Millisecond {
		return
	}
	p.drawn = time.Now()
	bar := ""
	if total > 0 {
		n := int(barWidth * min(done, total) / total)
		bar = "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "] "
	}
	_, _ = fmt.Fprintf(p.out, "\r%-12s %s%.1f MB", p.label, bar, float64(done)/1e6)
}

func (p *progress) done() {
	if p.out != nil {
		_, _ = fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", barWidth+30))
	}
}

// checked is the JSON form of one verified file.
type checked struct {
	Cloud   string `json:"cloud"`
	Path    string `json:"path"`
	Offers  int    `json:"offers"`
	Images  int    `json:"images"`
	Problem string `json:"problem,omitempty"`
}

func (c *cli) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [cloud | path/<cloud>/vms.csv]...",
		Short: "Read catalogs from their text and say what is wrong, with row and column",
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := c.open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if args, err = set.Clouds(); err != nil {
					return err
				}
			}
			return c.verify(cmd, set, args)
		},
	}
}

func (c *cli) verify(cmd *cobra.Command, set *Set, args []string) error {
	var all []checked
	failed := 0
	for _, arg := range args {
		for _, got := range set.verify(arg) {
			if got.Problem != "" {
				failed++
			}
			all = append(all, got)
		}
	}
	var err error
	if c.json {
		err = writeJSON(cmd.OutOrStdout(), all)
	} else {
		rows := [][]string{{"CLOUD", "OFFERS", "IMAGES", "RESULT", "PATH"}}
		for _, v := range all {
			result := "good"
			if v.Problem != "" {
				result = "BAD"
				cmd.PrintErrln("Error:", v.Problem)
			}
			rows = append(rows, []string{v.Cloud, fmt.Sprint(v.Offers), fmt.Sprint(v.Images), result, v.Path})
		}
		err = writeTable(cmd.OutOrStdout(), rows)
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d catalogs are bad", failed, len(all)))
	}
	return err
}

// verify reads every catalog of a cloud, or one file, without any snapshot.
func (s *Set) verify(arg string) []checked {
	origins := []origin{{cloud: filepath.Base(filepath.Dir(arg)), kind: KindPath, path: arg}}
	if !strings.HasSuffix(arg, ".csv") {
		var err error
		if origins, err = s.origins(arg); err != nil {
			return []checked{{Cloud: arg, Problem: err.Error()}}
		}
	}
	var out []checked
	for _, o := range origins {
		o.snap = ""
		got := checked{Cloud: o.cloud, Path: o.path}
		snap, err := s.remake(o)
		if err == nil {
			got.Offers = snap.offers()
			var images []image
			images, err = (&table{set: s, origin: o}).loadImages()
			got.Images = len(images)
		}
		if err != nil {
			got.Problem = err.Error()
		}
		out = append(out, got)
	}
	return out
}

func (c *cli) fetchCommand() *cobra.Command {
	out, endpoint := "", ""
	cmd := &cobra.Command{
		Use:   "fetch <cloud>",
		Short: "Ask a cloud itself for its present prices and keep them as your own catalog",
		Long: "Ask a cloud itself for its present prices, with your own access to it, and keep them as your own\n" +
			"catalog in the state folder; it then wins over the hosted and the built-in one until you delete it.\n" +
			"Clouds that can be asked: " + strings.Join(fetch.Names(), ", ") + ".",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, ok := fetch.Fetchers()[args[0]]
			if !ok {
				return fmt.Errorf("%q cannot be asked; these can: %s", args[0], strings.Join(fetch.Names(), ", "))
			}
			set, err := c.open()
			if err != nil {
				return err
			}
			if set.opts.Offline {
				return errors.New("fetching is switched off: offline is set")
			}
			if out == "" {
				out = filepath.Join(set.catalogDir(hostedSchema), f.Cloud, "vms.csv")
			}
			rows, err := f.Fetch(cmd.Context(), fetch.Options{
				Getenv: os.Getenv, Client: &http.Client{Timeout: downloadTimeout}, Endpoint: endpoint,
			})
			if err != nil {
				return err
			}
			return c.keep(cmd, f.Cloud, out, rows)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the catalog to this file instead")
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "the address of the cloud's API, instead of its own")
	return cmd
}

// keep writes fetched rows where they read without error.
func (c *cli) keep(cmd *cobra.Command, cloudName, path string, rows []fetch.Row) error {
	text, err := fetch.CSV(rows)
	if err != nil {
		return err
	}
	if _, err := parseVMs("the answer of "+cloudName, cloudName, text); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := writeAtomic(path, text, true); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	result := Refreshed{Cloud: cloudName, Outcome: OutcomeUpdated, Path: path, Rows: bytes.Count(text, []byte("\n")) - 1}
	if c.json {
		return writeJSON(cmd.OutOrStdout(), result)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d rows of %s written to %s\n", result.Rows, cloudName, path)
	return err
}
