// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCatalogsAreWhatTheTablesSay(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("catalogs/%s is not what the tables say; run go run ./catalogs/gen", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every accelerator that the clouds sell at a list price is offered.
func TestAcceleratorsOffered(t *testing.T) {
	for _, b := range []struct {
		book book
		want string
	}{
		{awsBook(), "T4 A10G L4 L40S M60 V100 V100-32GB A100 A100-80GB H100 H200 B200 T4g Inferentia Inferentia2 Trainium AI100 U30 VU47P"},
		{gcpBook(), "T4 V100 P100 P4 L4 A100 A100-80GB H100 H100-MEGA H200"},
		{lambdaBook(), "A10 A6000 A100 A100-80GB V100 H100 B200 GH200 RTX6000"},
		{runpodBook(), "B300 B200 H200-SXM H100 H100-SXM A100-80GB MI300X L40S L40 A40 L4 RTX5090 RTX4090 RTX3090"},
		{ociBook(), "P100 V100 A10 L40S A100 A100-80GB H100 H200 B200 MI300X"},
		{ibmBook(), "V100"},
	} {
		offered := map[string]bool{}
		for _, f := range b.book.facts {
			offered[f.device] = offered[f.device] || f.usd > 0
		}
		for _, name := range strings.Fields(b.want) {
			if !offered[name] {
				t.Errorf("%s offers no %s", b.book.cloud, name)
			}
		}
		if b.book.cloud != "lambda" && b.book.cloud != "runpod" && !offered[""] {
			t.Errorf("%s offers no machine without accelerators", b.book.cloud)
		}
	}
}
