// SPDX-License-Identifier: MPL-2.0

package clusters

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// reach is what a command line needs to get to a cluster's nodes. Its paths are
// texts that read the same on every computer, as state has to.
type reach struct {
	knownHosts string
	key        string           // empty is the key on record, if any
	bastion    *cluster.Bastion // nil is none
	bastionKey string           // empty is the bastion's own, if any
}

// reachOf is how state says it.
func reachOf(s *session.Session, c cluster.Cluster) reach {
	by := reachHere(s, c)
	by.knownHosts, by.key = kit.LocalText(by.knownHosts), keyAsWritten(s, by.key)
	return by
}

// reachHere is the reach with the paths that this computer has.
func reachHere(s *session.Session, c cluster.Cluster) reach {
	var by reach
	if b, err := session.Broker[clusterFiles](s); err == nil { // it found the cluster, so it is there
		by.knownHosts, by.key = b.KnownHostsPath(c), b.KeyFile(c)
	}
	if s.Bastion.Serves(c.Cloud) {
		by.bastion, by.bastionKey = s.Bastion, s.BastionKey
	}
	return by
}

// as is the reach with the paths that state has. They stay what they were where
// the cluster was launched, so that a refresh on another computer, which may keep
// its files elsewhere, changes nothing.
func (r reach) as(m clusterModel) reach {
	if key := m.SSHKeyPath.ValueString(); key != "" {
		r.key = key
	}
	if config := m.SSHConfigPath.ValueString(); config != "" {
		r.knownHosts = statedir.KnownHostsBeside(config)
	}
	return r
}

// keyAsWritten is the text for a key file: the provider block's own where it is that.
func keyAsWritten(s *session.Session, file string) string {
	if own, err := filepath.Abs(kit.ExpandHome(s.KeyPath)); s.KeyPath != "" && err == nil && own == file {
		return s.KeyPath
	}
	return kit.LocalText(file)
}

// pinned are the options that check host keys, as words of a shell.
func (r reach) pinned() []string {
	return []string{"-o", quote("UserKnownHostsFile=" + statedir.SSHConfigWord(r.knownHosts)), "-o", "StrictHostKeyChecking=yes"}
}

// jump is the command that connects to a node's port through the bastion;
// empty without one. ssh replaces %h and %p, and hands it to a shell.
func (r reach) jump() string {
	if r.bastion == nil {
		return ""
	}
	parts := []string{"ssh"}
	if key := cmp.Or(r.bastionKey, r.bastion.KeyPath); key != "" {
		parts = append(parts, identity(key)...)
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
func sshCommand(c cluster.Cluster, by reach) string {
	if len(c.Nodes) == 0 || c.Nodes[0].ExternalIP == "" || c.SSHUser == "" {
		return ""
	}
	head := c.Nodes[0]
	parts := []string{"ssh"}
	if key := cmp.Or(by.key, c.KeyPath); key != "" {
		parts = append(parts, identity(key)...)
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

// identity are the options that log in with a key, as words of a shell. ssh looks
// for what -i names as it stands, and then expands it: a path with a percent sign
// can only be an option.
func identity(path string) []string {
	if strings.Contains(path, "%") {
		return []string{"-o", quote("IdentityFile=" + statedir.SSHConfigWord(path)), "-o", "IdentitiesOnly=yes"}
	}
	return []string{"-i", quote(path), "-o", "IdentitiesOnly=yes"}
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
