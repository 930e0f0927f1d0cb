// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// What only reads a cluster or removes it must get through with a state folder
// that is full, read-only, damaged or not there: state and the cloud know what
// it needs. The journal is asked as far as it can be read, and written as far as
// it can be written.

// known is the cluster's journal as far as it can be read.
func (b *Broker) known(name string) *journal.Journal {
	return journal.Known(b.ClusterDir(name))
}

// withKnown is withJournal that goes on where the journal cannot be opened: f
// gets one that says what is known and takes no entry.
func (b *Broker) withKnown(ctx context.Context, name string, f func(*journal.Journal) error) error {
	j, err := b.openJournal(name)
	if err != nil {
		b.log.WarnContext(ctx, "the cluster's journal cannot be used; going on without it", "cluster", name, "error", err)
		return f(journal.ReadOnly(b.ClusterDir(name), err))
	}
	return errors.Join(f(j), j.Close())
}

// lockOrGoOn is lockCluster that only another holder can refuse. Without a lock
// file that can be made, only this process is kept from working on the cluster
// twice.
func (b *Broker) lockOrGoOn(ctx context.Context, name, doing string) (release func(), err error) {
	release, err = b.lockCluster(ctx, name, doing)
	if err == nil || errors.As(err, new(*BusyError)) || ctx.Err() != nil {
		return release, err
	}
	b.log.WarnContext(ctx, "the cluster's lock cannot be taken; going on without it", "cluster", name, "error", err)
	unhold, ok := b.occupy(name)
	if !ok {
		return nil, &BusyError{Cluster: name, Own: true}
	}
	path := filepath.Join(b.ClusterDir(name), lockName)
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return unhold, nil //nolint:nilerr // nobody can hold a lock that is not there
	}
	// One that was made before the folder became read-only still locks.
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	switch ok, err := lock.TryLock(); {
	case err != nil:
		if _, serr := os.Lstat(path + ".holder"); durable.IsMissing(serr) {
			return unhold, nil // whoever takes the lock says so
		}
		unhold()
		return nil, b.maybeBusy(name, path, err)
	case !ok:
		unhold()
		return nil, b.busy(name, path+".holder")
	}
	return func() {
		_ = lock.Unlock()
		unhold()
	}, nil
}

// maybeBusy is busy for a lock that cannot be tested.
func (b *Broker) maybeBusy(name, path string, err error) *BusyError {
	busy := b.busy(name, path+".holder")
	busy.Own = false // this process knows what it holds
	busy.Holder += fmt.Sprintf(", as %s says, while the lock itself cannot be tested (%v: make %s readable for you; if nobody works on the cluster, remove both files)", path+".holder", err, path)
	return busy
}

// occupy marks a cluster as worked on by this process.
func (b *Broker) occupy(name string) (release func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[name] {
		return nil, false
	}
	b.held[name] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.held, name)
	}, true
}
