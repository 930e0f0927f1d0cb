// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

//go:embed clusterkey.sh
var clusterKeyScript string

// ClusterKey returns the public half of the key with which the head reaches the
// other nodes, made on the head on first use. It is never the user's.
func ClusterKey(ctx context.Context, head Shell) (string, error) {
	private, public, err := NewHostKey() // used where the head cannot make one
	if err != nil {
		return "", err
	}
	script := "public=" + Quote(public) + "\n" + clusterKeyScript
	out, err := Output(ctx, head, Command{Script: script, Stdin: bytes.NewReader(private)})
	if err != nil {
		return "", fmt.Errorf("making the cluster's own key: %w", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(out)) //nolint:dogsled // five results, one wanted
	if err != nil {
		return "", errors.New("making the cluster's own key: the head shows no public key")
	}
	return AuthorizedKey(key), nil
}

// AuthorizeClusterKey lets the head in to a node.
func AuthorizeClusterKey(ctx context.Context, node Shell, key string) error {
	script := fmt.Sprintf(`umask 077; mkdir -p .ssh && touch .ssh/authorized_keys || exit 1
grep -qxF %[1]s .ssh/authorized_keys || printf '%%s\n' '' %[1]s >>.ssh/authorized_keys`, Quote(key))
	if _, err := Output(ctx, node, Command{Script: script}); err != nil {
		return fmt.Errorf("letting the head reach the node: %w", err)
	}
	return nil
}
