// SPDX-License-Identifier: MPL-2.0

//go:build unix

package localfile

import "syscall"

// nonblock lets a pipe be opened without a writer.
const nonblock = syscall.O_NONBLOCK
