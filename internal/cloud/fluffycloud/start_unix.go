// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import "syscall"

// detached puts the server into a session of its own, so that neither a
// Ctrl-C nor a closed terminal reaches it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
