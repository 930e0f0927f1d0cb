// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// What one launch may make and repeat is bounded, whatever is believed of its
// failures.
const (
	// MostMachines is how many machines one launch makes at most, for each node
	// of the cluster. What is refused before a machine is made does not count.
	MostMachines = 10
	// MostUnexplained is how many attempts of one launch may fail for one reason
	// that says little about their place.
	MostUnexplained = 3
)

// strike counts an attempt that failed, and returns an error once too many did
// so for the same unexplained reason.
func (l *launch) strike(u *bringup.BringUp, fault cloud.Fault) error {
	why := u.Unexplained(fault)
	if why == "" {
		return nil
	}
	if l.strikes == nil {
		l.strikes = map[string]int{}
	}
	if l.strikes[why]++; l.strikes[why] < MostUnexplained {
		return nil
	}
	return fmt.Errorf("%d attempts have failed for the same reason (%s), which nothing says is the places' fault, so no more were made", MostUnexplained, why)
}

// affords returns an error where so many machines more would be too many for one
// launch.
func (l *launch) affords(nodes int) error {
	most := MostMachines * max(l.spec.Request.Nodes, 1)
	if l.made+nodes <= most {
		return nil
	}
	return fmt.Errorf("this launch has made %d machines without success, and %d more would be more than its bound of %d, which is %d for each node of the cluster",
		l.made, nodes, most, MostMachines)
}
