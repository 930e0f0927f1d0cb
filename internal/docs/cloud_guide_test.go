// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The code in the guide is that of the made-up cloud, which a test compiles and
// runs the suite on: each block stands in it between two marks.
func TestGuideQuotesTheMadeUpCloud(t *testing.T) {
	const cloud = "../cloud/all/testdata/pond/"
	guide, err := os.ReadFile("templates/guides/adding-a-cloud.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(cloud + "internal/cloud/pond/*.go")
	if err != nil {
		t.Fatal(err)
	}
	about, err := os.ReadFile(cloud + "catalogs/pond/about.json")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]bool{strings.TrimSpace(string(about)): true}
	marked := regexp.MustCompile(`(?s)// guide: \w+\n(.*?)// guide: end`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range marked.FindAllStringSubmatch(string(text), -1) {
			sources[strings.TrimSpace(m[1])] = true
		}
	}
	blocks := regexp.MustCompile("(?s)```(?:go|json)\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	for _, b := range blocks {
		if code := strings.TrimSpace(b[1]); !sources[code] {
			t.Errorf("the guide quotes what the made-up cloud does not have between its marks:\n%s", code)
		}
	}
	if len(blocks) != len(sources) {
		t.Errorf("the guide has %d blocks of code, the made-up cloud marks %d", len(blocks), len(sources))
	}
}
