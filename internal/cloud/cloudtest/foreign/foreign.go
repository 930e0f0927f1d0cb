// SPDX-License-Identifier: MPL-2.0

// Package foreign has the machines that a conformance suite's world adds beside those
// of the driver.
package foreign

import "github.com/skybroker/terraform-provider-sky/internal/cloud"

// Kind is a kind of machine that is none of the driver's business.
type Kind string

// The kinds of foreign machines. On clouds without tags the name takes their place.
const (
	// Unmarked has no ownership tags.
	Unmarked Kind = "unmarked"
	// OtherOwner has all of them, and another owner.
	OtherOwner Kind = "other owner"
	// Malformed has the right owner and cluster, but no readable rank.
	Malformed Kind = "malformed tags"
)

// Tags are the tags of a foreign machine beside the one of identity like.
func (k Kind) Tags(like cloud.Identity) map[string]string {
	tags := like.Tags()
	switch k {
	case OtherOwner:
		tags[cloud.TagOwner] = "somebody-else"
	case Malformed:
		tags[cloud.TagRank] = "first"
	case Unmarked:
		tags = map[string]string{"purpose": "none of ours"}
	}
	return tags
}
