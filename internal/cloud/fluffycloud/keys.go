// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

func (d *driver) ensureSSHKeys(ctx context.Context, spec cloud.ClusterSpec) ([]string, error) {
	ids := make([]string, 0, len(spec.AuthorizedKeys))
	for _, line := range spec.AuthorizedKeys {
		id, err := d.ensureSSHKey(ctx, spec.Ref, strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("SSH key: %w", err)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// ensureSSHKey creates before it looks: a conflict, or a lost answer to a
// create that worked, then ends in the same look.
func (d *driver) ensureSSHKey(ctx context.Context, ref cloud.ClusterRef, line string) (string, error) {
	want := sshKey{Name: ref.Name(maxNameLength, line), PublicKey: line, Tags: ref.Tags()}
	err := d.c.createSSHKey(ctx, want)
	if err != nil && !hasCode(err, codeConflict) {
		return "", fmt.Errorf("create %s: %w", want.Name, err)
	}
	keys, err := d.c.sshKeys(ctx)
	if err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	i := slices.IndexFunc(keys, func(k sshKey) bool { return k.Name == want.Name })
	if i < 0 {
		return "", fmt.Errorf("%s was created but is not listed", want.Name)
	}
	if !ref.Owns(keys[i].Tags) || strings.TrimSpace(keys[i].PublicKey) != line {
		return "", fleet.ConfigErrorf(cloud.ScopeCloud, "an SSH key named %s exists and is not this cluster's", want.Name)
	}
	return keys[i].ID, nil
}
