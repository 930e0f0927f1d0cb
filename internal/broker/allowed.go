// SPDX-License-Identifier: MPL-2.0

package broker

import "net/netip"

// prefixTexts writes prefixes as a Cluster holds them.
func prefixTexts(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return out
}

// prefixes are the cluster's AllowedCIDRs; what cannot be read is left out,
// and with none at all the cloud decides.
func (c Cluster) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range c.AllowedCIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}
