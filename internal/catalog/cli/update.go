// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skybroker/terraform-provider-sky/internal/catalog"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/about"
	"github.com/skybroker/terraform-provider-sky/internal/localfile"
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
			if c.opts.Offline {
				return errors.New("refreshing is switched off: offline is set")
			}
			if len(clouds) == 0 {
				known, err := set.Clouds()
				if err != nil {
					return err
				}
				clouds = slices.DeleteFunc(about.Hosted(), func(n string) bool { return !slices.Contains(known, n) })
			}
			return c.update(cmd, set, clouds, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "ask the host however young the copies are")
	return cmd
}

// update refreshes each cloud and reports all of them, also after an error.
func (c *cli) update(cmd *cobra.Command, set *catalog.Set, clouds []string, force bool) error {
	rows := [][]string{{"CLOUD", "OUTCOME", "ROWS", "IMAGES", "PATH"}}
	var results []catalog.Refreshed
	var errs []error
	for _, name := range clouds {
		if c.opts.BaseURL == "" && about.Of(name).Hosted == "" {
			return notHosted(name)
		}
	}
	for _, name := range clouds {
		bar := newProgress(cmd.ErrOrStderr(), name)
		out, err := set.Refresh(cmd.Context(), name, catalog.RefreshOptions{Force: force, Progress: bar.tell})
		bar.done()
		if err != nil {
			errs = append(errs, err)
		}
		if out.Outcome == "" {
			results = append(results, catalog.Refreshed{Cloud: name, Outcome: "failed", Problem: err.Error()})
			rows = append(rows, []string{name, "failed", "", "", "what was in use stays in use"})
			continue
		}
		results = append(results, out)
		rows = append(rows, []string{name, string(out.Outcome), count(out.Rows), count(out.Images), out.Path})
	}
	var err error
	if c.json {
		err = writeJSON(cmd.OutOrStdout(), results)
	} else {
		err = writeTable(cmd.OutOrStdout(), rows)
	}
	return errors.Join(append(errs, err)...)
}

func notHosted(name string) error {
	if here, ok := about.ByHosted(name); ok {
		return fmt.Errorf("the cloud that the hosted catalogs call %q is %q here", name, here)
	}
	return fmt.Errorf("no catalog of %q is hosted; those of %s are", name, strings.Join(about.Hosted(), ", "))
}

// count writes a number, and "-" for none.
func count(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// progress draws a bar on a terminal, and nothing elsewhere.
type progress struct {
	out   io.Writer
	label string
	drawn time.Time
	// wide is how many columns the last drawing took.
	wide int
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

// tell draws how many bytes arrived.
func (p *progress) tell(done, total int64) {
	p.draw(done, total, fmt.Sprintf("%.1f MB", float64(done)/1e6))
}

// steps draws how many steps are done; a total of 0 is not known.
func (p *progress) steps(done, total int, unit string) {
	text := fmt.Sprintf("%d %s", done, unit)
	if total > 0 {
		text = fmt.Sprintf("%d of %d %s", done, total, unit)
	}
	p.draw(int64(done), int64(total), text)
}

func (p *progress) draw(done, total int64, text string) {
	if p.out == nil || (time.Since(p.drawn) < 50*time.Millisecond && done != total) {
		return
	}
	p.drawn = time.Now()
	bar := ""
	if total > 0 {
		n := int(barWidth * min(done, total) / total)
		bar = "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "] "
	}
	line := fmt.Sprintf("%-12s %s%s", p.label, bar, text)
	_, _ = fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", max(p.wide-len(line), 0)))
	p.wide = max(p.wide, len(line))
}

// done wipes the bar.
func (p *progress) done() {
	if p.out != nil {
		_, _ = fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.wide))
	}
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

func (c *cli) verify(cmd *cobra.Command, set *catalog.Set, args []string) error {
	var all []catalog.Checked
	failed := 0
	for _, arg := range args {
		for _, got := range set.Verify(localfile.ExpandHome(arg)) {
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
