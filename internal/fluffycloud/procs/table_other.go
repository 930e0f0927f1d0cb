// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package procs

import (
	"errors"
	"syscall"
)

const sigStop = syscall.Signal(0)

var errUnsupported = errors.New("FluffyCloud machines are not supported on this system; use Linux or macOS")

func lookup(int) (Process, error) { return Process{}, ErrGone }

func snapshot() (map[int]Process, error) { return nil, errUnsupported }

func marked(map[int]Process, Marks) map[int]bool { return nil }

// Orphans returns nothing.
func Orphans(int) ([]int, error) { return nil, nil }
