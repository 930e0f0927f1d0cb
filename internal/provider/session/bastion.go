// SPDX-License-Identifier: MPL-2.0

package session

import "github.com/skybroker/terraform-provider-sky/internal/cluster"

// OpenBastion adds the user's own keys to the settings; nil without a bastion.
func (s Settings) OpenBastion() *cluster.Bastion {
	if s.Bastion == nil {
		return nil
	}
	b := *s.Bastion
	b.Own = s.signers
	return &b
}
