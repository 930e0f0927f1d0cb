// SPDX-License-Identifier: MPL-2.0

package cloudtest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

func ownershipCases() []Case {
	return []Case{
		{Name: "ownership/identity round trip", run: identityRoundTrip},
		{Name: "ownership/host key and notes", applies: func(c cloud.Capabilities) bool { return c.Labels }, run: marksStay},
		{Name: "ownership/foreign machines next door", run: foreignNextDoor},
		{Name: "ownership/foreign id refused", run: foreignID},
		{Name: "ownership/other generation untouched", run: otherGeneration},
		{Name: "ownership/other cluster untouched", run: otherCluster},
		{Name: "ownership/survey", run: survey},
	}
}

func identityRoundTrip(ctx context.Context, w *world) error {
	c := w.cluster(w.most())
	for rank := range c.attempts {
		c.attempts[rank] = 10 + rank
	}
	if _, err := c.up(ctx); err != nil {
		return err
	}
	got, err := w.Query(ctx, c.ref)
	if err != nil {
		return fmt.Errorf("Query: %w", err)
	}
	seen := map[cloud.Identity]bool{}
	for _, in := range got {
		seen[in.Identity] = true
	}
	for rank := range c.attempts {
		if !seen[c.identity(rank)] {
			return fmt.Errorf("Query shows no machine of identity %+v", c.identity(rank))
		}
	}
	if len(got) != len(c.attempts) {
		return fmt.Errorf("Query shows %d machines, want %d", len(got), len(c.attempts))
	}
	return nil
}

// marksStay: every machine shows its own host key and the cluster's notes, from
// its launch on, also after its labels changed and a host key came to be known.
func marksStay(ctx context.Context, w *world) error {
	c := w.cluster(w.most())
	c.spec.Notes = map[string]string{cloud.TagRuntime: "ssh", cloud.TagAccelerators: "A100:8"}
	c.hostKeys = map[int]string{0: hostKey("launch")} // the launch tells no other
	check := func(when string) error {
		got, err := w.Query(ctx, c.ref)
		if err != nil {
			return fmt.Errorf("Query: %w", err)
		}
		for _, in := range got {
			if want := c.hostKeys[in.Identity.Rank]; in.HostKey != want {
				return fmt.Errorf("%s rank %d shows the host key %q, want %q", when, in.Identity.Rank, in.HostKey, want)
			}
			if !maps.Equal(in.Notes, c.spec.Notes) {
				return fmt.Errorf("%s rank %d shows the notes %v, want %v", when, in.Identity.Rank, in.Notes, c.spec.Notes)
			}
			for k := range in.Labels {
				if strings.HasPrefix(k, cloud.TagPrefix) {
					return fmt.Errorf("%s rank %d shows %s as a label of the user's", when, in.Identity.Rank, k)
				}
			}
		}
		return nil
	}
	if _, err := c.up(ctx); err != nil {
		return err
	}
	if err := check("after its launch"); err != nil || w.caps.LabelsFixed {
		return err
	}
	c.spec.Labels = map[string]string{"team": "other", "Large:odd": "no label of GCP"}
	known := c.hostKeys
	c.hostKeys, c.spec.Notes = nil, nil
	if _, err := c.run(ctx); err != nil {
		return fmt.Errorf("Run with other labels: %w", err)
	}
	c.hostKeys, c.spec.Notes = known, map[string]string{cloud.TagRuntime: "ssh", cloud.TagAccelerators: "A100:8"}
	if err := check("after its labels changed"); err != nil {
		return err
	}
	c.hostKeys[w.most()-1] = hostKey("later")
	c.spec.Notes[cloud.TagRuntime] = "ray"
	if _, err := c.run(ctx); err != nil {
		return fmt.Errorf("Run with a host key: %w", err)
	}
	return check("after its host key and its runtime were told")
}

// hostKey has the form and the length of a key, if no more.
func hostKey(what string) string {
	return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%32.32s", what))[:43]
}

// foreign launches one foreign machine of each kind beside the cluster's rank 0.
func (w *world) foreign(ctx context.Context, c *cluster, n Neighbour) ([]string, error) {
	var all []string
	for _, kind := range []Foreign{Unmarked, OtherOwner, Malformed} {
		id, err := n.LaunchForeign(ctx, c.at, kind, c.identity(0))
		if err != nil {
			return nil, fmt.Errorf("launch a foreign machine (%s): %w", kind, err)
		}
		w.undo = append(w.undo, func(ctx context.Context) error { return n.Remove(ctx, id) })
		all = append(all, id)
	}
	return all, nil
}

// unharmed says whether the machines, all foreign, run as before.
func unharmed(ctx context.Context, n Neighbour, ids ...string) error {
	for _, id := range ids {
		ok, err := n.Running(ctx, id)
		if err != nil {
			return fmt.Errorf("look at the foreign machine %s: %w", id, err)
		}
		if !ok {
			return fmt.Errorf("the foreign machine %s does not run any more", id)
		}
	}
	return nil
}

func foreignNextDoor(ctx context.Context, w *world) error {
	n, err := hook[Neighbour](w)
	if err != nil {
		return err
	}
	c := w.cluster(1)
	foreign, err := w.foreign(ctx, c, n)
	if err != nil {
		return err
	}
	survived := func(what string) error {
		if err := unharmed(ctx, n, foreign...); err != nil {
			return fmt.Errorf("after %s: %w", what, err)
		}
		return nil
	}
	machines, err := c.up(ctx)
	if err != nil {
		return err
	}
	anyCluster := cloud.ClusterRef{Owner: w.owner, Cloud: c.ref.Cloud}
	if err := w.lists(ctx, anyCluster, cloud.StateRunning, ids(machines)...); err != nil {
		return fmt.Errorf("beside foreign machines: %w", err)
	}
	if w.caps.Stop {
		if err := w.Stop(ctx, c.ref); err != nil {
			return fmt.Errorf("Stop: %w", err)
		}
		if err := survived("Stop"); err != nil {
			return err
		}
	}
	if err := w.Terminate(ctx, c.ref); err != nil {
		return fmt.Errorf("Terminate: %w", err)
	}
	if err := w.Terminate(ctx, anyCluster); err != nil {
		return fmt.Errorf("Terminate everything of the owner: %w", err)
	}
	if err := w.CleanupPorts(ctx, c.ref); err != nil {
		return fmt.Errorf("CleanupPorts: %w", err)
	}
	return errors.Join(survived("Terminate"), w.machinesAre(ctx, len(foreign)))
}

func foreignID(ctx context.Context, w *world) error {
	n, err := hook[Neighbour](w)
	if err != nil {
		return err
	}
	c, machines, err := w.up(ctx, 1)
	if err != nil {
		return err
	}
	foreign, err := w.foreign(ctx, c, n)
	if err != nil {
		return err
	}
	for _, id := range foreign {
		if err := w.Terminate(ctx, c.narrowed(machines[0].ID, id)); err == nil {
			return fmt.Errorf("Terminate takes the foreign id %s for its own", id)
		}
		if err := unharmed(ctx, n, foreign...); err != nil {
			return err
		}
	}
	return w.lists(ctx, c.ref, cloud.StateRunning, ids(machines)...)
}

// otherGeneration is what create_before_destroy does: one name, two clusters.
func otherGeneration(ctx context.Context, w *world) error {
	before, after := w.cluster(1, named("same")), w.cluster(1, named("same"))
	return w.apart(ctx, before, after)
}

func otherCluster(ctx context.Context, w *world) error {
	g := "g" + random()
	a, b := w.cluster(1, named("same"), generation(g)), w.cluster(1, named("same-2"), generation(g))
	return w.apart(ctx, a, b)
}

// apart removes one of two clusters and looks after the other.
func (w *world) apart(ctx context.Context, a, b *cluster) error {
	if _, err := a.up(ctx); err != nil {
		return err
	}
	one, err := w.count(ctx)
	if err != nil {
		return err
	}
	if _, err := b.up(ctx); err != nil {
		return err
	}
	first, err := w.Describe(ctx, a.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	second, err := w.Describe(ctx, b.ref)
	if err != nil {
		return fmt.Errorf("Describe: %w", err)
	}
	both := append(ids(first.Instances), ids(second.Instances)...)
	anyCluster := cloud.ClusterRef{Owner: w.owner, Cloud: a.ref.Cloud}
	if err := w.lists(ctx, anyCluster, cloud.StateRunning, both...); err != nil {
		return err
	}
	whole, err := w.count(ctx)
	if err != nil {
		return err
	}
	if err := a.remove(ctx); err != nil {
		return err
	}
	if err := w.lists(ctx, anyCluster, cloud.StateRunning, ids(second.Instances)...); err != nil {
		return fmt.Errorf("after the other was removed: %w", err)
	}
	left, err := w.count(ctx)
	if err != nil {
		return err
	}
	if left != one {
		return fmt.Errorf("with one cluster the account held %+v, with two %+v, and after one was removed %+v", one, whole, left)
	}
	if _, err := b.up(ctx); err != nil {
		return fmt.Errorf("the cluster that stays: %w", err)
	}
	return w.machinesAre(ctx, 1)
}
