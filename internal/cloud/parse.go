// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a request may ask for. They are far above any machine sold and
// keep typing errors from turning into absurd requests.
const (
	maxAccelerators = 10_000
	maxCPUs         = 100_000
	maxMemoryGiB    = 1 << 20 // one PiB
	maxNameLength   = 128
)

// ParseAccelerators reads accelerators as users write them: "A100:8", or "A100"
// for one. Counts may be fractions. Names keep their case; catalogs are searched
// without regard to it. Two specs of one name and count are an error.
func ParseAccelerators(specs ...string) ([]Accelerator, error) {
	out := make([]Accelerator, 0, len(specs))
	for _, s := range specs {
		a, err := parseAccelerator(s)
		if err != nil {
			return nil, err
		}
		for _, b := range out {
			if strings.EqualFold(a.Name, b.Name) && a.Count == b.Count {
				return nil, fmt.Errorf("accelerator %q is listed twice", a)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

func parseAccelerator(s string) (Accelerator, error) {
	const right = `write NAME or NAME:COUNT, such as "A100:8"`
	name, count, counted := strings.Cut(strings.TrimSpace(s), ":")
	name = strings.TrimSpace(name)
	if name == "" {
		return Accelerator{}, fmt.Errorf("accelerator %q has no name; %s", s, right)
	}
	if err := checkName(name); err != nil {
		return Accelerator{}, fmt.Errorf("accelerator %q: %w; %s", s, err, right)
	}
	a := Accelerator{Name: name, Count: 1}
	if counted {
		n, err := parseAmount(count, maxAccelerators)
		if err != nil {
			return Accelerator{}, fmt.Errorf("accelerator %q: the count %w; %s", s, err, right)
		}
		a.Count = n
	}
	return a, nil
}

// checkName refuses what no catalog's name holds. Spaces and parentheses do
// occur ("Virtex UltraScale (VU9P)").
func checkName(name string) error {
	if len(name) > maxNameLength {
		return fmt.Errorf("the name has %d bytes, more than %d", len(name), maxNameLength)
	}
	if !utf8.ValidString(name) {
		return errors.New("the name is not valid UTF-8")
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ()-_./+", r) {
			return fmt.Errorf("the name holds %q", r)
		}
	}
	return nil
}

// ParseCPUs reads an amount of virtual CPUs: "8" is exactly eight, "8+" at least.
func ParseCPUs(s string) (Quantity, error) {
	const right = `write a number or a lower bound, such as "8" or "8+"`
	body, atLeast := strings.CutSuffix(strings.TrimSpace(s), "+")
	if strings.HasSuffix(strings.ToLower(body), "x") {
		return Quantity{}, fmt.Errorf("cpus %q: a ratio is for memory only; %s", s, right)
	}
	n, err := parseAmount(body, maxCPUs)
	if err != nil {
		return Quantity{}, fmt.Errorf("cpus %q: the amount %w; %s", s, err, right)
	}
	return Quantity{Value: n, AtLeast: atLeast}, nil
}

// ParseMemory reads an amount of memory in GiB: "32" is exactly that, "32+" at
// least, "4x" at least four for each vCPU. A unit (MB, GB, TB, with or without
// i or B) may follow; all units are binary.
func ParseMemory(s string) (Quantity, error) {
	const right = `write GiB, a lower bound or a ratio to vCPUs, such as "32", "32+" or "4x"`
	body, atLeast := strings.CutSuffix(strings.TrimSpace(s), "+")
	lower := strings.ToLower(body)
	if ratio, ok := strings.CutSuffix(lower, "x"); ok {
		n, err := parseAmount(ratio, maxMemoryGiB)
		if err != nil {
			return Quantity{}, fmt.Errorf("memory %q: the ratio %w; %s", s, err, right)
		}
		return Quantity{Value: n, AtLeast: true, PerVCPU: true}, nil
	}
	number, scale := cutUnit(lower)
	n, err := parseAmount(number, maxMemoryGiB/scale)
	if err != nil {
		return Quantity{}, fmt.Errorf("memory %q: the amount %w; %s", s, err, right)
	}
	return Quantity{Value: n * scale, AtLeast: atLeast}, nil
}

// cutUnit splits a unit off and returns its size in GiB.
func cutUnit(s string) (number string, scale float64) {
	stem := strings.TrimSuffix(strings.TrimSuffix(s, "b"), "i")
	for _, u := range []struct {
		letter string
		scale  float64
	}{{"m", 1.0 / 1024}, {"g", 1}, {"t", 1024}} {
		if number, ok := strings.CutSuffix(stem, u.letter); ok {
			return strings.TrimSpace(number), u.scale
		}
	}
	return s, 1
}

// parseAmount reads a positive, finite decimal number of at most limit.
func parseAmount(s string, limit float64) (float64, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, errors.New("is missing")
	}
	for _, r := range s {
		if (r < '0' || r > '9') && r != '.' && r != '-' {
			return 0, fmt.Errorf("%q is not a plain decimal number", s)
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case math.IsInf(n, 0) || n > limit:
		return 0, fmt.Errorf("%s is larger than %s", s, strconv.FormatFloat(limit, 'f', -1, 64))
	case err != nil || math.IsNaN(n):
		return 0, fmt.Errorf("%q is not a plain decimal number", s)
	case n <= 0:
		return 0, fmt.Errorf("%s is not above zero", s)
	}
	return n, nil
}

// Infra is a place as users write it; an empty part is any.
type Infra struct {
	Cloud, Region, Zone string
}

// ParseInfra reads "cloud", "cloud/region" or "cloud/region/zone"; "*" is any in
// its part, and trailing parts may be left out. Cloud names become lower case.
func ParseInfra(s string) (Infra, error) {
	const right = `write cloud, cloud/region or cloud/region/zone with "*" for any, such as "aws/us-east-1" or "*/*/us-east-1a"`
	if strings.TrimSpace(s) == "" {
		return Infra{}, fmt.Errorf("infra is empty; %s", right)
	}
	parts := strings.Split(s, "/")
	if len(parts) > 3 {
		return Infra{}, fmt.Errorf("infra %q has %d parts, more than three; %s", s, len(parts), right)
	}
	var out [3]string
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if err := checkPlace(p); err != nil {
			return Infra{}, fmt.Errorf("infra %q: part %d %w; %s", s, i+1, err, right)
		}
		if p != "*" {
			out[i] = p
		}
	}
	return Infra{Cloud: strings.ToLower(out[0]), Region: out[1], Zone: out[2]}, nil
}

func checkPlace(p string) error {
	switch {
	case p == "":
		return errors.New("is empty")
	case p == "*":
		return nil
	case len(p) > maxNameLength:
		return fmt.Errorf("has %d bytes, more than %d", len(p), maxNameLength)
	}
	for _, r := range p {
		if !isPlaceRune(r) {
			return fmt.Errorf("holds %q", r)
		}
	}
	return nil
}

func isPlaceRune(r rune) bool {
	return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') ||
		strings.ContainsRune("-_.:", r)
}

// ParsePorts reads ports and inclusive ranges, "80" or "8000-8010". The result
// is sorted, and ranges that overlap or touch are one.
func ParsePorts(specs ...string) ([]PortRange, error) {
	all := make([]PortRange, 0, len(specs))
	for _, s := range specs {
		r, err := parsePort(s)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool {
		return all[i].First < all[j].First || (all[i].First == all[j].First && all[i].Last < all[j].Last)
	})
	out := make([]PortRange, 0, len(all))
	for _, r := range all {
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

func parsePort(s string) (PortRange, error) {
	const right = `write a port from 1 to 65535 or a range, such as "80" or "8000-8010"`
	first, last, ranged := strings.Cut(strings.TrimSpace(s), "-")
	if !ranged {
		last = first
	}
	a, errA := portNumber(first)
	b, errB := portNumber(last)
	if err := errors.Join(errA, errB); err != nil {
		if errA != nil {
			err = errA
		}
		return PortRange{}, fmt.Errorf("port %q: %w; %s", s, err, right)
	}
	if a > b {
		return PortRange{}, fmt.Errorf("port range %q is reversed; write \"%d-%d\"", s, b, a)
	}
	return PortRange{First: a, Last: b}, nil
}

func portNumber(s string) (uint16, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, errors.New("a number is missing")
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	if n < 1 || n > math.MaxUint16 {
		return 0, fmt.Errorf("%s is outside 1 to 65535", s)
	}
	return uint16(n), nil
}

// ParseMarket reads which markets a request allows: "on_demand", "spot", "any"
// (whichever is cheaper) or "spot_then_on_demand" (spot first, whatever it
// costs). ordered goes to Requirement.MarketsOrdered.
func ParseMarket(s string) (markets []Market, ordered bool, err error) {
	switch s {
	case "on_demand":
		return []Market{OnDemand}, false, nil
	case "spot":
		return []Market{Spot}, false, nil
	case "any":
		return []Market{OnDemand, Spot}, false, nil
	case "spot_then_on_demand":
		return []Market{Spot, OnDemand}, true, nil
	}
	return nil, false, fmt.Errorf(
		"market %q is not known; write on_demand, spot, any or spot_then_on_demand", s)
}
