// SPDX-License-Identifier: MPL-2.0

package journal

const (
	// compactAbove is how long a journal gets, in bytes, before it is compacted.
	compactAbove = 64 << 10
	// keepGone is how many generations that are gone stay known as such, so that
	// machines of theirs that come late are known for what they are.
	keepGone = 50
)
