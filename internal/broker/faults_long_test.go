// SPDX-License-Identifier: MPL-2.0

//go:build faults

package broker

// defaultRuns is how many seeds a cell of the matrix runs with in the long lane.
const defaultRuns = 20

// killRuns is how many seeds a kind of death runs with.
func killRuns(killMode) int { return 3 }

// thorough dies at every point, polls included.
const thorough = true
