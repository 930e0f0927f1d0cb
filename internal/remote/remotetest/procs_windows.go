// SPDX-License-Identifier: MPL-2.0

package remotetest

import (
	"os"
	"os/exec"
)

const marker = "SKY_TEST_NODE="

func detach(*exec.Cmd) {}

func plain(*exec.Cmd) {}

// Own does nothing: nobody here is root.
func (n *Node) Own() {}

func (p *process) signal(string) { _ = p.cmd.Process.Kill() }

func stateOf(state *os.ProcessState) ended { return ended{code: state.ExitCode()} }

// Processes lists nothing: there is no /proc.
func (n *Node) Processes() []string { return nil }

// KillAll does nothing: there is no /proc.
func (n *Node) KillAll() {}
