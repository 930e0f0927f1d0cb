// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package provider

import "os"

// canWatchParent says that an orphan is given another parent here.
const canWatchParent = true

func getppid() int { return os.Getppid() }
