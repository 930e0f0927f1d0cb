// SPDX-License-Identifier: MPL-2.0

// Package change changes clusters that are there: it stops, starts, resizes,
// restores, updates and destroys them.
package change

import (
	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/broker/observe"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
)

// Changer changes clusters that are there.
type Changer struct {
	Down     teardown.Teardown
	Observer observe.Observer
	Make     bringup.Maker
}
