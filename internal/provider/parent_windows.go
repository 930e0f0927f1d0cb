// SPDX-License-Identifier: MPL-2.0

package provider

// canWatchParent is false: an orphan keeps its parent's number on Windows.
const canWatchParent = false

func getppid() int { return 0 }
