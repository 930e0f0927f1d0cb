// SPDX-License-Identifier: MPL-2.0

package statedir

import (
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
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

var ownerPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,39}$`) })

// ValidOwner reports whether an owner id can stand in machines' tags: 3 to 40
// lower-case letters, digits and dashes, not beginning with a dash.
func ValidOwner(owner string) bool { return ownerPattern().MatchString(owner) }

// NoOwnerError says that the state folder cannot keep an owner id.
type NoOwnerError struct{ err error }

// Error implements error; it says what would help.
func (e *NoOwnerError) Error() string {
	return fmt.Sprintf("the state folder cannot keep an owner id, which would be lost with this process (%v); set owner in the provider block or SKY_OWNER, or make the folder usable", e.err)
}

// Unwrap implements the error chain.
func (e *NoOwnerError) Unwrap() error { return e.err }

// LoadOwner returns the configured owner or the one of the state folder, which
// it makes on first use. Two processes that race agree on one. With a
// *NoOwnerError the id is good for this process alone.
func LoadOwner(stateDir, configured string) (string, error) {
	if configured != "" {
		if !ValidOwner(configured) {
			return "", fmt.Errorf("%q is not 3 to 40 lower-case letters, digits and dashes", configured)
		}
		return configured, nil
	}
	own := "sky-" + durable.RandomHex(8)
	if err := durable.PrivateDir(stateDir); err != nil {
		return own, &NoOwnerError{err}
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
			return own, &NoOwnerError{err}
		}
		if err := durable.LinkNew(path, []byte(own+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
			return own, &NoOwnerError{err}
		}
	}
	return "", fmt.Errorf("%s appeared and vanished", path)
}

// OwnerOf is the owner id that a broker over the state folder would have; empty
// where it would have to make one.
func OwnerOf(stateDir, configured string) string {
	if configured != "" {
		return configured
	}
	text, err := os.ReadFile(filepath.Join(stateDir, "owner"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// clusterDirName is a folder name that is readable and distinct for names that
// read the same once slugged, and for owners.
func clusterDirName(owner, name string) string { return slugged(name, owner+"\x00"+name) }

// sharedDirName is the name that versions up to 0.1 gave the folder, whoever the
// cluster's owner was.
func sharedDirName(name string) string { return slugged(name, name) }

func slugged(name, whole string) string {
	sum := sha256.Sum256([]byte(whole))
	slug := cloud.Slug(name)
	if len(slug) > 40 {
		slug = slug[:40]
	}
	return slug + "-" + hex.EncodeToString(sum[:4])
}
