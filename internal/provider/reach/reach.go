// SPDX-License-Identifier: MPL-2.0

// Package reach says how to get to the nodes of a cluster over SSH: as a command, and
// as the ephemeral resource sky_cluster_ssh.
package reach

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"
)

// Reach is what a command line needs to get to a cluster's nodes. Its paths are
// texts that read the same on every computer, as state has to.
type Reach struct {
	KnownHosts string
	Key        string           // empty is the key on record, if any
	Bastion    *cluster.Bastion // nil is none
	BastionKey string           // empty is the bastion's own, if any
}

// files are what this computer keeps of clusters.
type files interface {
	KeyFile(c cluster.Cluster) string
	KnownHostsPath(c cluster.Cluster) string
}

// finder finds the cluster, and how it stands now.
type finder interface {
	Find(ctx context.Context, id string) (cluster.Cluster, error)
	Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error)
	WriteSSHFiles(ctx context.Context, c cluster.Cluster)
}

// Of is the reach of a cluster as state says it.
func Of(s *session.Session, c cluster.Cluster) Reach {
	by := here(s, c)
	by.KnownHosts, by.Key = kit.LocalText(by.KnownHosts), keyAsWritten(s, by.Key)
	return by
}

// here is the reach with the paths that this computer has.
func here(s *session.Session, c cluster.Cluster) Reach {
	var by Reach
	if b, err := session.Broker[files](s); err == nil { // it found the cluster, so it is there
		by.KnownHosts, by.Key = b.KnownHostsPath(c), b.KeyFile(c)
	}
	if s.Bastion.Serves(c.Cloud) {
		by.Bastion, by.BastionKey = s.Bastion, s.BastionKey
	}
	return by
}

// As is the reach with the paths that state has, of a key and an SSH configuration. They stay what they were where
// the cluster was launched, so that a refresh on another computer, which may keep
// its files elsewhere, changes nothing.
func (r Reach) As(keyPath, configPath string) Reach {
	if keyPath != "" {
		r.Key = keyPath
	}
	if configPath != "" {
		r.KnownHosts = statedir.KnownHostsBeside(configPath)
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
func (r Reach) pinned() []string {
	return []string{"-o", quote("UserKnownHostsFile=" + statedir.SSHConfigWord(r.KnownHosts)), "-o", "StrictHostKeyChecking=yes"}
}

// jump is the command that connects to a node's port through the bastion;
// empty without one. ssh replaces %h and %p, and hands it to a shell.
func (r Reach) jump() string {
	if r.Bastion == nil {
		return ""
	}
	parts := []string{"ssh"}
	if key := cmp.Or(r.BastionKey, r.Bastion.KeyPath); key != "" {
		parts = append(parts, identity(key)...)
	}
	if r.Bastion.Port != 0 {
		parts = append(parts, "-p", fmt.Sprint(r.Bastion.Port))
	}
	if r.KnownHosts != "" {
		parts = append(parts, r.pinned()...)
	}
	text := strings.Join(append(parts, "-W"), " ")
	return strings.ReplaceAll(text, "%", "%%") + " [%h]:%p " + strings.ReplaceAll(quote(r.Bastion.User+"@"+r.Bastion.Host), "%", "%%")
}

// Command opens a shell on the head and checks its pinned host key.
func Command(c cluster.Cluster, by Reach) string {
	if len(c.Nodes) == 0 || c.Nodes[0].ExternalIP == "" || c.SSHUser == "" {
		return ""
	}
	head := c.Nodes[0]
	parts := []string{"ssh"}
	if key := cmp.Or(by.Key, c.KeyPath); key != "" {
		parts = append(parts, identity(key)...)
	}
	parts = append(parts, "-p", fmt.Sprint(head.SSHPort))
	if by.KnownHosts != "" {
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
