// SPDX-License-Identifier: MPL-2.0

package lambda

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// sshKey is a key of the account.
type sshKey struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name"`
	Public string `json:"public_key"`
}

// ensureKey finds or registers the cluster's key, and returns its name. A launch
// takes exactly one, of the account's; the keys that people log in with come with
// the user data. So this one is nobody's: its private half is thrown away.
func (d *driver) ensureKey(ctx context.Context, ref cloud.ClusterRef) (string, error) {
	name := ref.FullName(maxName)
	there := func() (bool, error) {
		all, err := get[[]sshKey](ctx, d, "/ssh-keys")
		return slices.ContainsFunc(all, func(k sshKey) bool { return k.Name == name }), err
	}
	if ok, err := there(); ok || err != nil {
		return name, err
	}
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", err //nolint:wrapcheck // there is no randomness
	}
	in := sshKey{Name: name, Public: "ssh-ed25519 " + encoded("ssh-ed25519", string(public)) + " " + ref.FullName(0)}
	if err = d.c.Do(ctx, http.MethodPost, "/ssh-keys", nil, in, nil); err == nil {
		return name, nil
	}
	// Another session may have been quicker, or the answer is lost: lists tell, soon.
	looks := d.Poll
	looks.Attempts = d.MissingLooks
	if retry.Poll(ctx, looks, func(context.Context) (bool, error) { return there() }) == nil {
		return name, nil
	}
	return "", err //nolint:wrapcheck // it names the call
}

// encoded is how SSH writes a public key.
func encoded(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...) //nolint:gosec // short
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Kinds implements fleet.Things.
func (*driver) Kinds() []cloud.ThingKind {
	return []cloud.ThingKind{cloud.ThingFirewall, cloud.ThingKey}
}

// Things implements fleet.Things. Neither keys nor rulesets have tags: their names
// say whose they are, and for long ones what they hold.
func (d *driver) Things(ctx context.Context, ref cloud.ClusterRef, kind cloud.ThingKind) ([]cloud.Thing, error) {
	var own []cloud.Thing
	if kind == cloud.ThingFirewall {
		all, err := d.rulesets(ctx, ref)
		for _, f := range all {
			if t, ok := ref.ThingOf(kind, f.ID, f.Name, f.whose.Tags(), f.Region.Name); ok {
				t.CreatedAt = f.Created
				own = append(own, t)
			}
		}
		return own, err
	}
	all, err := get[[]sshKey](ctx, d, "/ssh-keys")
	for _, k := range all {
		whose, _ := cloud.RefOf(maxName, []cloud.ClusterRef{ref}, append(strings.Fields(k.Public), k.Name)...)
		if t, ok := ref.ThingOf(kind, k.ID, k.Name, whose.Tags(), ""); ok {
			own = append(own, t)
		}
	}
	return own, err
}

// RemoveThing implements fleet.Things.
func (d *driver) RemoveThing(ctx context.Context, t cloud.Thing) error {
	path := "/ssh-keys/"
	if t.Kind == cloud.ThingFirewall {
		path = "/firewall-rulesets/"
	}
	err := d.c.Do(ctx, http.MethodDelete, path+t.ID, nil, nil, nil)
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return err //nolint:wrapcheck // it names the call
}
