// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// reach is what a command line needs to get to a cluster's nodes.
type reach struct {
	knownHosts string
	bastion    *broker.Bastion // nil is none
}

func (s settings) reach(b clusterBroker, c broker.Cluster) reach {
	by := reach{knownHosts: b.KnownHostsPath(c.Name)}
	if s.bastion.Serves(c.Cloud) {
		by.bastion = s.bastion
	}
	return by
}

// pinned are the options that check host keys, as words of a shell.
func (r reach) pinned() []string {
	return []string{"-o", quote("UserKnownHostsFile=" + sshOption(r.knownHosts)), "-o", "StrictHostKeyChecking=yes"}
}

// jump is the command that connects to a node's port through the bastion;
// empty without one. ssh replaces %h and %p, and hands it to a shell.
func (r reach) jump() string {
	if r.bastion == nil {
		return ""
	}
	parts := []string{"ssh"}
	if r.bastion.KeyPath != "" {
		parts = append(parts, "-i", quote(r.bastion.KeyPath), "-o", "IdentitiesOnly=yes")
	}
	if r.bastion.Port != 0 {
		parts = append(parts, "-p", fmt.Sprint(r.bastion.Port))
	}
	if r.knownHosts != "" {
		parts = append(parts, r.pinned()...)
	}
	text := strings.Join(append(parts, "-W"), " ")
	return strings.ReplaceAll(text, "%", "%%") + " [%h]:%p " + strings.ReplaceAll(quote(r.bastion.User+"@"+r.bastion.Host), "%", "%%")
}

// sshCommand opens a shell on the head and checks its pinned host key.
func sshCommand(c broker.Cluster, by reach) string {
	if len(c.Nodes) == 0 || c.Nodes[0].ExternalIP == "" || c.SSHUser == "" {
		return ""
	}
	head := c.Nodes[0]
	parts := []string{"ssh"}
	if c.KeyPath != "" {
		parts = append(parts, "-i", quote(c.KeyPath), "-o", "IdentitiesOnly=yes")
	}
	parts = append(parts, "-p", fmt.Sprint(head.SSHPort))
	if by.knownHosts != "" {
		parts = append(parts, by.pinned()...)
	}
	if jump := by.jump(); jump != "" {
		parts = append(parts, "-o", quote("ProxyCommand="+jump))
	}
	return strings.Join(append(parts, quote(c.SSHUser+"@"+head.ExternalIP)), " ")
}

// sshOption quotes a path for ssh's own option parser, which splits at blanks.
func sshOption(path string) string {
	if strings.ContainsAny(path, " \t") {
		return `"` + path + `"`
	}
	return path
}

// quote makes text one word of a POSIX shell.
func quote(text string) string {
	safe := func(r rune) bool {
		return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || strings.ContainsRune("-_./=@:+,~", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !safe(r) }) && !strings.HasPrefix(text, "~") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
