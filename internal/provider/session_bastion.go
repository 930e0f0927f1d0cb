// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// openBastion adds the user's own keys to the settings; nil without a bastion.
func (s settings) openBastion() *broker.Bastion {
	if s.bastion == nil {
		return nil
	}
	b := *s.bastion
	b.Own = s.signers
	return &b
}
