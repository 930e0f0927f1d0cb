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
)

// holder says who works on a cluster.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Home  string    `json:"home"`
	Doing string    `json:"doing"`
	Since time.Time `json:"since"`
}

func (h holder) String() string {
	return fmt.Sprintf("process %d on %s (%s, from %s, since %s)", h.PID, h.Host, h.Doing, h.Home, h.Since.Format(time.RFC3339))
}

// BusyError says that somebody else works on the cluster.
type BusyError struct {
	Cluster string
	Holder  string
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("cluster %q is being worked on by %s; wait for it to end and apply again", e.Cluster, e.Holder)
}

// lockCluster takes the cluster's lock or says who holds it. The kernel frees
// the lock of a process that dies.
func (b *Broker) lockCluster(ctx context.Context, name, doing string) (release func(), err error) {
	dir := b.ClusterDir(name)
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
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
		return nil, &BusyError{Cluster: name, Holder: readHolder(who)}
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

func readHolder(path string) string {
	var h holder
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return "another process"
	}
	return h.String()
}
