// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// Checked is the JSON form of one verified file.
type Checked struct {
	Cloud   string `json:"cloud"`
	Path    string `json:"path"`
	Offers  int    `json:"offers"`
	Images  int    `json:"images"`
	Problem string `json:"problem,omitempty"`
}

// Verify reads every catalog of a cloud, or one file, without any snapshot.
func (s *Set) Verify(arg string) []Checked {
	origins := []origin{{cloud: filepath.Base(filepath.Dir(arg)), kind: KindPath, path: arg}}
	if !strings.HasSuffix(arg, ".csv") {
		var err error
		if origins, err = s.origins(arg); err != nil {
			return []Checked{{Cloud: arg, Problem: err.Error()}}
		}
	}
	var out []Checked
	for _, o := range origins {
		o.snap = ""
		got := Checked{Cloud: o.cloud, Path: o.path}
		snap, err := s.remake(o)
		if err == nil {
			got.Offers = snap.Offers()
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

// Keep makes a text the user's own catalog of a cloud, where it reads without
// error; path is where to write it instead.
func (s *Set) Keep(cloudName, path string, text []byte) (Refreshed, error) {
	if path == "" {
		path = filepath.Join(s.catalogDir(hostedSchema), cloudName, vmsFile)
	}
	if _, _, err := vms.Parse("the answer of "+cloudName, cloudName, text); err != nil {
		return Refreshed{}, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Refreshed{}, fmt.Errorf("writing %s: %w", path, err)
	}
	if err := durable.ReplaceShared(path, text); err != nil {
		return Refreshed{}, fmt.Errorf("writing %s: %w", path, err)
	}
	return Refreshed{Cloud: cloudName, Outcome: OutcomeUpdated, Path: path, Rows: bytes.Count(text, []byte("\n")) - 1}, nil
}
