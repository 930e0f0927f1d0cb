// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Recovery is when a job is started again, in the arguments of sky_job.
type Recovery struct {
	ExitCodes []int64
	// MaxRestarts is nil for the provider's default.
	MaxRestarts *int64
}

// recovery reads job_recovery: a strategy, or an object; nil where it says no more
// than what is done anyway.
func (a at) recovery(v any) *Recovery {
	fields, ok := v.(map[string]any)
	if !ok {
		a.strategy(v)
		return nil
	}
	var out Recovery
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		v, in := fields[name], a.key(name)
		switch {
		case v == nil:
		case name == "strategy":
			in.strategy(v)
		case name == "max_restarts_on_errors":
			out.MaxRestarts = in.restarts(v)
		case name == "recover_on_exit_codes":
			out.ExitCodes = in.exitCodes(v)
		default:
			a.unknown(name, []string{"strategy", "max_restarts_on_errors", "recover_on_exit_codes"}, nil, "")
		}
	}
	switch {
	case out.MaxRestarts == nil && out.ExitCodes == nil, out.MaxRestarts != nil && *out.MaxRestarts == 0 && out.ExitCodes == nil:
		return nil
	case out.MaxRestarts != nil && *out.MaxRestarts == 0: // these codes count for themselves
		out.MaxRestarts = nil
	case out.ExitCodes != nil && out.MaxRestarts != nil:
		a.refuse("write one of them", "exit codes that count and others that do not cannot be carried")
	case out.ExitCodes == nil: // any error
		for code := range int64(255) {
			out.ExitCodes = append(out.ExitCodes, code+1)
		}
	}
	return &out
}

// maxRestarts is the most that sky_job takes.
const maxRestarts = 1000

func (a at) restarts(v any) *int64 {
	n := a.whole(v)
	if n != nil && (*n < 0 || *n > maxRestarts) {
		a.refuse(fmt.Sprintf("write one from 0 to %d", maxRestarts), "%d is no number of restarts that can be carried", *n)
	}
	return n
}

// strategy takes the one that a cluster of the provider has: the next apply
// launches it again, elsewhere first.
func (a at) strategy(v any) {
	text := a.scalar(v)
	if text == nil || slices.Contains([]string{"", "none", "eager_next_region"}, strings.ToLower(*text)) {
		return
	}
	if strings.EqualFold(*text, "failover") {
		a.refuse(`write EAGER_NEXT_REGION, or remove it and write recovery = "same_region" where the cluster is declared`,
			"to try the same region first, and then others, cannot be carried")
		return
	}
	a.refuse("write EAGER_NEXT_REGION", "%q is no strategy of SkyPilot", *text)
}

func (a at) exitCodes(v any) []int64 {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []int64
	for i, e := range list {
		in := a.index(i)
		n := in.whole(e)
		switch {
		case n == nil:
		case *n < 1 || *n > 255:
			in.refuse("write one from 1 to 255", "%d is no exit code of a failure", *n)
		case !slices.Contains(out, *n):
			out = append(out, *n)
		}
	}
	return out
}

// config takes what is for Kubernetes alone, which SkyPilot, too, passes over on
// machines of a cloud.
func (a at) config(v any) {
	for _, name := range slices.Sorted(maps.Keys(a.object(v))) {
		if name != "kubernetes" {
			write := insteadOf("config")
			if name == "hooks" {
				write = insteadOf(name)
			}
			a.key(name).refuse("remove it"+write, "this setting cannot be carried")
		}
	}
}
