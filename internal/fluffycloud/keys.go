// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"net/http"
	"strings"

	"golang.org/x/crypto/ssh"
)

func (s *Server) createKey(ctx context.Context, c *call) (reply, error) {
	var in struct {
		Name      string            `json:"name"`
		PublicKey string            `json:"public_key"`
		Tags      map[string]string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := checkName(in.Name); err != nil {
		return reply{}, err
	}
	if err := checkTags(in.Tags); err != nil {
		return reply{}, err
	}
	if strings.ContainsAny(strings.TrimSpace(in.PublicKey), "\r\n") {
		return reply{}, invalid("public_key", "must be one line")
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(in.PublicKey)); err != nil {
		return reply{}, invalid("public_key", "is not in authorized_keys form, such as %q", "ssh-ed25519 AAAA... name")
	}
	if err := s.suffer(ctx, c, "key", subject{name: in.Name}); err != nil {
		return reply{}, err
	}
	key := SSHKey{ID: "key-" + randomHex(8), Name: in.Name, PublicKey: strings.TrimSpace(in.PublicKey), CreatedAt: s.clock.Now().UTC(), Tags: orEmpty(in.Tags)}
	err := s.store.update(func(t *tx) error {
		same, err := all(t, bucketKeys, func(k SSHKey) bool { return k.Name == in.Name })
		if err != nil {
			return err
		}
		if len(same) > 0 {
			return conflict("there is an SSH key named %q already: %s", in.Name, same[0].ID)
		}
		return put(t, bucketKeys, key.ID, key)
	})
	return reply{http.StatusCreated, map[string]any{"ssh_key": key}}, err
}

func (s *Server) listKeys(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "key", subject{}); err != nil {
		return reply{}, err
	}
	tags, err := tagFilter(c)
	if err != nil {
		return reply{}, err
	}
	name := c.URL.Query().Get("name")
	var keys []SSHKey
	err = s.store.view(func(t *tx) (err error) {
		keys, err = all(t, bucketKeys, func(k SSHKey) bool {
			return !c.effect.Empty && hasTags(k.Tags, tags) && (name == "" || k.Name == name)
		})
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return page(c, "ssh_keys", keys, func(k SSHKey) string { return k.ID })
}

func (s *Server) getKey(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "key", subject{}); err != nil {
		return reply{}, err
	}
	var key SSHKey
	err := s.store.view(func(t *tx) (err error) {
		key, err = fetch[SSHKey](t, bucketKeys, "SSH key", c.PathValue("id"))
		return err
	})
	return reply{http.StatusOK, map[string]any{"ssh_key": key}}, err
}

func (s *Server) deleteKey(ctx context.Context, c *call) (reply, error) {
	if err := s.suffer(ctx, c, "key", subject{}); err != nil {
		return reply{}, err
	}
	id := c.PathValue("id")
	return reply{status: http.StatusNoContent}, s.store.update(func(t *tx) error {
		if _, err := fetch[SSHKey](t, bucketKeys, "SSH key", id); err != nil || c.effect.Silent {
			return err
		}
		return remove(t, bucketKeys, id)
	})
}
