// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package fluffycloud

import "syscall"

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
