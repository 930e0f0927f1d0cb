// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func sentCases() []Case {
	return []Case{
		{Name: "sent/user data of each node", applies: func(c cloud.Capabilities) bool { return c.UserData || c.StartCommand }, run: userDataSent},
		{Name: "sent/SSH user and keys", run: accessSent},
		{Name: "sent/one user's key in two clusters", run: oneKey},
		{Name: "sent/image asked for", applies: func(c cloud.Capabilities) bool { return c.CustomImage }, run: imageSent},
		{Name: "sent/unknown image", applies: func(c cloud.Capabilities) bool { return c.CustomImage }, run: imageUnknown},
		{Name: "sent/disk asked for", applies: func(c cloud.Capabilities) bool { return c.CustomDisk }, run: diskSent},
		{Name: "network/nodes reach one another", applies: func(c cloud.Capabilities) bool { return c.MultiNode }, run: nodesReach},
		{Name: "network/nodes reach the outside", run: reachesOut},
	}
}

// sent asks the world with what a machine was made.
func (w *world) sent(ctx context.Context, id string) (Sent, error) {
	i, err := hook[Inspector](w)
	if err != nil {
		return Sent{}, err
	}
	sent, err := i.Sent(ctx, id)
	if err != nil {
		return Sent{}, fmt.Errorf("look with what %s was made: %w", id, err)
	}
	return sent, nil
}

// userDataSent: every node gets its own, which may hold its host key.
func userDataSent(ctx context.Context, w *world) error {
	c := w.cluster(w.most())
	for rank := range c.attempts {
		c.userData[rank] = fmt.Appendf(nil, "#!/bin/sh\n# %s of rank %d: \"quotes\", $(dollars), ünïcode\ntrue\n", random(), rank)
	}
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	for rank, m := range machines {
		sent, err := w.sent(ctx, m.ID)
		if err != nil {
			return err
		}
		if !bytes.Contains(sent.UserData, c.userData[rank]) {
			return fmt.Errorf("the machine of rank %d was made with the user data %q, want %q in it", rank, sent.UserData, c.userData[rank])
		}
	}
	return nil
}

// accessSent: the user that the broker is to log in as, and the keys.
func accessSent(ctx context.Context, w *world) error {
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	info, err := w.Describe(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	spec := c.current()
	if info.SSHUser == "" || (spec.SSHUser != "" && info.SSHUser != spec.SSHUser) {
		return fmt.Errorf("Describe names the SSH user %q, where %q was asked for", info.SSHUser, spec.SSHUser)
	}
	if len(spec.AuthorizedKeys) == 0 {
		return errors.New("the harness's Spec has no AuthorizedKeys")
	}
	sent, err := w.sent(ctx, machines[0].ID)
	if err != nil {
		return err
	}
	for _, key := range spec.AuthorizedKeys {
		material := strings.Join(strings.Fields(key)[:2], " ")
		has := func(line string) bool { return strings.Contains(line, material) }
		if !slices.ContainsFunc(sent.AuthorizedKeys, has) && !has(string(sent.UserData)) {
			return fmt.Errorf("the machine was made with the keys %q, want %q among them, or in its user data", sent.AuthorizedKeys, key)
		}
	}
	return nil
}

// oneKey: where a key may be registered once, two clusters of one user share
// it, and the end of one does not take it from the other.
func oneKey(ctx context.Context, w *world) error {
	a, b := w.cluster(1), w.cluster(1)
	if _, err := a.up(ctx); err != nil {
		return err
	}
	one, err := w.count(ctx)
	if err != nil {
		return err
	}
	if _, err := b.up(ctx); err != nil {
		return fmt.Errorf("a second cluster with the key of the first: %w", err)
	}
	if err := a.remove(ctx); err != nil {
		return err
	}
	left, err := w.count(ctx)
	if err != nil {
		return err
	}
	if left.Keys != one.Keys {
		return fmt.Errorf("with one cluster there are %d keys, and after another one came and went %d", one.Keys, left.Keys)
	}
	b.resize(w.most())
	_, err = b.up(ctx)
	if err != nil {
		return fmt.Errorf("the cluster that stays: %w", err)
	}
	return nil
}

func imageSent(ctx context.Context, w *world) error {
	i, err := hook[Inspector](w)
	if err != nil {
		return err
	}
	standard, asked := w.cluster(1), w.cluster(1)
	other, _ := i.Images()
	asked.spec.Image = other
	for _, c := range []*cluster{standard, asked} {
		machines, err := c.up(ctx)
		if err != nil {
			return err
		}
		sent, err := w.sent(ctx, machines[0].ID)
		if err != nil {
			return err
		}
		if got := sent.Image == other; got != (c == asked) || sent.Image == "" {
			return fmt.Errorf("with the image %q asked for the machine has %q", c.spec.Image, sent.Image)
		}
	}
	return nil
}

// imageUnknown: the user's mistake is told, and nothing is made.
func imageUnknown(ctx context.Context, w *world) error {
	i, err := hook[Inspector](w)
	if err != nil {
		return err
	}
	c := w.cluster(1)
	_, c.spec.Image = i.Images()
	if c.cfg, err = w.Bootstrap(ctx, c.current(), c.at); err == nil {
		_, err = w.Run(ctx, c.ref, c.cfg)
	}
	if err == nil {
		return fmt.Errorf("the image %s was taken, which there is not", c.spec.Image)
	}
	if got := w.Classify(err).Kind; got != cloud.KindConfig {
		return fmt.Errorf("an unknown image is classified as %q, want %q: %w", got, cloud.KindConfig, err)
	}
	return w.machinesAre(ctx, 0)
}

func diskSent(ctx context.Context, w *world) error {
	const gib = 137
	c := w.cluster(1)
	c.spec.DiskGiB = gib
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	sent, err := w.sent(ctx, machines[0].ID)
	if err != nil {
		return err
	}
	if sent.DiskGiB != gib {
		return fmt.Errorf("the machine's disk has %d GiB, want %d", sent.DiskGiB, gib)
	}
	return nil
}

// nodesReach: every node reaches every other one, also one that came later and
// after other ports were opened.
func nodesReach(ctx context.Context, w *world) error {
	g, err := hook[Gatekeeper](w)
	if err != nil {
		return err
	}
	c := w.cluster(2)
	if _, err := c.up(ctx); err != nil {
		return err
	}
	if w.caps.PortsLater {
		if err := w.OpenPorts(ctx, c.ref, c.cfg, []cloud.PortRange{portRange(8080, 8080)}); err != nil {
			return fmt.Errorf("OpenPorts: %w", err)
		}
	}
	c.resize(3)
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	for _, from := range machines {
		if from.InternalIP == "" {
			return fmt.Errorf("node %s has no address for the others", from.ID)
		}
		for _, to := range machines {
			if from.ID == to.ID {
				continue
			}
			ok, err := g.Reaches(ctx, from.ID, to.ID)
			if err != nil {
				return fmt.Errorf("look from %s to %s: %w", from.ID, to.ID, err)
			}
			if !ok {
				return fmt.Errorf("rank %d does not reach rank %d", from.Identity.Rank, to.Identity.Rank)
			}
		}
	}
	return nil
}

func reachesOut(ctx context.Context, w *world) error {
	g, err := hook[Gatekeeper](w)
	if err != nil {
		return err
	}
	_, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	ok, err := g.ReachesOut(ctx, machines[0].ID)
	if err != nil {
		return fmt.Errorf("look out of %s: %w", machines[0].ID, err)
	}
	if !ok {
		return errors.New("the machine does not reach the outside, where setup installs things from")
	}
	return nil
}
