// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/skybroker/terraform-provider-sky/internal/broker/launch"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// What a broker can do, and the room that does it.

// Launch brings the cluster up on the best placement that works; see
// launch.Launcher. A broker whose owner id does not last launches none.
//
// With an error, a Cluster that has a Generation must be kept in state: some
// of its machines are alive.
func (b *Broker) Launch(ctx context.Context, spec Spec) (cluster.Cluster, error) {
	if err := b.owned(); err != nil {
		return cluster.Cluster{}, fmt.Errorf("nothing was launched: %w", err)
	}
	return launch.Launcher{Down: b.down(), Make: b.maker(), Memory: &b.memory, Blocks: &b.blocks}.Launch(ctx, spec)
}

// Stop stops the cluster's machines and keeps their disks; see change.Changer.
func (b *Broker) Stop(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	return b.changer().Stop(ctx, c)
}

// Start resumes the cluster's stopped machines in place; see change.Changer.
func (b *Broker) Start(ctx context.Context, c cluster.Cluster, spec Spec) (cluster.Cluster, error) {
	return b.changer().Start(ctx, c, spec)
}

// Resize brings a running cluster to the given number of nodes in place; see
// change.Changer.
func (b *Broker) Resize(ctx context.Context, c cluster.Cluster, spec Spec, nodes int) (cluster.Cluster, error) {
	return b.changer().Resize(ctx, c, spec, nodes)
}

// Restore brings a cluster that has lost machines back to its size in place; see
// change.Changer.
func (b *Broker) Restore(ctx context.Context, c cluster.Cluster, spec Spec) (cluster.Cluster, error) {
	return b.changer().Restore(ctx, c, spec)
}

// Update brings a cluster to the spec in place; see change.Changer.
func (b *Broker) Update(ctx context.Context, c cluster.Cluster, spec Spec, what Changes) (cluster.Cluster, error) {
	return b.changer().Update(ctx, c, spec, what)
}

// Destroy removes the cluster's machines, rules and keys, and returns only after
// their absence was observed; see change.Changer.
func (b *Broker) Destroy(ctx context.Context, c cluster.Cluster) error {
	return b.changer().Destroy(ctx, c)
}

// Drift says, for people, what of the cluster's ports, their sources and its
// labels is otherwise than in the spec; see change.Changer.
func (b *Broker) Drift(ctx context.Context, c cluster.Cluster, spec Spec) ([]string, error) {
	return b.changer().Drift(ctx, c, spec)
}

// RemoveRules removes the rules and keys of a cluster whose machines are
// gone (ErrGone); see teardown.Teardown.
func (b *Broker) RemoveRules(ctx context.Context, c cluster.Cluster) error {
	return b.down().RemoveRules(ctx, c, true)
}

// Observe returns the cluster as its cloud sees it now. ErrGone means that all
// its machines are positively gone; after any other error nothing is known.
func (b *Broker) Observe(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	return b.observer().Observe(ctx, c)
}

// Refresh is Observe for a cluster that Terraform's state holds, which it
// records. After any error but ErrGone the state must stay as it is.
func (b *Broker) Refresh(ctx context.Context, c cluster.Cluster) (cluster.Cluster, error) {
	return b.observer().Refresh(ctx, c)
}

// Find returns the cluster with the id "cloud/region/name"; see observe.Observer.
func (b *Broker) Find(ctx context.Context, id string) (cluster.Cluster, error) {
	return b.observer().Find(ctx, id)
}

// FindByName returns the cluster of that name that lives on one of the clouds, or
// where the state folder has one; see observe.Observer.
func (b *Broker) FindByName(ctx context.Context, name string, clouds []string) (cluster.Cluster, error) {
	c, err := b.observer().FindByName(ctx, name, clouds)
	if b.unowned != nil && errors.Is(err, cloud.ErrNotFound) {
		return cluster.Cluster{}, b.unowned
	}
	return c, err
}

// FindGeneration returns the cluster of that id and generation as its cloud sees
// it now; see observe.Observer.
func (b *Broker) FindGeneration(ctx context.Context, id string, w Whose) (cluster.Cluster, error) {
	return b.observer().FindGeneration(ctx, id, w)
}

// Strangers are the machines of a name under other owner ids, as far as the
// clouds can be asked. They are nothing to act on, only to be told of.
func (b *Broker) Strangers(ctx context.Context, name string, clouds []string) []cloud.Thing {
	return b.observer().Strangers(ctx, name, clouds)
}

// Forgotten are machines that a launch left on a cloud which removes none by itself;
// see observe.Observer.
func (b *Broker) Forgotten(ctx context.Context, cloudName string) ([]cloud.Instance, error) {
	return b.observer().Forgotten(ctx, cloudName)
}

// Current is the generation that this process has seen living under an id last;
// empty where it has seen none.
func (b *Broker) Current(id string) string { return b.memory.Current(id) }

// HandOver marks what this process launched as held by Terraform; see held.Marks.
func (b *Broker) HandOver(ctx context.Context) { b.marks().HandOver(ctx) }

// NoteHeld marks a cluster as held by a state; see held.Marks.
func (b *Broker) NoteHeld(ctx context.Context, owner, name, gen string) {
	b.marks().NoteHeld(ctx, owner, name, gen)
}

// NoteReplacement notes that a plan replaces a cluster of the name; see
// held.Marks.
func (b *Broker) NoteReplacement(ctx context.Context, name string, held ...cluster.Cluster) error {
	return b.marks().NoteReplacement(ctx, name, held...)
}
