// SPDX-License-Identifier: MPL-2.0

package broker

import "time"

// settled is when a machine that the attempt asked for, and that the cloud has
// not named, would be listed at last; zero where there can be none.
func (p place) settled(now time.Time, settle time.Duration) time.Time {
	if p.Removed || p.Created >= p.Nodes || p.Deadline.IsZero() {
		return time.Time{}
	}
	ended := now // its process may have died within the call a moment ago
	for _, t := range []time.Time{p.Ended, p.Deadline} {
		if !t.IsZero() && t.Before(ended) {
			ended = t
		}
	}
	return ended.Add(settle)
}

// settled is when a machine of the generation that is in a region and that the
// cloud has not named would be listed at last; zero where there can be none.
func (g *generation) settled(cloudName, region string, now time.Time, settle time.Duration) (last time.Time) {
	for _, p := range g.places() {
		if t := p.settled(now, settle); p.Ref.Cloud == cloudName && p.Ref.Region == region && t.After(last) {
			last = t
		}
	}
	return last
}
