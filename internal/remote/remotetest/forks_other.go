// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package remotetest

import (
	"errors"
	"os/exec"
)

func (f *Forks) start(*exec.Cmd) (wait func() ended, err error) {
	return nil, errors.New("only Linux can count forks")
}
