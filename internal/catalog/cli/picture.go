// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"html"
	"strings"
)

// Measures of the picture, in pixels.
const (
	pictureWidth = 980
	rowHeight    = 26
	labelWidth   = 440
	priceWidth   = 110
	pictureTop   = 58
)

// pictureStyle follows the reader's mode, within an image, too. The colours of the
// markets differ in lightness, and each bar says its market in words.
const pictureStyle = `.bg{fill:#fff}.t{fill:#1f2328}.d{fill:#59636e}.on_demand{fill:#3b6fd4}.spot{fill:#2da06a}` +
	`text{font:13px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}.h{font-size:17px;font-weight:600}.n{font-variant-numeric:tabular-nums}` +
	`@media(prefers-color-scheme:dark){.bg{fill:#0d1117}.t{fill:#e6edf3}.d{fill:#9198a1}.on_demand{fill:#6c9bf5}.spot{fill:#4cc38a}}`

// title is the heading of the picture.
func (m comparison) title() string { return "What " + m.Asked + " costs, by cloud, region and market" }

// svg is the comparison as a picture. Nothing in it is loaded from elsewhere.
func (m comparison) svg() string {
	var b strings.Builder
	height := pictureTop + rowHeight*len(m.Rows) + 34
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		pictureWidth, height, pictureWidth, height, html.EscapeString(m.title()))
	_, _ = fmt.Fprintf(&b, "<style>%s</style>\n<rect class=\"bg\" width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n", pictureStyle)
	text := func(class string, x, y int, anchor, s string) {
		_, _ = fmt.Fprintf(&b, `<text class="%s" x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, html.EscapeString(s))
	}
	text("t h", 20, 34, "start", m.title())
	most := m.most()
	room := pictureWidth - labelWidth - priceWidth - 20
	for i, o := range m.Rows {
		y := pictureTop + i*rowHeight
		text("t", 20, y+17, "start", o.Cloud+" "+o.Region)
		text("d", labelWidth-14, y+17, "end", o.InstanceType+", "+strings.ReplaceAll(o.Market, "_", " "))
		_, _ = fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="3"><title>%s</title></rect>`+"\n",
			html.EscapeString(o.Market), labelWidth, y+4, max(o.HourlyCost/most*float64(room), 1), rowHeight-8, html.EscapeString(each(o)+" $/h for each accelerator"))
		text("t n", pictureWidth-20, y+17, "end", "$"+price(o.HourlyCost)+"/h")
	}
	text("d", 20, height-12, "start", m.foot())
	b.WriteString("</svg>\n")
	return b.String()
}

// page is the comparison as a page of its own: the picture, and the numbers as a table.
func (m comparison) page() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;max-width:980px;margin:2em auto;padding:0 1em}
svg{max-width:100%%;height:auto}
table{border-collapse:collapse;width:100%%;margin-top:1.5em;font-size:14px}
th,td{text-align:left;padding:.35em .7em;border-bottom:1px solid #8884}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
</style>
%s<div class="wide"><table>
<tr><th>Cloud<th>Region<th>Instance<th>Market<th class="n">$/h<th class="n">$/h each
`, html.EscapeString(m.title()), m.svg())
	for _, o := range m.Rows {
		_, _ = b.WriteString("<tr>")
		for _, cell := range []string{o.Cloud, o.Region, o.InstanceType, o.Market} {
			_, _ = b.WriteString("<td>" + html.EscapeString(cell))
		}
		_, _ = fmt.Fprintf(&b, "<td class=\"n\">%s<td class=\"n\">%s\n", price(o.HourlyCost), each(o))
	}
	b.WriteString("</table></div>\n</html>\n")
	return b.String()
}
