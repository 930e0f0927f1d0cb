// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Keyring is what a generation is born with.
type Keyring struct {
	// Path is the private key that logs in.
	Path string
	// Authorized are the public keys that may log in.
	Authorized []string
	// Hosts are the host keys, by rank.
	Hosts []clusterconfig.HostKey
}

// keyDir holds the keys of one generation.
func keyDir(clusterDir, generation string) string { return filepath.Join(clusterDir, generation) }

// MakeKeys makes the generation's keys and flushes them to the disk. They
// outlive a crash, so that a repeated create call sends the same bytes.
//
// The user's own keys log in. Where they are no file, no other is made: what
// another computer could not have must not be what opens the machines.
func (f Folder) MakeKeys(generation, keyPath string, nodes int) (Keyring, error) {
	own, err := f.own()
	if err != nil {
		return Keyring{}, err
	}
	dir := keyDir(f.path, generation)
	if err := durable.PrivateDir(dir); err != nil {
		return Keyring{}, err
	}
	ring := Keyring{Path: keyPath}
	if keyPath != "" || len(own) == 0 {
		made, err := remote.EnsureKeyPair(generatedKey(dir))
		if err != nil {
			return Keyring{}, err
		}
		ring.Authorized = []string{made}
	}
	if keyPath != "" {
		signer, err := remote.LoadSigner(keyPath, nil)
		if err != nil {
			return Keyring{}, err
		}
		ring.allow(signer)
	}
	for _, signer := range own {
		ring.allow(signer)
	}
	if ring.Path == "" && len(own) == 0 {
		ring.Path = generatedKey(dir)
	}
	ring.Hosts, err = makeHostKeys(dir, nodes)
	return ring, err
}

// allow lets a key in, once.
func (k *Keyring) allow(signer ssh.Signer) {
	if key := remote.AuthorizedKey(signer.PublicKey()); !slices.Contains(k.Authorized, key) {
		k.Authorized = append(k.Authorized, key)
	}
}

// MoreKeys are those of nodes that a cluster gets: host keys of their own, and the
// keys that log in to the others. None of the latter is made, since it would open
// the new nodes alone.
func (f Folder) MoreKeys(c cluster.Cluster, signers []ssh.Signer, nodes int) (Keyring, error) {
	ring := Keyring{Path: c.KeyPath}
	for _, signer := range signers {
		ring.allow(signer)
	}
	dir := keyDir(f.path, c.Generation)
	err := durable.PrivateDir(dir)
	if err == nil {
		ring.Hosts, err = makeHostKeys(dir, nodes)
	}
	return ring, err
}

// makeHostKeys makes a host key a rank, or finds those that are there.
func makeHostKeys(dir string, nodes int) ([]clusterconfig.HostKey, error) {
	var hosts []clusterconfig.HostKey
	for rank := range nodes {
		key, err := ensureHostKey(filepath.Join(dir, "host_"+strconv.Itoa(rank)))
		if err != nil {
			return nil, fmt.Errorf("host key of rank %d: %w", rank, err)
		}
		hosts = append(hosts, key)
	}
	return hosts, nil
}

// ensureHostKey loads the host key at path or makes it.
func ensureHostKey(path string) (clusterconfig.HostKey, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		signer, err := remote.LoadSigner(path, nil)
		if err != nil {
			return clusterconfig.HostKey{}, err
		}
		return clusterconfig.HostKey{Private: string(text), Public: remote.AuthorizedKey(signer.PublicKey())}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return clusterconfig.HostKey{}, err
	}
	private, public, err := remote.NewHostKey()
	if err != nil {
		return clusterconfig.HostKey{}, err
	}
	if err := durable.LinkNew(path, private); err != nil {
		return clusterconfig.HostKey{}, err
	}
	return clusterconfig.HostKey{Private: string(private), Public: strings.TrimSpace(public)}, nil
}

// RemoveKeys deletes a generation's keys; its machines are gone. What does not
// read like a generation, as a cloud's tags may not, names no folder of ours.
func (f Folder) RemoveKeys(generation string) error {
	if !journal.GenerationPattern().MatchString(generation) {
		return nil
	}
	return os.RemoveAll(keyDir(f.path, generation))
}

// PruneKeys deletes what a crash left of the keys of generations that are gone.
func (f Folder) PruneKeys(j *journal.Journal) error {
	var errs []error
	for _, g := range j.Generations() {
		if g.Removed {
			errs = append(errs, f.RemoveKeys(g.ID))
		}
	}
	return errors.Join(errs...)
}
