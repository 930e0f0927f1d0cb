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

// parseInBlocks is Parse by blocks of some length.
func parseInBlocks(text string, length int) (*vms.Rows, [32]byte, error) {
	return vms.ReadInBlocks("x", "aws", iotest.OneByteReader(strings.NewReader(text)), int64(len(text)), length)
}

// TestBlocksMakeNoDifference parses random texts, some with a defect, whole and
// by short blocks, which end anywhere: in a quoted field of several lines,
// between the two bytes that end a line, within a letter.
func TestBlocksMakeNoDifference(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 12))
	bad := 0
	for range 300 {
		end := []string{"\n", "\r\n"}[rng.IntN(2)]
		var b strings.Builder
		b.WriteString([]string{"", "\xef\xbb\xbf"}[rng.IntN(2)] + strings.TrimSpace(v5Header) + end)
		defect := rng.IntN(60)
		for i := range 40 {
			info := fmt.Sprintf("\"{'Name': 'é€',%s 'say \"\"x\"\"': 1}\"", strings.Repeat(end, rng.IntN(300)))
			if rng.IntN(3) > 0 {
				info = ""
			}
			row := fmt.Sprintf("m.%d,A100,8,4,16,%s,%d.5,0.%d,r%d,z1%s", i/8, info, 1+i/3, 1+i, i, end)
			if i == defect {
				row = []string{"m.\x00" + row, "m.\xff" + row, "m," + row, "\"" + row, "a\"" + row, strings.Replace(row, ".5", ",5", 1)}[rng.IntN(6)]
			}
			b.WriteString(row + strings.Repeat(end, rng.IntN(2)))
		}
		text := b.String()
		if rng.IntN(20) == 0 {
			text = text[:len(text)-1-rng.IntN(200)]
		}
		want, _, wantErr := vms.Parse("x", "aws", []byte(text))
		got, sum, err := parseInBlocks(text, 512+rng.IntN(200))
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%q\nby blocks: %v\nwhole: %v", text, err, wantErr)
		}
		if wantErr != nil {
			bad++
			continue
		}
		if sum != sha256.Sum256([]byte(text)) || !bytes.Equal(snapshot.Build(got, sum, snapshot.Stamp{}), snapshot.Build(want, sum, snapshot.Stamp{})) {
			t.Fatalf("%q\nreads differently by blocks", text)
		}
	}
	if bad < 100 || bad > 250 {
		t.Fatalf("%d of 300 texts were bad", bad)
	}
}

// TestOpenQuoteEndsEarly sees that a quote which is never closed is found long
// before the end of a long file, and not looked for again and again.
func TestOpenQuoteEndsEarly(t *testing.T) {
	good := "m.x,,,4,16,,0.5,0.2,r1,z1\n"
	text := v5Header + good + "\"m.y" + strings.Repeat(good, 100_000)
	in := strings.NewReader(text)
	_, _, err := vms.Read("x", "aws", in, int64(len(text)))
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
		got, _, err := vms.ReadInBlocks("vms.csv", "aws", in, int64(len(text)), 700)
		if got != nil || err == nil || !strings.Contains(err.Error(), "reading vms.csv: after ") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, sum, err := vms.ReadInBlocks("vms.csv", "aws", strings.NewReader(text+"more"), int64(len(text)), 700); err != nil || sum != sha256.Sum256([]byte(text)) {
		t.Errorf("a text that grows: %v", err)
	}
}
