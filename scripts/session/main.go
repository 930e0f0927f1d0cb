// SPDX-License-Identifier: MPL-2.0

// Command session makes the picture of a session in the README of what a real run of
// the quickstart printed:
//
//	make quickstart | session >.github/session.svg
//
// It leaves out what does not matter to somebody who sees it for the first time. The
// picture follows the reader's light or dark mode, and its lines appear one after the
// other unless the reader wants no motion.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "session:", err)
		os.Exit(1)
	}
}

// line is a line of the picture, and how it looks.
type line struct{ class, text string }

// kind is how lines of a pattern look.
type kind struct {
	class   string
	pattern *regexp.Regexp
}

// shown are the lines that matter; the first that matches counts.
func shown() []kind {
	return []kind{
		{"s", regexp.MustCompile(`^==> (plan|apply|plan again.*|destroy|look at the cloud)$`)},
		{"t", regexp.MustCompile(`^ (Considered resources|INFRA |fluffycloud/|Estimated cost)`)},
		{"g", regexp.MustCompile(`^(Apply|Destroy) complete!|^    \d+ primes.*as known$|^No changes\.`)},
		{"t", regexp.MustCompile(`^Plan: \d+ to add, 0 to change, 0 to destroy\.$`)},
		{"t", regexp.MustCompile(`^sky_\w+\.\w+: (Creating|Creation complete|Destroying|Destruction complete)`)},
		{"t", regexp.MustCompile(`^\(rank \d+\) node`)},
		{"g", regexp.MustCompile(`^    the cloud lists no machine`)},
	}
}

// ids are left out: they differ from run to run.
var ids = regexp.MustCompile(` \[id=[^\]]*\]`)

// read picks the lines of a whole run.
func read(in io.Reader) ([]line, error) {
	out := []line{{"p", "$ make quickstart"}}
	had := map[string]bool{}
	complete := false
	kinds := shown()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text := ids.ReplaceAllString(strings.TrimRight(lines.Text(), " "), "")
		complete = complete || text == "quickstart is complete:"
		for _, s := range kinds {
			if !s.pattern.MatchString(text) || had[text] {
				continue
			}
			had[text] = true
			out = append(out, line{s.class, text})
			break
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !complete {
		return nil, errors.New("standard input is not what a quickstart prints that came to its end")
	}
	return out, nil
}

// Measures of the picture, in pixels, and of its pace, in seconds.
const (
	width, lineHeight, top = 900, 21, 46
	pace                   = 0.28
)

const style = `.w{fill:#f6f8fa;stroke:#d1d9e0}.b{fill:#d1d9e0}text{font:13.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}` +
	`.t{fill:#1f2328}.p{fill:#1f2328;font-weight:600}.s{fill:#0969da;font-weight:600}.g{fill:#1a7f37}` +
	`@media(prefers-color-scheme:dark){.w{fill:#0d1117;stroke:#3d444d}.b{fill:#3d444d}.t,.p{fill:#e6edf3}.s{fill:#4493f8}.g{fill:#3fb950}}` +
	`@keyframes a{from{opacity:0}}@media(prefers-reduced-motion:no-preference){text{animation:a .2s backwards}}`

func run(in io.Reader, out io.Writer) error {
	lines, err := read(in)
	if err != nil {
		return err
	}
	var b strings.Builder
	height := top + lineHeight*len(lines) + 14
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="A recorded run of the quickstart: plan, apply, results, destroy">`+"\n", width, height, width, height)
	_, _ = fmt.Fprintf(&b, "<style>%s</style>\n<rect class=\"w\" x=\".5\" y=\".5\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", style, width-1, height-1)
	for i := range 3 {
		_, _ = fmt.Fprintf(&b, "<circle class=\"b\" cx=\"%d\" cy=\"20\" r=\"5.5\"/>\n", 20+18*i)
	}
	for i, l := range lines {
		_, _ = fmt.Fprintf(&b, "<text class=\"%s\" x=\"18\" y=\"%d\" style=\"animation-delay:%.2fs\" xml:space=\"preserve\">%s</text>\n",
			l.class, top+lineHeight*i+8, pace*float64(i), html.EscapeString(l.text))
	}
	b.WriteString("</svg>\n")
	_, err = io.WriteString(out, b.String())
	return err
}
