// SPDX-License-Identifier: MPL-2.0

//go:build aws

package aws

import (
	"fmt"
	"testing"
	"time"
)

// TestFloorTable prints the whole table, for the lane's log.
func TestFloorTable(t *testing.T) {
	fmt.Println(floorTable(t, []int{1, 8, 64}, []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond}))
}
