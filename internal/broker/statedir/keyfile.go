// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// KeyFile is the file on this computer with a key that the cluster's machines
// accept: the one on record, else the one made for the cluster in this state
// folder, wherever the folder was when it was made, else the user's own. Empty
// is none: the key is not here, or is no file.
func (f Folder) KeyFile(c cluster.Cluster) string {
	made := ""
	if journal.GenerationPattern().MatchString(c.Generation) {
		made = generatedKey(keyDir(f.path, c.Generation))
	}
	for _, path := range []string{c.KeyPath, made, f.dir.KeyPath} {
		if _, err := remote.LoadSigner(path, nil); path != "" && err == nil {
			if whole, err := filepath.Abs(path); err == nil {
				return whole
			}
		}
	}
	return ""
}

// generatedKey is the private key in a generation's folder.
func generatedKey(dir string) string { return filepath.Join(dir, "id_ed25519") }

// Signers are the keys to log in to the cluster's machines with: that of
// KeyFile first, then the user's own. None at all is a *MissingKeyError.
func (f Folder) Signers(c cluster.Cluster) ([]ssh.Signer, error) {
	own, err := f.own()
	var signers []ssh.Signer
	if path := f.KeyFile(c); path != "" {
		signer, lerr := remote.LoadSigner(path, nil)
		if lerr == nil {
			signers = append(signers, signer)
		}
		err = errors.Join(err, lerr)
	}
	for _, s := range own {
		if !slices.ContainsFunc(signers, func(have ssh.Signer) bool { return bytes.Equal(have.PublicKey().Marshal(), s.PublicKey().Marshal()) }) {
			signers = append(signers, s)
		}
	}
	if len(signers) > 0 {
		return signers, nil
	}
	if missing := c.CheckKey(); missing != nil || err == nil {
		return nil, errors.Join(missing, err)
	}
	return nil, err
}

// own are the user's own keys.
func (f Folder) own() ([]ssh.Signer, error) {
	if f.dir.Own == nil {
		return nil, nil
	}
	return f.dir.Own()
}
