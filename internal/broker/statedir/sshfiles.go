// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// sshConfigName is the file beside known_hosts that OpenSSH reads.
const sshConfigName = "ssh_config"

// knownHostsName is the file with the pinned keys.
const knownHostsName = "known_hosts"

// SSHConfigPath is an OpenSSH client configuration for a cluster's nodes.
func (f Folder) SSHConfigPath() string { return SSHConfigBeside(f.KnownHostsPath()) }

// KnownHostsPath is a known_hosts file with the pinned keys of the cluster's nodes.
func (f Folder) KnownHostsPath() string { return filepath.Join(f.path, knownHostsName) }

// SSHConfigBeside is the path of the client configuration that stands beside a
// cluster's known_hosts file; empty for an empty path.
func SSHConfigBeside(knownHosts string) string {
	if knownHosts == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(knownHosts), sshConfigName)
}

// KnownHostsBeside is the inverse of SSHConfigBeside.
func KnownHostsBeside(config string) string {
	return filepath.Join(filepath.Dir(config), knownHostsName)
}

// WriteSSHFiles renews what a plain ssh client needs to reach the cluster: the
// pinned keys, and a configuration that names them.
func (f Folder) WriteSSHFiles(c cluster.Cluster) error {
	known, err := knownHostsText(c)
	if err != nil {
		return err
	}
	var bastion *cluster.Bastion
	if f.dir.Bastion.Serves(c.Cloud) {
		bastion = f.dir.Bastion
		line, err := remote.KnownHost(bastion.Host, bastion.SSHPort(), bastion.HostKey)
		if err != nil {
			return fmt.Errorf("the bastion: %w", err)
		}
		known = line + known
	}
	if err := durable.PrivateDir(f.path); err != nil {
		return err
	}
	if err := durable.Replace(f.KnownHostsPath(), known); err != nil {
		return err
	}
	alias := func(what string) string { return f.sshAlias(what) }
	if err := durable.Replace(f.SSHConfigPath(), sshConfigText(c, f.KeyFile(c), bastion, f.KnownHostsPath(), alias)); err != nil {
		return err
	}
	return f.yieldAlias()
}

// RemoveSSHFiles removes them; the cluster is gone.
func (f Folder) RemoveSSHFiles() error {
	var errs []error
	for _, path := range []string{f.KnownHostsPath(), f.SSHConfigPath()} {
		if err := os.Remove(path); err != nil && !durable.IsMissing(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func knownHostsText(c cluster.Cluster) (string, error) {
	var text strings.Builder
	for _, n := range c.Nodes {
		if !n.Reachable() {
			continue
		}
		line, err := remote.KnownHost(n.ExternalIP, n.SSHPort, n.HostKey)
		if err != nil {
			return "", fmt.Errorf("rank %d: %w", n.Rank, err)
		}
		text.WriteString(line)
	}
	return text.String(), nil
}

// sshConfigText is a client configuration: the head under the cluster's name,
// the others as workers, the bastion where there is one, under what alias says. It
// holds no key, only where keys lie; one that is no file is left to the SSH agent.
func sshConfigText(c cluster.Cluster, keyFile string, bastion *cluster.Bastion, knownHosts string, alias func(string) string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Cluster %q. Written by the Terraform provider sky; changes made here do not last.\n", c.Name)
	host := func(name, address string, port int, user, key string) {
		fmt.Fprintf(&text, "\nHost %s\n  HostName %s\n  Port %d\n  User %s\n", name, address, port, user)
		if key != "" {
			fmt.Fprintf(&text, "  IdentityFile %s\n  IdentitiesOnly yes\n", SSHConfigWord(key))
		}
		fmt.Fprintf(&text, "  UserKnownHostsFile %s\n  StrictHostKeyChecking yes\n", SSHConfigWord(knownHosts))
	}
	jump := alias("bastion")
	if bastion != nil {
		host(jump, bastion.Host, bastion.SSHPort(), bastion.User, bastion.KeyPath)
	}
	for _, n := range c.Nodes {
		if !n.Reachable() || c.SSHUser == "" {
			continue
		}
		name := c.Name
		if n.Rank > 0 {
			name = alias(fmt.Sprintf("worker%d", n.Rank))
		}
		host(name, n.ExternalIP, n.SSHPort, c.SSHUser, keyFile)
		if bastion != nil {
			fmt.Fprintf(&text, "  ProxyJump %s\n", jump)
		}
	}
	return text.String()
}

// RenewSSHFiles leaves those of the newest cluster that is there besides gone.
func (f Folder) RenewSSHFiles(j *journal.Journal, gone string) error {
	for _, g := range slices.Backward(j.Generations()) {
		if g.Complete && !g.Removed && g.ID != gone && g.Cluster != nil {
			return f.WriteSSHFiles(*g.Cluster)
		}
	}
	return f.RemoveSSHFiles()
}

// RenewSSHFilesOf writes the files for SSH of a cluster that this state folder need
// not know. A folder that cannot be written to hinders nothing else.
func (f Folder) RenewSSHFilesOf(ctx context.Context, c cluster.Cluster) {
	if err := f.WriteSSHFiles(c); err != nil {
		f.dir.Log.WarnContext(ctx, "known_hosts and ssh_config could not be written", "cluster", c.Name, "error", err)
	}
}
