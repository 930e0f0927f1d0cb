// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// maxNearest bounds how many names a user is shown.
const maxNearest = 6

// Devices are the accelerators that are sold, each with the lowest price of a
// machine that has them.
type Devices map[cloud.Accelerator]float64

// Add takes in what an offer sells.
func (d Devices) Add(o *cloud.Offer) {
	a := o.InstanceType.Accelerator
	if a.IsZero() {
		return
	}
	if usd, ok := d[a]; !ok || o.HourlyUSD < usd {
		d[a] = o.HourlyUSD
	}
}

// has reports whether an accelerator is among them.
func (d Devices) has(a cloud.Accelerator) bool {
	for sold := range d {
		if sameAccelerator(a, sold) {
			return true
		}
	}
	return false
}

// NearestAccelerators returns what is sold and comes closest to want, as
// "NAME:COUNT": the same name in other counts, names that hold want's name with
// at least its count (cheapest first), then names spelled alike.
func NearestAccelerators(want cloud.Accelerator, price Devices) []string {
	type near struct {
		acc  cloud.Accelerator
		rank int
		dist float64
	}
	var found []near
	for a := range price {
		if a.IsTPU() {
			continue
		}
		switch d := distance(want.Name, a.Name); {
		case strings.EqualFold(a.Name, want.Name):
			found = append(found, near{a, 0, math.Abs(a.Count - want.Count)})
		case contains(a.Name, want.Name) && a.Count >= want.Count:
			found = append(found, near{a, 1, 0})
		case contains(a.Name, want.Name) || contains(want.Name, a.Name):
			found = append(found, near{a, 2, math.Abs(a.Count - want.Count)})
		case d <= max(1, len(want.Name)/3):
			found = append(found, near{a, 3, float64(d) + math.Abs(a.Count-want.Count)/1e6})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.dist, b.dist), cmp.Compare(price[a.acc], price[b.acc]),
			strings.Compare(a.acc.Name, b.acc.Name), cmp.Compare(a.acc.Count, b.acc.Count))
	})
	var out []string
	for _, n := range found[:min(len(found), maxNearest)] {
		out = append(out, n.acc.String())
	}
	return out
}

func contains(name, part string) bool {
	return part != "" && strings.Contains(strings.ToLower(name), strings.ToLower(part))
}

// placeNames gathers what catches a zone outside its region, a region outside its
// cloud, and names that are in no catalog.
type placeNames struct {
	alt *cloud.Requirement
	// zone and region are the first place that has the name at all, inside the one
	// that has it where it is looked for.
	zone, zoneInside, region, regionInside *cloud.Offer
	names                                  [3]knownNames
	families                               []knownNames // one for each that is asked for
}

// knownNames are the names of a kind, as long as the wanted one is not among them.
type knownNames struct {
	known bool
	all   map[string]struct{}
}

func (p *placeNames) add(o *cloud.Offer) {
	alt := p.alt
	if alt.Zone != "" && alt.Region != "" && strings.EqualFold(o.Zone, alt.Zone) {
		firstPlace(&p.zone, o)
		if strings.EqualFold(o.Region, alt.Region) {
			firstPlace(&p.zoneInside, o)
		}
	}
	if alt.Region != "" && alt.Cloud != "" && strings.EqualFold(o.Region, alt.Region) {
		firstPlace(&p.region, o)
		if strings.EqualFold(o.Cloud, alt.Cloud) {
			firstPlace(&p.regionInside, o)
		}
	}
	p.names[0].add(alt.Region, o.Region)
	p.names[1].add(alt.Zone, o.Zone)
	p.names[2].add(alt.InstanceType, o.InstanceType.Name)
	p.addFamily(&o.InstanceType)
}

// addFamily takes in what is near families, or types where a pattern is for types.
func (p *placeNames) addFamily(t *cloud.InstanceType) {
	if p.families == nil {
		p.families = make([]knownNames, len(p.alt.Families))
	}
	for i, want := range p.alt.Families {
		if p.families[i].known {
			continue
		}
		name := t.Family()
		if one := (cloud.Requirement{Families: p.alt.Families[i : i+1]}); one.TakesFamily(t) {
			name = want
		} else if strings.ContainsAny(want, ".-") {
			name = t.Name
		}
		p.families[i].add(want, name)
	}
}

// firstPlace keeps the offer that is first by place.
func firstPlace(found **cloud.Offer, o *cloud.Offer) {
	f := *found
	if f == nil || cmp.Or(strings.Compare(o.Cloud, f.Cloud), strings.Compare(o.Region, f.Region), strings.Compare(o.Zone, f.Zone)) < 0 {
		kept := *o
		*found = &kept
	}
}

func (k *knownNames) add(want, name string) {
	switch {
	case want == "" || k.known:
	case strings.EqualFold(name, want):
		k.known, k.all = true, nil
	case name != "":
		if k.all == nil {
			k.all = make(map[string]struct{})
		}
		k.all[name] = struct{}{}
	}
}

func (p *placeNames) hints() []string {
	var hints []string
	if o := p.zone; o != nil && p.zoneInside == nil {
		hints = append(hints, fmt.Sprintf("zone %s lies in region %s of %s, not in %s", o.Zone, o.Region, o.Cloud, p.alt.Region))
	}
	if o := p.region; o != nil && p.regionInside == nil {
		hints = append(hints, fmt.Sprintf("region %s belongs to %s, not to %s", o.Region, o.Cloud, p.alt.Cloud))
	}
	for i, of := range []struct{ what, want string }{{"region", p.alt.Region}, {"zone", p.alt.Zone}, {"instance type", p.alt.InstanceType}} {
		if near := p.names[i].near(of.want); near != "" {
			hints = append(hints, fmt.Sprintf("%s %q is in no catalog; %s", of.what, of.want, near))
		}
	}
	for i := range p.families {
		if near := p.families[i].near(p.alt.Families[i]); near != "" {
			hints = append(hints, fmt.Sprintf("instance family %q is in no catalog; %s", p.alt.Families[i], near))
		}
	}
	return hints
}

// UnknownRegions says of each region that is preferred, and is neither among these nor
// known to lie anywhere, which ones are spelled alike; it decides nothing.
func UnknownRegions(preferred []Preference, regions []string) []string {
	var out []string
	for _, p := range preferred {
		var known knownNames
		for _, r := range regions {
			known.add(p.Region, r)
		}
		if near := known.near(p.Region); near != "" && p.Area == 0 {
			out = append(out, fmt.Sprintf("region %q, which is preferred, is in no catalog and decides nothing; %s", p.Region, near))
		}
	}
	return out
}

// near returns advice where no offer has the wanted name, else "".
func (k *knownNames) near(want string) string {
	if want == "" || k.known {
		return ""
	}
	far := make(map[string]int, len(k.all))
	for name := range k.all {
		far[name] = distance(want, name)
	}
	names := slices.SortedFunc(maps.Keys(far), func(a, b string) int { return cmp.Or(cmp.Compare(far[a], far[b]), strings.Compare(a, b)) })
	if len(names) == 0 {
		return "there are none"
	}
	if len(names) > 5 {
		return fmt.Sprintf("the nearest of %d are %s", len(names), strings.Join(names[:5], ", "))
	}
	return "there are " + strings.Join(names, ", ")
}

// distance is the number of letters to insert, delete or change, without regard
// to case and punctuation. Names beyond 64 bytes count as far from everything.
func distance(a, b string) int {
	a, b = bare(a), bare(b)
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var row [65]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			up := row[j]
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(up+1, row[j-1]+1, change)
			diagonal = up
		}
	}
	return row[len(b)]
}

func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_ .()", r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
}
