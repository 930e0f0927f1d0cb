// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import "syscall"

// detached starts a process that outlives this one and its terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
