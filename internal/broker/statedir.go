// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

var ownerPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,39}$`) })

// ValidOwner reports whether an owner id can stand in machines' tags: 3 to 40
// lower-case letters, digits and dashes, not beginning with a dash.
func ValidOwner(owner string) bool { return ownerPattern().MatchString(owner) }

// noOwnerError says that the state folder cannot keep an owner id.
type noOwnerError struct{ err error }

func (e *noOwnerError) Error() string {
	return fmt.Sprintf("the state folder cannot keep an owner id, which would be lost with this process (%v); set owner in the provider block or SKY_OWNER, or make the folder usable", e.err)
}
func (e *noOwnerError) Unwrap() error { return e.err }

// loadOwner returns the configured owner or the one of the state folder, which
// it makes on first use. Two processes that race agree on one. With a
// *noOwnerError the id is good for this process alone.
func loadOwner(stateDir, configured string) (string, error) {
	if configured != "" {
		if !ValidOwner(configured) {
			return "", fmt.Errorf("%q is not 3 to 40 lower-case letters, digits and dashes", configured)
		}
		return configured, nil
	}
	own := "sky-" + randomHex(8)
	if err := privateDir(stateDir); err != nil {
		return own, &noOwnerError{err}
	}
	path := filepath.Join(stateDir, "owner")
	for range 2 {
		text, err := os.ReadFile(path)
		if err == nil {
			owner := strings.TrimSpace(string(text))
			if !ValidOwner(owner) {
				return "", fmt.Errorf("%s holds %q, which is no owner id; restore it, or remove it if no cluster of it is left", path, owner)
			}
			return owner, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return own, &noOwnerError{err}
		}
		if err := linkNew(path, []byte(own+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
			return own, &noOwnerError{err}
		}
	}
	return "", fmt.Errorf("%s appeared and vanished", path)
}

// linkNew creates path with the content, whole or not at all; fs.ErrExist if
// it is there already.
func linkNew(path string, content []byte) error {
	tmp := path + "." + randomHex(6)
	if err := writeSynced(tmp, content); err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	return remote.SyncDir(filepath.Dir(path))
}

// writeSynced creates path, 0600, and flushes it to the disk. Where it cannot,
// it leaves nothing.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return hex.EncodeToString(b)
}

// privateDir makes dir and its parents with mode 0700. A dir that others may
// write to is refused: keys and the journal live in it.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return checkPrivate(dir, info)
}

// clusterDirName is a folder name that is readable and distinct for names that
// read the same once slugged.
func clusterDirName(name string) string {
	sum := sha256.Sum256([]byte(name))
	slug := cloud.Slug(name)
	if len(slug) > 40 {
		slug = slug[:40]
	}
	return slug + "-" + hex.EncodeToString(sum[:4])
}

// ClusterDir is the folder of a cluster's journal and keys.
func (b *Broker) ClusterDir(name string) string {
	return clusterDir(b.cfg.StateDir, name)
}

func clusterDir(stateDir, name string) string {
	return filepath.Join(stateDir, "clusters", clusterDirName(name))
}

// LogPath is the file that holds everything that launches of a cluster did.
func (b *Broker) LogPath(name string) string {
	return filepath.Join(b.cfg.StateDir, "logs", clusterDirName(name), "provision.log")
}

// KnownHostsPath is a known_hosts file with the pinned keys of a cluster's nodes.
func (b *Broker) KnownHostsPath(name string) string {
	return filepath.Join(b.ClusterDir(name), "known_hosts")
}
