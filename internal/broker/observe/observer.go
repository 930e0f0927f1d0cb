// SPDX-License-Identifier: MPL-2.0

// Package observe finds clusters, and says what the clouds show of them now: in the
// words of a record, with the reason where they ended.
package observe

import (
	"github.com/skybroker/terraform-provider-sky/internal/broker/held"
	"github.com/skybroker/terraform-provider-sky/internal/broker/nodes"
	"github.com/skybroker/terraform-provider-sky/internal/broker/teardown"
)

// Observer finds clusters and says what they are now.
type Observer struct {
	Down  teardown.Teardown
	Reach nodes.Reach
	Held  held.Marks
}
