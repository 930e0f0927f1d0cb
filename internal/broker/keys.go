// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
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

// keyring is what a generation is born with.
type keyring struct {
	// path is the private key that logs in.
	path string
	// authorized are the public keys that may log in.
	authorized []string
	hosts      []clusterconfig.HostKey
}

// keyDir holds the keys of one generation.
func keyDir(clusterDir, generation string) string { return filepath.Join(clusterDir, generation) }

// makeKeys makes the generation's keys and flushes them to the disk. They
// outlive a crash, so that a repeated create call sends the same bytes.
//
// The user's own keys log in. Where they are no file, no other is made: what
// another computer could not have must not be what opens the machines.
func makeKeys(clusterDir, generation string, spec Spec, own []ssh.Signer) (keyring, error) {
	dir := keyDir(clusterDir, generation)
	if err := durable.PrivateDir(dir); err != nil {
		return keyring{}, err
	}
	ring := keyring{path: spec.KeyPath}
	if spec.KeyPath != "" || len(own) == 0 {
		made, err := remote.EnsureKeyPair(generatedKey(dir))
		if err != nil {
			return keyring{}, err
		}
		ring.authorized = []string{made}
	}
	if spec.KeyPath != "" {
		signer, err := remote.LoadSigner(spec.KeyPath, nil)
		if err != nil {
			return keyring{}, err
		}
		ring.allow(signer)
	}
	for _, signer := range own {
		ring.allow(signer)
	}
	if ring.path == "" && len(own) == 0 {
		ring.path = generatedKey(dir)
	}
	var err error
	ring.hosts, err = makeHostKeys(dir, spec.Request.Nodes)
	return ring, err
}

// allow lets a key in, once.
func (k *keyring) allow(signer ssh.Signer) {
	if key := authorizedKey(signer); !slices.Contains(k.authorized, key) {
		k.authorized = append(k.authorized, key)
	}
}

// moreKeys are those of nodes that a cluster gets: host keys of their own, and
// the keys that log in to the others, as far as this computer has them. None is
// made, since it would open the new nodes alone.
func (b *Broker) moreKeys(ctx context.Context, c cluster.Cluster, nodes int) (keyring, error) {
	signers, err := b.accepted(ctx, c)
	if err != nil {
		return keyring{}, fmt.Errorf("new nodes could not be reached: %w", err)
	}
	ring := keyring{path: c.KeyPath}
	for _, signer := range signers {
		ring.allow(signer)
	}
	dir := keyDir(b.ClusterDir(c.Name), c.Generation)
	if err := durable.PrivateDir(dir); err != nil {
		return keyring{}, err
	}
	ring.hosts, err = makeHostKeys(dir, nodes)
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
		return clusterconfig.HostKey{Private: string(text), Public: authorizedKey(signer)}, nil
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

// removeKeys deletes a generation's keys; its machines are gone. What does not
// read like a generation, as a cloud's tags may not, names no folder of ours.
func removeKeys(clusterDir, generation string) error {
	if !journal.GenerationPattern().MatchString(generation) {
		return nil
	}
	return os.RemoveAll(keyDir(clusterDir, generation))
}

// pruneKeys deletes what a crash left of the keys of generations that are gone.
func (b *Broker) pruneKeys(j *journal.Journal, name string) error {
	var errs []error
	for _, g := range j.Generations() {
		if g.Removed {
			errs = append(errs, removeKeys(b.ClusterDir(name), g.ID))
		}
	}
	return errors.Join(errs...)
}
