// SPDX-License-Identifier: MPL-2.0

package vms_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/catalog/snapshot"
)

// TestColumnsInAnyOrder writes the same random rows with their columns in any
// order, others among them, quoted here and there: what the reader guesses of a
// the row before must never change what it reads.
func TestColumnsInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 21))
	for range 300 {
		header := append(strings.Split(strings.TrimSpace(v5Header), ","), "Arch", "Generation", "Zone Name")
		var records [][]string
		seen := map[string]bool{}
		for range 80 {
			typ, place := rng.IntN(6), rng.IntN(9)
			key := fmt.Sprint(typ, place)
			if seen[key] {
				continue
			}
			seen[key] = true
			acc, count, info := "", "", ""
			if typ%2 == 0 {
				acc, count, info = "A100", fmt.Sprint(1+typ), "{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]}"
			}
			prices := []string{"", "0", "0.5", "0.50", "0.512345", "12.5123456789", "3", "0.05"}
			records = append(records, []string{
				fmt.Sprint("m.", typ), acc, count, "4", "16.0", info, prices[rng.IntN(len(prices))], prices[rng.IntN(len(prices))],
				fmt.Sprint("r", place/3), fmt.Sprint("z", place%3), []string{"x86_64", "arm64"}[typ/3], fmt.Sprint("V", rng.IntN(3)), "a,b",
			})
		}
		var want []byte
		for i := range 4 {
			order := rng.Perm(len(header))
			if i == 0 {
				order = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
			}
			if i == 1 {
				order = []int{0, 1, 2, 3, 4, 5, 10, 11, 6, 7, 12, 8, 9}
			}
			var b strings.Builder
			for n, record := range append([][]string{header}, records...) {
				for at, col := range order {
					f := record[col]
					if strings.ContainsAny(f, ",'") || n > 0 && rng.IntN(9) == 0 {
						f = "\"" + f + "\""
					}
					b.WriteString(f + []string{",", "\n"}[at/(len(order)-1)])
				}
			}
			rows, sum, err := parseSlowly(b.String())
			if err != nil {
				t.Fatal(err)
			}
			got := snapshot.Build(rows, [32]byte{}, snapshot.Stamp{})
			if i == 0 {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("columns %v of %x read differently:\n%s", order, sum, b.String())
			}
		}
	}
}
