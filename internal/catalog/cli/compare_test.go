// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompare has one row for each cloud, region and market, the cheapest first, with
// bars from zero; and the same as a picture and as a page.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	svg, page := filepath.Join(dir, "a.svg"), filepath.Join(dir, "a.html")
	out, errs, err := runCLI(t, "compare", "A100:8", "--state-dir", t.TempDir(), "--offline", "--limit", "8", "--svg", svg, "--html", page)
	if err != nil || strings.Contains(out, "fluffycloud") || strings.Count(errs, "written:") != 2 {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	rows := strings.Split(out, "\n")[1:9]
	if last := rows[7]; strings.Count(last, "█") != barCells || strings.Contains(rows[0], strings.Repeat("█", barCells)) {
		t.Errorf("the bars are\n%s", out)
	}
	picture := readOrFail(t, svg)
	if err := wellFormed(picture); err != nil || strings.Count(picture, `<rect class="`) != 9 || strings.Contains(picture, "http:") && strings.Count(picture, "http") != 1 {
		t.Errorf("%v\n%s", err, picture)
	}
	if text := readOrFail(t, page); !strings.Contains(text, picture) || strings.Count(text, "<tr>") != 9 {
		t.Errorf("the page is\n%s", text)
	}
	out, _, err = runCLI(t, "compare", "A100:8", "--state-dir", t.TempDir(), "--offline", "--limit", "1000", "--json")
	var m comparison
	if err != nil || json.Unmarshal([]byte(out), &m) != nil || len(m.Rows) < 8 || m.More != 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := map[[3]string]bool{}
	for i, o := range m.Rows {
		place := [3]string{o.Cloud, o.Region, o.Market}
		if seen[place] || o.Count != 8 || i > 0 && o.HourlyCost < m.Rows[i-1].HourlyCost {
			t.Errorf("row %d is %+v", i, o)
		}
		seen[place] = true
	}
}

// TestCompareRefuses what is not sold, and what is no number of places.
func TestCompareRefuses(t *testing.T) {
	for _, args := range [][]string{{"compare", "A100:7"}, {"compare", "A100:8", "--limit", "0"}, {"compare", "A100:8", "--market", "black"}, {"compare"}} {
		if out, _, err := runCLI(t, append(args, "--state-dir", t.TempDir(), "--offline")...); err == nil {
			t.Errorf("%q printed\n%s", args, out)
		}
	}
}

// TestPictureTakesAnyName is a catalog that somebody else wrote.
func TestPictureTakesAnyName(t *testing.T) {
	m := comparison{Asked: `<a href="x">&`, Rows: []offerJSON{{Cloud: "<script>", Region: `"'`, InstanceType: "a&b", Market: `spot" onload="x`, HourlyCost: 1}}}
	for _, text := range []string{m.svg(), m.page()} {
		if strings.Contains(text, "<script>") || strings.Contains(text, `onload="`) {
			t.Error(text)
		}
	}
	if err := wellFormed(m.svg()); err != nil {
		t.Error(err)
	}
}

func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func readOrFail(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
