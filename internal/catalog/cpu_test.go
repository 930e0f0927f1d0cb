// SPDX-License-Identifier: MPL-2.0

//go:build unix

package catalog

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used so far. Benchmarks count it beside the
// clock, since the machine may be busy with other work.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
