// SPDX-License-Identifier: MPL-2.0

// Package about reads what catalogs/<cloud>/about.json says of a cloud: what is
// known of it before any driver, and what no price list has a column for.
package about

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/catalogs"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Cloud is what an about.json says. What it leaves out is not known.
type Cloud struct {
	// Date is as of when the prices of the default catalog are, such as
	// 2026-09-20: that of the oldest of them.
	Date string `json:"date"`
	// Hosted is the name of the cloud's folder in SkyPilot's hosted catalogs,
	// which may differ from the cloud's name here. Empty is that it has none.
	Hosted string `json:"hosted"`
	// SeparateDevices says that the catalog prices hosts and accelerators in rows
	// of their own, which only together are what a machine costs.
	SeparateDevices bool `json:"separate_devices"`
	// Egress is the list price of data that leaves the cloud, by the amount of a
	// month. Nothing is that the price is not known; free is one step at 0.
	Egress []cloud.EgressStep `json:"egress"`
	// Beside is what is billed beside the price of a machine.
	Beside []Beside `json:"beside"`
	// Types are what is known of instance types by their names.
	Types []Types `json:"types"`
	// Regions are groups of regions, those that most users expect first.
	Regions []Regions `json:"regions"`
}

// Beside is one thing that is billed beside a machine's price.
type Beside struct {
	// What names it to people, with its list price in the cloud's main regions.
	What string `json:"what"`
	// DiskTiers are the tiers of disks that it is for, "" the default; nil is any.
	DiskTiers []string `json:"disk_tiers"`
}

// BilledBeside names what is billed beside the price of a machine that has a disk of
// this tier.
func (c Cloud) BilledBeside(diskTier string) []string {
	var out []string
	for _, b := range c.Beside {
		if b.DiskTiers == nil || slices.Contains(b.DiskTiers, diskTier) {
			out = append(out, b.What)
		}
	}
	return out
}

// Types are instance types of which something is known. A catalog that says an
// architecture knows better.
type Types struct {
	// Match are patterns of path.Match for names.
	Match []string `json:"match"`
	// Arch is their architecture; of several that match, the first one holds.
	Arch string `json:"arch"`
	// Trait is one of traits.
	Trait string `json:"trait"`
}

// Regions are regions that lie in one area.
type Regions struct {
	// Match are patterns of path.Match for names; an earlier one is expected first.
	Match []string `json:"match"`
	Area  string   `json:"area"`
}

// traits are the names of traits.
func traits() map[string]cloud.Traits {
	return map[string]cloud.Traits{
		"": 0, "burstable": cloud.Burstable, "previous_generation": cloud.PreviousGeneration,
		"promotional": cloud.Promotional, "bare_metal": cloud.BareMetal,
	}
}

// Describe fills in what is known of an instance type.
func (c Cloud) Describe(t *cloud.InstanceType) {
	for _, rule := range c.Types {
		if !matchesAny(rule.Match, t.Name) {
			continue
		}
		if t.Arch == "" {
			t.Arch = rule.Arch
		}
		t.Traits |= traits()[rule.Trait]
	}
}

// Place says how far back a region is among those that most users expect, and
// where it lies.
func (c Cloud) Place(region string) (order uint16, area cloud.Area) {
	for _, group := range c.Regions {
		for _, pattern := range group.Match {
			if matchesAny([]string{pattern}, region) {
				area, _ = cloud.ParseArea(group.Area) // checked by the tests
				return order, area
			}
			order++
		}
	}
	return order, 0
}

// AreaOf is where a region lies, by the clouds that have one of its name.
func AreaOf(region string) cloud.Area {
	for _, name := range names() {
		if _, area := Of(name).Place(region); area != 0 {
			return area
		}
	}
	return 0
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name) // checked by the tests
		return ok
	})
}

// Of returns what is known of a cloud: nothing, where it has no about.json.
func Of(cloudName string) Cloud {
	// That every file reads is a matter of the tests; they are built in.
	c, _ := read(catalogs.FS, cloudName)
	return c
}

// Day is Date as a time; zero where the date is not known.
func (c Cloud) Day() time.Time {
	day, err := time.Parse(time.DateOnly, c.Date)
	if err != nil {
		return time.Time{}
	}
	return day
}

// Hosted returns the clouds that the hosted catalogs cover, sorted.
func Hosted() []string {
	return slices.DeleteFunc(names(), func(name string) bool { return Of(name).Hosted == "" })
}

// ByHosted returns the cloud's name here, for its name in the hosted catalogs.
func ByHosted(hosted string) (cloudName string, ok bool) {
	for _, name := range names() {
		if Of(name).Hosted == hosted {
			return name, hosted != ""
		}
	}
	return "", false
}

// names returns the clouds that have an about.json, sorted.
func names() []string {
	files, _ := fs.Glob(catalogs.FS, "*/"+file) // the pattern is well-formed
	for i, f := range files {
		files[i] = path.Dir(f)
	}
	return files
}

const file = "about.json"

// read reads the file of one cloud, strictly.
func read(in fs.FS, cloudName string) (Cloud, error) {
	text, err := fs.ReadFile(in, cloudName+"/"+file)
	if err != nil {
		return Cloud{}, fmt.Errorf("reading what is known of cloud %q: %w", cloudName, err)
	}
	var c Cloud
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := errors.Join(d.Decode(&c), c.check()); err != nil {
		return Cloud{}, fmt.Errorf("catalogs/%s/%s: %w", cloudName, file, err)
	}
	return c, nil
}

func (c Cloud) check() error {
	if c.Date != "" && c.Day().IsZero() {
		return fmt.Errorf("date %q is not one; write it as 2026-09-20", c.Date)
	}
	from := 0.0
	for i, s := range c.Egress {
		last := i == len(c.Egress)-1
		switch {
		case s.USDPerGB < 0:
			return fmt.Errorf("egress[%d].usd_per_gb is %v; a price is 0 or more", i, s.USDPerGB)
		case last && s.UpToGB != 0:
			return fmt.Errorf("egress[%d] is the last step and ends at %v GB; leave its up_to_gb out", i, s.UpToGB)
		case !last && s.UpToGB <= from:
			return fmt.Errorf("egress[%d].up_to_gb is %v; steps rise, and only the last has none", i, s.UpToGB)
		}
		from = s.UpToGB
	}
	return c.checkNames()
}

// checkNames checks what is known by the names of types and regions.
func (c Cloud) checkNames() error {
	for i, r := range c.Types {
		if _, ok := traits()[r.Trait]; !ok || (r.Trait == "") == (r.Arch == "") {
			return fmt.Errorf("types[%d] needs either an arch or a trait that is known", i)
		}
		if r.Arch != "" && r.Arch != cloud.ArchX86 && r.Arch != cloud.ArchARM {
			return fmt.Errorf("types[%d].arch is %q; write x86_64 or arm64", i, r.Arch)
		}
		if err := checkPatterns(r.Match); err != nil {
			return fmt.Errorf("types[%d].match: %w", i, err)
		}
	}
	for i, r := range c.Regions {
		if _, err := cloud.ParseArea(r.Area); err != nil {
			return fmt.Errorf("regions[%d]: %w", i, err)
		}
		if err := checkPatterns(r.Match); err != nil {
			return fmt.Errorf("regions[%d].match: %w", i, err)
		}
	}
	return nil
}

func checkPatterns(patterns []string) error {
	if len(patterns) == 0 {
		return errors.New("it is empty; write at least one pattern")
	}
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is no pattern", p)
		}
	}
	return nil
}
