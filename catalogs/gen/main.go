// SPDX-License-Identifier: MPL-2.0

// Command gen writes default catalogs, catalogs/<cloud>/{vms,images}.csv, from the
// tables of facts in this folder. A catalog without a table here is left alone:
// FluffyCloud's comes from its server. Run it from the repository's root:
//
//	go run ./catalogs/gen
package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// fact is a machine in a place with its price. The writer turns it into one row.
type fact struct {
	name          string
	vcpus, memory float64
	device        string
	count         float64
	deviceGiB     float64
	arch          string
	// usd and spot are dollars an hour; 0 is that no sound figure is known.
	usd, spot    float64
	region, zone string
}

// book is what one cloud's table says.
type book struct {
	cloud string
	facts []fact
	// images holds tag, region, OS, version, id and architecture.
	images [][]string
}

func main() {
	if err := run("catalogs"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// books are the tables, one for each cloud that has one.
func books() []book {
	return []book{awsBook(), gcpBook(), ibmBook(), lambdaBook(), ociBook(), runpodBook()}
}

func run(dir string) error {
	for _, b := range books() {
		if err := writeCSV(filepath.Join(dir, b.cloud, "vms.csv"), vmRows(b.facts)); err != nil {
			return err
		}
		if len(b.images) > 0 {
			rows := append([][]string{{"Tag", "Region", "OS", "OSVersion", "ImageId", "CreationDate", "Arch"}}, b.images...)
			if err := writeCSV(filepath.Join(dir, b.cloud, "images.csv"), rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func vmRows(facts []fact) [][]string {
	rows := [][]string{{"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo",
		"Price", "SpotPrice", "Region", "AvailabilityZone", "Arch"}}
	facts = slices.Clone(facts)
	slices.SortStableFunc(facts, func(a, b fact) int {
		return strings.Compare(a.region+"\x00"+a.zone, b.region+"\x00"+b.zone)
	})
	for _, f := range facts {
		rows = append(rows, []string{
			f.name, f.device, positive(f.count), positive(f.vcpus), positive(f.memory), gpuInfo(f),
			positive(f.usd), positive(f.spot), f.region, f.zone, f.arch,
		})
	}
	return rows
}

// positive writes an amount, nothing for 0. Sums of prices are rounded to six
// decimals, which is what price lists have.
func positive(v float64) string {
	if v == 0 {
		return ""
	}
	s := strconv.FormatFloat(v, 'f', 6, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// gpuInfo writes the memory of a device in the form that catalogs have it; what
// other columns say as well is left out.
func gpuInfo(f fact) string {
	if f.device == "" || f.deviceGiB == 0 {
		return ""
	}
	return fmt.Sprintf("{'Gpus': [{'MemoryInfo': {'SizeInMiB': %d}}]}", int(f.deviceGiB*1024))
}

func writeCSV(path string, rows [][]string) error {
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// machine reads "name vcpus memory [device:count:GiB] usd" into a fact without a
// place. The tables are written in this form to be short and easy to compare
// with a price list.
func machine(text string) fact {
	words := strings.Fields(text)
	f := fact{name: words[0], vcpus: num(words[1]), memory: num(words[2]), arch: "x86_64", usd: num(words[len(words)-1])}
	if len(words) == 5 {
		parts := strings.Split(words[3], ":")
		f.device, f.count, f.deviceGiB = strings.ReplaceAll(parts[0], "_", " "), num(parts[1]), num(parts[2])
	}
	return f
}

// machines reads one machine a line. "@name" sets the places for the lines after
// it; "arch!" before a machine says that it is not x86_64.
func machines(table string, regions map[string][]string) []fact {
	var out []fact
	var in []string
	for l := range strings.Lines(table) {
		l = strings.TrimSpace(l)
		if name, ok := strings.CutPrefix(l, "@"); ok {
			in = regions[name]
			continue
		}
		if l == "" {
			continue
		}
		arch, rest, marked := strings.Cut(l, "!")
		if !marked {
			arch, rest = "x86_64", l
		}
		f := machine(rest)
		f.arch = strings.TrimSpace(arch)
		out = append(out, everywhere(f, in)...)
	}
	return out
}

// everywhere puts a fact into each place, written "region" or "region/zone".
func everywhere(f fact, places []string) []fact {
	var out []fact
	for _, p := range places {
		f.region, f.zone, _ = strings.Cut(p, "/")
		out = append(out, f)
	}
	return out
}

// priced is the price of a machine that a table refers to; one that has none stops
// the generator, as a typing error does.
func priced(f fact, name string) float64 {
	if f.usd == 0 {
		fmt.Fprintf(os.Stderr, "table: %q has no price to compare with\n", name)
		os.Exit(1)
	}
	return f.usd
}

// num reads a number of the tables; a typing error there stops the generator.
func num(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		fmt.Fprintf(os.Stderr, "table: %q is not a number\n", s)
		os.Exit(1)
	}
	return n
}
