// SPDX-License-Identifier: MPL-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// Bastion is a machine of the user's through which nodes are reached that have
// no way in of their own, such as those of private subnets. It holds no secret:
// keys are named by path, or are the SSH agent's.
type Bastion struct {
	Host string
	// Port is that of its SSH server; 0 is 22.
	Port int
	User string
	// HostKey is pinned, in authorized_keys form.
	HostKey string
	// KeyPath is the private key that logs in there; empty offers Own, then the
	// keys of the agent at AgentSocket, where there is one.
	KeyPath     string
	Own         func() ([]ssh.Signer, error)
	AgentSocket string
	// Clouds are those whose nodes are behind it; empty means all.
	Clouds []string
}

// Serves reports whether nodes of the cloud are reached through it. A nil one
// serves nobody.
func (b *Bastion) Serves(cloudName string) bool {
	return b != nil && (len(b.Clouds) == 0 || slices.Contains(b.Clouds, cloudName))
}

// To is the way to a cloud's nodes; nil is the direct one.
func (b *Bastion) To(ctx context.Context, cloudName string) (*remote.Target, error) {
	if !b.Serves(cloudName) {
		return nil, nil //nolint:nilnil // no bastion is no error
	}
	return b.Target(ctx)
}

// Target is where to dial on the way to a node, with the keys to offer there.
func (b *Bastion) Target(ctx context.Context) (*remote.Target, error) {
	target := &remote.Target{Host: b.Host, Port: b.SSHPort(), User: b.User, HostKey: b.HostKey}
	if b.KeyPath != "" {
		signer, err := remote.LoadSigner(b.KeyPath, nil)
		if err != nil {
			return nil, fmt.Errorf("bastion %s: %w", b.Host, err)
		}
		target.Signers = []ssh.Signer{signer}
		return target, nil
	}
	var err error
	if b.Own != nil {
		target.Signers, err = b.Own()
	}
	if b.AgentSocket != "" {
		more, aerr := remote.AgentSigners(ctx, b.AgentSocket)
		target.Signers, err = append(slices.Clone(target.Signers), more...), errors.Join(err, aerr)
	}
	if len(target.Signers) == 0 {
		return nil, fmt.Errorf("bastion %s: there is no key to log in with: %w", b.Host,
			cmp.Or(err, errors.New("name one with private_key_path, or add it to the SSH agent")))
	}
	return target, nil
}

// SSHPort is the port of its SSH server.
func (b *Bastion) SSHPort() int { return cmp.Or(b.Port, 22) }
