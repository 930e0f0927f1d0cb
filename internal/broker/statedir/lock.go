// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// lockName is the lock's file in the cluster's folder.
const lockName = "lock"

// holder says who works on a cluster.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Home  string    `json:"home"`
	Doing string    `json:"doing"`
	Since time.Time `json:"since"`
}

func (h holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d on %s (%s, from %s, since %s)", h.PID, h.Host, h.Doing, h.Home, h.Since.Format(time.RFC3339))
}

// BusyError says that somebody else works on the cluster.
type BusyError struct {
	Cluster string
	Holder  string
	// Own is that it is this process: another resource of the same apply.
	Own bool
}

// Error implements error.
func (e *BusyError) Error() string {
	if e.Own {
		return fmt.Sprintf("cluster %q is being worked on for another resource of this apply; "+
			"give each cluster a name of its own, such as \"%s-${count.index}\", and a resource that was only renamed a moved block", e.Cluster, e.Cluster)
	}
	return fmt.Sprintf("cluster %q is being worked on by %s; wait for it to end and apply again", e.Cluster, e.Holder)
}

// Lock takes the cluster's lock or says who holds it. The kernel frees
// the lock of a process that dies.
func (f Folder) Lock(ctx context.Context, doing string) (release func(), err error) {
	if err := durable.PrivateDir(f.path); err != nil {
		return nil, err
	}
	path := filepath.Join(f.path, lockName)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; remove it", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	who := path + ".holder"
	if !ok {
		return nil, f.busy(who)
	}
	host, _ := os.Hostname()
	text, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Home: f.dir.Home, Doing: doing, Since: f.dir.Now().UTC()})
	if err == nil {
		err = os.WriteFile(who, text, 0o600)
	}
	if err != nil {
		f.dir.Log.WarnContext(ctx, "the lock's holder file could not be written", "path", who, "error", err)
	}
	return func() {
		_ = os.Remove(who)
		_ = lock.Unlock()
	}, nil
}

// busy says who holds a lock.
func (f Folder) busy(path string) *BusyError {
	h := readHolder(path)
	host, _ := os.Hostname()
	return &BusyError{Cluster: f.Name, Holder: h.String(), Own: h.PID == os.Getpid() && h.Host == host && h.Home == f.dir.Home}
}

// readHolder is empty where nobody can be read.
func readHolder(path string) holder {
	var h holder
	if text, err := os.ReadFile(path); err != nil || json.Unmarshal(text, &h) != nil {
		return holder{}
	}
	return h
}

// LockOrGoOn is Lock that only another holder can refuse. Without a lock
// file that can be made, only this process is kept from working on the cluster
// twice.
func (f Folder) LockOrGoOn(ctx context.Context, doing string) (release func(), err error) {
	release, err = f.Lock(ctx, doing)
	if err == nil || errors.As(err, new(*BusyError)) || ctx.Err() != nil {
		return release, err
	}
	f.dir.Log.WarnContext(ctx, "the cluster's lock cannot be taken; going on without it", "cluster", f.Name, "error", err)
	unhold, ok := f.dir.Busy.occupy(f.path)
	if !ok {
		return nil, &BusyError{Cluster: f.Name, Own: true}
	}
	path := filepath.Join(f.path, lockName)
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
		return nil, f.maybeBusy(path, err)
	case !ok:
		unhold()
		return nil, f.busy(path + ".holder")
	}
	return func() {
		_ = lock.Unlock()
		unhold()
	}, nil
}

// maybeBusy is busy for a lock that cannot be tested.
func (f Folder) maybeBusy(path string, err error) *BusyError {
	busy := f.busy(path + ".holder")
	busy.Own = false // this process knows what it holds
	busy.Holder += fmt.Sprintf(", as %s says, while the lock itself cannot be tested (%v: make %s readable for you; if nobody works on the cluster, remove both files)", path+".holder", err, path)
	return busy
}

// Locked reports whether somebody works on the cluster of a folder right now.
func Locked(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "lock.holder")); err != nil {
		return false
	}
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetFlag(0))
	ok, err := lock.TryRLock()
	if err != nil {
		return false // no lock file: nobody ever did
	}
	if ok {
		_ = lock.Unlock()
	}
	return !ok
}

// HolderOf says who works on the cluster of a folder, for a sentence.
func HolderOf(dir string) string { return readHolder(filepath.Join(dir, lockName+".holder")).String() }
