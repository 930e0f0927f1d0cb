// SPDX-License-Identifier: MPL-2.0

//go:build windows

package fluffycloud

import "syscall"

// detached keeps a Ctrl-C and a closed console away from the server.
func detached() *syscall.SysProcAttr {
	const detachedProcess = 0x00000008
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess, HideWindow: true}
}

// checkPrivate has nothing to check: the profile's access lists protect the folder.
func checkPrivate(string) error { return nil }
