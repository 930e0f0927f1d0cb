// SPDX-License-Identifier: MPL-2.0

package cloud

// EgressStep is what a cloud asks for each GB that leaves it, up to so many GB in
// a month and above the step before. The last step of a price has no end: 0.
type EgressStep struct {
	UpToGB   float64 `json:"up_to_gb"`
	USDPerGB float64 `json:"usd_per_gb"`
}
