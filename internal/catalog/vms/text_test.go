// SPDX-License-Identifier: MPL-2.0

package vms_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
	"github.com/skybroker/terraform-provider-sky/internal/catalog/vms"
)

const v5Header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"

// parseSlowly is vms.Parse of a text that comes a byte at a time.
func parseSlowly(text string) (*vms.Rows, [32]byte, error) {
	return vms.Read("x", "aws", iotest.OneByteReader(strings.NewReader(text)), int64(len(text)))
}

// defects are what makes a row wrong; the error names the row's first line.
var defects = []func(row string) string{
	func(row string) string { return "m.\x00" + row },
	func(row string) string { return "m.\xff" + row },
	func(row string) string { return "m," + row },
	func(row string) string { return "\"" + row },
	func(row string) string { return "a\"" + row },
	func(row string) string { return strings.Replace(row, ".5", ",5", 1) },
}

// TestRowsAcrossBuffers reads texts longer than what is read at once, some with a
// defect. The end of a buffer is anywhere: in a quoted field of several lines,
// between the two bytes that end a line, within a letter. The same rows without
// those fields say what is to come out, and the defect's row is known.
func TestRowsAcrossBuffers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 12))
	bad := 0
	for range 100 {
		end := []string{"\n", "\r\n"}[rng.IntN(2)]
		text := []string{"", "\xef\xbb\xbf"}[rng.IntN(2)] + strings.TrimSpace(v5Header) + end
		plain, wrong, defect := v5Header, 0, rng.IntN(800)
		for i := range 400 {
			info := fmt.Sprintf("\"{'Name': 'é€',%s 'say \"\"x\"\"': 1}\"", strings.Repeat("€"+end, rng.IntN(200)))
			if rng.IntN(3) > 0 {
				info = ""
			}
			row := fmt.Sprintf("m.%d,A100,8,4,16,%%s,%d.5,0.%d,r%d,z1", i/8, 1+i/3, 1+i, i)
			plain += fmt.Sprintf(row, "") + "\n"
			row = fmt.Sprintf(row, info)
			if i == defect {
				row, wrong = defects[rng.IntN(len(defects))](row), 1+strings.Count(text, "\n")
			}
			text += row + strings.Repeat(end, 1+rng.IntN(2))
		}
		got, sum, err := parseSlowly(text)
		if wrong > 0 {
			bad++
			if at := (*vms.FileError)(nil); !errors.As(err, &at) || at.Row != wrong {
				t.Fatalf("row %d is wrong; reading says %v", wrong, err)
			}
			continue
		}
		want, _, err2 := vms.Parse("x", "aws", []byte(plain))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if sum != sha256.Sum256([]byte(text)) || !bytes.Equal(snapshot.Build(got, sum, snapshot.Stamp{}), snapshot.Build(want, sum, snapshot.Stamp{})) {
			t.Fatalf("%q\nreads differently than without quoted fields", text)
		}
	}
	if bad < 30 || bad > 70 {
		t.Fatalf("%d of 100 texts were bad", bad)
	}
}

// TestOpenQuoteEndsEarly sees that a quote which is never closed is found long
// before the end of a long file.
func TestOpenQuoteEndsEarly(t *testing.T) {
	good := "m.x,,,4,16,,0.5,0.2,r1,z1\n"
	in := strings.NewReader(v5Header + good + "\"m.y" + strings.Repeat(good, 100_000))
	_, _, err := vms.Read("x", "aws", in, in.Size())
	var at *vms.FileError
	if !errors.As(err, &at) || at.Row != 3 || !strings.Contains(at.Problem, "not closed") {
		t.Errorf("%v", err)
	}
	if left := in.Len(); left == 0 {
		t.Error("the whole text was read")
	}
}

// TestTextChangesWhileItIsRead sees that a file that is cut off while it is read,
// or cannot be read to its end, is no catalog.
func TestTextChangesWhileItIsRead(t *testing.T) {
	text := v5Header + strings.Repeat("m.x,,,4,16,,0.5,0.2,r1,z1\n", 100)
	for name, in := range map[string]io.Reader{
		"cut off":     strings.NewReader(text[:len(v5Header)+26]),
		"fails later": io.MultiReader(strings.NewReader(text[:1000]), iotest.ErrReader(errors.New("I/O error"))),
	} {
		got, _, err := vms.Read("vms.csv", "aws", in, int64(len(text)))
		if got != nil || err == nil || !strings.Contains(err.Error(), "reading vms.csv: after ") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, sum, err := vms.Read("vms.csv", "aws", strings.NewReader(text+"more"), int64(len(text))); err != nil || sum != sha256.Sum256([]byte(text)) {
		t.Errorf("a text that grows: %v", err)
	}
}
