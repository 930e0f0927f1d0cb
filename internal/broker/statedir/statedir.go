// SPDX-License-Identifier: MPL-2.0

// Package statedir is the folder of this computer where clusters have their lock,
// journal, keys and files for SSH. Terraform's state and the cloud are the truth;
// what is here is a cache of it, and the keys.
package statedir

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// Dir is the state folder of this computer, as one configuration works with it.
type Dir struct {
	// Path is the folder; it must exist with mode 0700.
	Path string
	// Home says whose Terraform state the work is for.
	Home string
	// KeyPath is the file of the user's own key; empty where it is no file. Own are
	// all of the user's own keys; nil is none.
	KeyPath string
	Own     func() ([]ssh.Signer, error)
	// Bastion is on the way to the nodes of its clouds; nil is none.
	Bastion *cluster.Bastion
	Log     *slog.Logger
	Now     func() time.Time
	Hooks   journal.Hooks
	// Busy are the clusters that this process works on without a lock file.
	Busy *Busy
}

// Folder is the folder of one cluster: its journal, lock, keys and SSH files.
type Folder struct {
	Name string
	dir  Dir
	path string
	// owner is whose clusters of the name it is for.
	owner string
}

// Cluster is the folder for the clusters of a name and an owner.
func (d Dir) Cluster(owner, name string) Folder {
	return Folder{Name: name, dir: d, path: clusterDir(d.Path, owner, name), owner: owner}
}

// Path is where the folder is.
func (f Folder) Path() string { return f.path }

// LogPath is the file that holds everything that launches of the cluster did.
func (f Folder) LogPath() string {
	return filepath.Join(f.dir.Path, "logs", filepath.Base(f.path), "provision.log")
}

// Busy are clusters that are worked on without a lock file, by folder.
type Busy struct {
	mu    sync.Mutex
	paths map[string]bool
}

// occupy marks a cluster as worked on by this process.
func (b *Busy) occupy(path string) (release func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paths[path] {
		return nil, false
	}
	if b.paths == nil {
		b.paths = map[string]bool{}
	}
	b.paths[path] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.paths, path)
	}, true
}

// clusterDir is a folder of that owner's own. One that an earlier version made
// stays in use where it is, since states name keys in it.
func clusterDir(stateDir, owner, name string) string {
	shared := filepath.Join(stateDir, "clusters", sharedDirName(name))
	if j, err := journal.Read(shared); err != nil || j.SpeaksOf(owner) {
		return shared
	}
	return filepath.Join(stateDir, "clusters", clusterDirName(owner, name))
}

// HasRecords reports whether a state folder has the record of any cluster.
func HasRecords(stateDir string) bool {
	found, err := filepath.Glob(filepath.Join(durable.GlobWord(stateDir), "clusters", "*", journal.FileName))
	return err != nil || len(found) > 0
}

// ReadJournal reads the journal of a cluster without a right to write it, of a state folder
// that need not exist.
func ReadJournal(stateDir, owner, name string) (*journal.Journal, error) {
	return journal.Read(clusterDir(stateDir, owner, name))
}

// Journal opens the cluster's journal.
func (f Folder) Journal() (*journal.Journal, error) {
	return journal.Open(f.path, f.dir.Now, f.dir.Hooks)
}

// WithJournal opens the cluster's journal for use. The caller holds the lock.
func (f Folder) WithJournal(use func(*journal.Journal) error) error {
	j, err := f.Journal()
	if err != nil {
		return err
	}
	return errors.Join(use(j), j.Close())
}

// ReadJournal is the cluster's journal, without a right to write it.
func (f Folder) ReadJournal() (*journal.Journal, error) { return journal.Read(f.path) }

// Known is the cluster's journal as far as it can be read.
func (f Folder) Known() *journal.Journal { return journal.Known(f.path) }

// WithKnown is WithJournal that goes on where the journal cannot be opened: use
// gets one that says what is known and takes no entry.
func (f Folder) WithKnown(ctx context.Context, use func(*journal.Journal) error) error {
	j, err := f.Journal()
	if err != nil {
		f.dir.Log.WarnContext(ctx, "the cluster's journal cannot be used; going on without it", "cluster", f.Name, "error", err)
		return use(journal.ReadOnly(f.path, err))
	}
	return errors.Join(use(j), j.Close())
}
