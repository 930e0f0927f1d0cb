// SPDX-License-Identifier: MPL-2.0

package optimizer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// maxNearest bounds how many names a user is shown.
const maxNearest = 6

// NearestAccelerators returns what is sold and comes closest to want, as
// "NAME:COUNT": the same name in other counts, names that hold want's name with
// at least its count (cheapest first), then names spelled alike.
func NearestAccelerators(want cloud.Accelerator, offers []cloud.Offer) []string {
	price := make(map[cloud.Accelerator]float64)
	for _, o := range offers {
		a := o.InstanceType.Accelerator
		if a.IsZero() || a.IsTPU() {
			continue
		}
		if p, ok := price[a]; !ok || o.HourlyUSD < p {
			price[a] = o.HourlyUSD
		}
	}
	type near struct {
		acc  cloud.Accelerator
		rank int
		dist float64
	}
	var found []near
	for a := range price {
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

// nearestOf names the accelerators of left that are nearest to want, and returns
// the offers that have them. Where none is near it names the cheapest.
func nearestOf(want []cloud.Accelerator, left []*cloud.Offer) (string, []*cloud.Offer) {
	offers := make([]cloud.Offer, len(left))
	for i, o := range left {
		offers[i] = *o
	}
	var names []string
	for _, w := range want {
		names = append(names, NearestAccelerators(w, offers)...)
	}
	names = dedupe(names)
	if len(names) == 0 {
		return someOf(left, func(o *cloud.Offer) string { return cmp.Or(o.InstanceType.Accelerator.String(), "none") }), left
	}
	names = names[:min(len(names), 3)]
	near := slices.DeleteFunc(slices.Clone(left), func(o *cloud.Offer) bool {
		return !slices.Contains(names, o.InstanceType.Accelerator.String())
	})
	return strings.Join(names, " or "), near
}

// unknownName returns advice when no offer has the name, else "".
func unknownName(want string, offers []cloud.Offer, of func(o *cloud.Offer) string) string {
	if want == "" {
		return ""
	}
	best := make(map[string]int)
	for i := range offers {
		name := of(&offers[i])
		if strings.EqualFold(name, want) {
			return ""
		}
		if _, ok := best[name]; !ok && name != "" {
			best[name] = distance(want, name)
		}
	}
	names := make([]string, 0, len(best))
	for n := range best {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(best[a], best[b]), strings.Compare(a, b)) })
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
