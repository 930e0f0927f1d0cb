// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gocarina/gocsv"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
)

// image is one line of an images.csv. Region is blank for every region, Arch
// where any will do.
type image struct {
	Tag          string `csv:"Tag"`
	Region       string `csv:"Region"`
	OS           string `csv:"OS"`
	OSVersion    string `csv:"OSVersion"`
	ImageID      string `csv:"ImageId"`
	CreationDate string `csv:"CreationDate"`
	Arch         string `csv:"Arch"`
}

// parseImages reads a whole images.csv. Files in use are ragged: rows may be
// shorter than the header, and ids may be blank; such rows name no image.
func parseImages(path, text string) ([]image, error) {
	if err := vms.Sniff(path, []byte(text)); err != nil {
		return nil, err
	}
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	in.FieldsPerRecord = -1
	ragged := &raggedReader{in: in}
	var all []image
	if err := gocsv.UnmarshalCSV(ragged, &all); err != nil {
		return nil, imageError(path, ragged, err)
	}
	if missing := ragged.lacks("Tag", "Region", "ImageId"); missing != "" {
		return nil, &vms.FileError{Path: path, Row: 1, Column: missing, Problem: "the header lacks this column"}
	}
	type key struct{ tag, region, arch string }
	seen := make(map[key]string)
	out := all[:0]
	for i, im := range all {
		if im.Tag == "" {
			return nil, &vms.FileError{Path: path, Row: i + 2, Column: "Tag", Problem: "it is blank"}
		}
		if im.ImageID == "" {
			continue
		}
		a, problem := vms.Arch(im.Arch)
		if problem != "" {
			return nil, &vms.FileError{Path: path, Row: i + 2, Column: "Arch", Problem: problem}
		}
		if im.Arch = a; a == "" && strings.Contains(im.Tag, "arm64") {
			im.Arch = "arm64"
		}
		k := key{im.Tag, im.Region, im.Arch}
		if old, dup := seen[k]; dup && old != im.ImageID {
			return nil, &vms.FileError{Path: path, Row: i + 2, Column: "ImageId", Problem: fmt.Sprintf("it is %q, while another row gives tag %q in the same region %q", im.ImageID, im.Tag, old)}
		}
		seen[k] = im.ImageID
		out = append(out, im)
	}
	return out, nil
}

func imageError(path string, r *raggedReader, err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return &vms.FileError{Path: path, Row: parse.Line, Problem: parse.Err.Error()}
	}
	return &vms.FileError{Path: path, Row: r.row, Problem: err.Error()}
}

// raggedReader pads short records to the header's width.
type raggedReader struct {
	in     *csv.Reader
	header []string
	row    int
}

// Read implements gocsv.CSVReader.
func (r *raggedReader) Read() ([]string, error) {
	rec, err := r.in.Read()
	if err != nil {
		return nil, err
	}
	r.row++
	if r.header == nil {
		r.header = rec
		for i, h := range rec {
			if slices.Contains(rec[:i], h) {
				return nil, fmt.Errorf("the header names column %q twice", h)
			}
		}
		return rec, nil
	}
	if len(rec) > len(r.header) {
		return nil, fmt.Errorf("it has %d fields where the header has %d", len(rec), len(r.header))
	}
	return append(rec, make([]string, len(r.header)-len(rec))...), nil
}

// ReadAll implements gocsv.CSVReader.
func (r *raggedReader) ReadAll() ([][]string, error) {
	var all [][]string
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, rec)
	}
}

func (r *raggedReader) lacks(columns ...string) string {
	for _, c := range columns {
		if !slices.Contains(r.header, c) {
			return c
		}
	}
	return ""
}

// findImage returns the image of a tag for a region and an architecture; a row
// for the region wins over one for all, one for the architecture over one for any.
func findImage(images []image, tag, region, arch string) (string, error) {
	best, score := "", -1
	known := false
	for _, im := range images {
		if !strings.EqualFold(im.Tag, tag) {
			continue
		}
		known = true
		if (im.Region != "" && !strings.EqualFold(im.Region, region)) || (im.Arch != "" && arch != "" && im.Arch != arch) {
			continue
		}
		s := 0
		if im.Region != "" {
			s += 2
		}
		if im.Arch != "" && arch != "" {
			s++
		}
		if s > score {
			best, score = im.ImageID, s
		}
	}
	switch {
	case score >= 0:
		return best, nil
	case known && arch != "":
		return "", fmt.Errorf("image %s is not available in region %s for %s", tag, region, arch)
	case known:
		return "", fmt.Errorf("image %s is not available in region %s", tag, region)
	}
	return "", fmt.Errorf("image tag %s is not known%s", tag, knownTags(images))
}

func hasTag(images []image, tag string) bool {
	return slices.ContainsFunc(images, func(im image) bool { return strings.EqualFold(im.Tag, tag) })
}

func knownTags(images []image) string {
	var tags []string
	for _, im := range images {
		if !slices.Contains(tags, im.Tag) {
			tags = append(tags, im.Tag)
		}
	}
	if len(tags) == 0 {
		return "; the cloud's catalog holds no images, so give the cloud's own image id"
	}
	slices.Sort(tags)
	return "; there are " + strings.Join(tags[:min(len(tags), 8)], ", ")
}
