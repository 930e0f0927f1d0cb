// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// tableRows bounds how long a table gets.
const tableRows = 10

// Table shows the best placement for each machine that would do, in rank order,
// the chosen one marked.
func (p Plan) Table() string {
	if len(p.Choices) == 0 {
		return "No offer satisfies the request.\n"
	}
	const arch = "ARCH"
	rows := [][]string{{"INFRA", "INSTANCE", arch, "vCPUs", "Mem(GB)", "GPUS", "COST ($/h)", "CHOSEN"}}
	other := false
	for i, c := range p.Best {
		rows = append(rows, tableRow(c, i == 0))
		other = other || c.Placement.Offer.InstanceType.NotX86()
	}
	if !other { // where all have the usual one it says nothing
		column := slices.Index(rows[0], arch)
		for i := range rows {
			rows[i] = slices.Delete(rows[i], column, column+1)
		}
	}
	nodes := p.Placements[0].Nodes
	head := "Considered resources (1 node):\n"
	if nodes > 1 {
		head = fmt.Sprintf("Considered resources (%d nodes):\n", nodes)
	}
	text := head + layout(rows)
	if more := p.Machines - len(p.Best); more > 0 {
		text += fmt.Sprintf("and %d more instance types\n", more)
	}
	text += fmt.Sprintf("Estimated cost: %s / hour\n", dollars(p.Choices[0].HourlyUSD))
	if left := p.Choices[0].EgressUnknown; left != "" {
		text += fmt.Sprintf("Not in the estimate, since the price is not known: moving %s\n", left)
	}
	for _, note := range p.Notes {
		text += "Note: " + note + "\n"
	}
	return text + p.leftOut()
}

func tableRow(c Choice, chosen bool) []string {
	o := c.Placement.Offer
	name := o.InstanceType.Name
	if n := c.Placement.Nodes; n > 1 {
		name = fmt.Sprintf("%dx%s", n, name)
	}
	if o.Market == cloud.Spot {
		name += "[Spot]"
	}
	mark := ""
	if chosen {
		mark = "✔"
	}
	gpus := o.InstanceType.Accelerator.String()
	if gpus == "" {
		gpus = "-"
	}
	return []string{o.Place(), name, cmp.Or(o.InstanceType.Arch, cloud.ArchX86), amount(o.InstanceType.VCPUs), amount(o.InstanceType.MemoryGiB), gpus,
		strings.TrimPrefix(dollars(c.HourlyUSD), "$"), mark}
}

func amount(v float64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// layout pads cells to columns, with two spaces between.
func layout(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			line.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
