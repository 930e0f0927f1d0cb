// SPDX-License-Identifier: MPL-2.0

//go:build !faults

package broker

// defaultRuns is how many seeds a cell of the matrix runs with.
const defaultRuns = 2

// killRuns is how many seeds a kind of death runs with; the slower kinds are
// for the long lane.
func killRuns(mode killMode) int {
	if mode.away > 0 {
		return 0
	}
	return 1
}

// thorough dies at every point, polls included.
const thorough = false
