// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Autostop is the argument of sky_cluster; what is nil is its default.
type Autostop struct {
	IdleMinutes       *float64
	Down              *bool
	WaitFor, Hook     *string
	HookTimeoutSecond *int64
}

// secretNames are the names of secrets, whose values do not belong into a YAML
// that a plan reads.
func (a at) secretNames(v any) []string {
	var out []string
	if list, ok := v.([]any); ok { // secrets:NAME, of a store that SkyPilot has
		for _, text := range a.texts(list) {
			text = strings.TrimPrefix(text, "secrets:")
			out = append(out, text[strings.LastIndex(text, ".")+1:])
		}
		slices.Sort(out)
		return out
	}
	fields := a.object(v)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if value := fields[name]; value != nil && value != "" {
			a.key(name).refuse("leave the name without a value, and give the value in secrets where the job is declared", "has a value in the YAML")
		}
		out = append(out, name)
	}
	return out
}

// duration is a time as SkyPilot takes it, in minutes without a unit.
var duration = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([mhdw]?)$`)

func (a at) minutes(v any) *float64 {
	text := a.scalar(v)
	if text == nil {
		return nil
	}
	found := duration.FindStringSubmatch(strings.ToLower(*text))
	if found == nil {
		a.refuse("write minutes, or such as 30m, 2h or 1d", "%q is no time", *text)
		return nil
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		a.refuse("write fewer minutes", "%q is no number", *text)
		return nil
	}
	n = math.Ceil(n * map[string]float64{"": 1, "m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}[found[2]])
	return &n
}

// autostop reads a switch, a time, or an object; nil where it is off.
func (a at) autostop(v any) *Autostop {
	if on, ok := boolOf(v); ok {
		if on {
			return &Autostop{}
		}
		return nil
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return &Autostop{IdleMinutes: a.minutes(v)}
	}
	var out Autostop
	known := []string{"idle_minutes", "down", "wait_for", "hook", "hook_timeout"}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		v, in := fields[name], a.key(name)
		switch {
		case v == nil:
		case name == "idle_minutes":
			out.IdleMinutes = in.minutes(v)
		case name == "down":
			down, ok := boolOf(v)
			if !ok {
				in.refuse("", "must be true or false")
			}
			out.Down = &down
		case name == "wait_for":
			if out.WaitFor = in.scalar(v); out.WaitFor != nil {
				*out.WaitFor = strings.ToLower(*out.WaitFor)
			}
		case name == "hook":
			out.Hook = in.scalar(v)
		case name == "hook_timeout":
			out.HookTimeoutSecond = in.whole(v)
		default:
			a.unknown(name, known, nil, "")
		}
	}
	return &out
}
