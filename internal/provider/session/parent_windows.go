// SPDX-License-Identifier: MPL-2.0

package session

import "context"

// canWatchParent is false: an orphan keeps its parent's number on Windows.
const canWatchParent = false

func orphanWatch() func() bool { return func() bool { return false } }

// outlive changes nothing on Windows.
func outlive(ctx context.Context) context.Context { return ctx }
