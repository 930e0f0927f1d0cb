// SPDX-License-Identifier: MPL-2.0

package broker

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

// lockCluster takes the cluster's lock or says who holds it. The kernel frees
// the lock of a process that dies.
func (b *Broker) lockCluster(ctx context.Context, name, doing string) (release func(), err error) {
	dir := b.ClusterDir(name)
	if err := durable.PrivateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
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
		return nil, b.busy(name, who)
	}
	host, _ := os.Hostname()
	text, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Home: b.cfg.Home, Doing: doing, Since: b.cfg.Now().UTC()})
	if err == nil {
		err = os.WriteFile(who, text, 0o600)
	}
	if err != nil {
		b.log.WarnContext(ctx, "the lock's holder file could not be written", "path", who, "error", err)
	}
	return func() {
		_ = os.Remove(who)
		_ = lock.Unlock()
	}, nil
}

// busy says who holds a lock.
func (b *Broker) busy(name, path string) *BusyError {
	h := readHolder(path)
	host, _ := os.Hostname()
	return &BusyError{Cluster: name, Holder: h.String(), Own: h.PID == os.Getpid() && h.Host == host && h.Home == b.cfg.Home}
}

// readHolder is empty where nobody can be read.
func readHolder(path string) holder {
	var h holder
	if text, err := os.ReadFile(path); err != nil || json.Unmarshal(text, &h) != nil {
		return holder{}
	}
	return h
}
