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
	return nil
}
