// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// RenewHostKeys has each node make a host key in place of the one that it was born
// with, by the template's command, and returns the nodes with those. The clients are
// connections under the old keys.
func (via Reach) RenewHostKeys(ctx context.Context, c cluster.Cluster, clients []Node, command string) ([]cluster.Node, error) {
	renewed := slices.Clone(c.Nodes)
	group, ctx := errgroup.WithContext(ctx)
	for i, n := range c.Nodes {
		group.Go(func() error {
			key, err := renewHostKey(ctx, clients[i], command)
			if err == nil && key == n.HostKey {
				err = errors.New("it is the one that the machine was born with")
			}
			if err != nil {
				return fmt.Errorf("make a host key on rank %d (%s): %w", n.Rank, n.InstanceID, err)
			}
			renewed[i].HostKey = key
			return nil
		})
	}
	return renewed, group.Wait()
}

func renewHostKey(ctx context.Context, client Node, command string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, fmt.Errorf("it was not done within %s", probeTime))
	defer cancel()
	var out, says bytes.Buffer
	code, err := client.Run(ctx, remote.Command{Script: command, Stdout: &out, Stderr: &says})
	switch {
	case err != nil:
		return "", err
	case code != 0:
		return "", fmt.Errorf("it ended with exit code %d: %s", code, cluster.OneLine(says.String()))
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(out.Bytes())
	if err != nil {
		return "", fmt.Errorf("it printed no public key: %w", err)
	}
	return remote.AuthorizedKey(key), nil
}
