// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"context"
	"time"
)

// Surveyor is a Provisioner that can list all that the provider made in an
// account, whoever its owner is: what is left where a state and a disk were lost.
type Surveyor interface {
	// Survey lists what carries the provider's tags and matches the ref: machines
	// that are not terminated, and what was made for machines. An empty field of
	// the ref matches anything, its Owner too; Instances are not looked at. It
	// shows things, to people and to clean-ups of the broker's own; nothing that
	// is another owner's may be decided by it. None is no error.
	Survey(ctx context.Context, ref ClusterRef) ([]Thing, error)
}

// ThingKind says what a thing is.
type ThingKind string

// What the provider makes in an account.
const (
	ThingMachine  ThingKind = "machine"
	ThingDisk     ThingKind = "disk"
	ThingKey      ThingKind = "key"
	ThingFirewall ThingKind = "firewall"
	ThingGroup    ThingKind = "group" // a placement group
	ThingAddress  ThingKind = "address"
)

// Paid reports whether such a thing is charged for although no machine uses it.
// It goes with its machines, when Terminate is called.
func (k ThingKind) Paid() bool { return k == ThingDisk || k == ThingAddress }

// Thing is something in an account that carries the provider's tags.
type Thing struct {
	Kind ThingKind
	// ID is what the cloud's own tools call it; Name is for people.
	ID, Name string
	// Ref says whose it is: Owner, Cluster, Generation, Cloud, Region and Zone.
	Ref ClusterRef
	// CreatedAt is zero where the cloud does not say.
	CreatedAt time.Time
	// Identity is that of the machine which a thing was made for, where it was
	// made for one and says so.
	Identity Identity
	// InUse says that a machine uses it, so that it goes when that goes. Survey
	// does not show it.
	InUse bool
	// Committed and Deadline are a machine's.
	Committed bool
	Deadline  time.Time
}

// ThingOf is a thing with these tags in a place, and whether it matches the ref.
// Without a whole ownership it does not.
func (ref ClusterRef) ThingOf(kind ThingKind, id, name string, tags map[string]string, region string) (Thing, bool) {
	t := Thing{Kind: kind, ID: id, Name: name, Ref: ClusterRef{
		Owner: tags[TagOwner], Cluster: tags[TagCluster], Generation: tags[TagGeneration], Cloud: ref.Cloud, Region: region,
	}}
	t.Identity, _ = IdentityFromTags(tags) // zero where it is the cluster's as a whole
	own := t.Ref
	if ref.Owner != "" {
		own.Owner = ref.Owner
	}
	own.Cluster, own.Generation = ref.Cluster, ref.Generation
	return t, own.Owns(tags) && (ref.Region == "" || region == "" || region == ref.Region)
}
