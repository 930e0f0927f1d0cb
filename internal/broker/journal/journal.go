// SPDX-License-Identifier: MPL-2.0

// Package journal is what happened to a cluster between two saves of Terraform's
// state, on this computer: intents before calls that bill or delete, and what was
// seen after them.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// version is the newest format this build can read.
const version = 1

// FileName is the journal's file in the cluster's folder.
const FileName = "journal.jsonl"

// Event is what a journal entry records. Entries that precede a billable or
// deleting call name the intent; entries after it name what was observed.
type Event string

// What an entry can record.
const (
	EventLaunch       Event = "launch"     // a generation begins
	EventAttempt      Event = "attempt"    // before the create calls of an attempt
	EventCreated      Event = "created"    // the ids that the cloud answered
	EventCommitting   Event = "committing" // before the dead-man timers are disarmed
	EventCommitted    Event = "committed"  // the cluster is complete
	EventRecorded     Event = "recorded"   // Terraform has been seen to hold the cluster in state
	EventReplacing    Event = "replacing"  // a plan replaces the cluster by another of its name
	eventLost         Event = "lost"       // every machine was found gone, and nobody had asked for that
	EventGrowthFailed Event = "undone"     // a growth failed; these machines are to go, and none are left where it names none
	EventRemoving     Event = "removing"   // before the terminate calls
	EventRemoved      Event = "removed"    // absence was observed
	EventStraggler    Event = "late"       // machines that came after that, and could not be removed
)

// Entry is one line of a journal.
type Entry struct {
	Version    int       `json:"v"`
	Time       time.Time `json:"time"`
	Event      Event     `json:"event"`
	Generation string    `json:"generation"`
	Attempt    int       `json:"attempt,omitempty"`
	Owner      string    `json:"owner,omitempty"`
	Home       string    `json:"home,omitempty"`
	Digest     string    `json:"digest,omitempty"`
	// Account is whose cloud account the entry speaks of.
	Account   string            `json:"account,omitempty"`
	Ref       *cloud.ClusterRef `json:"ref,omitempty"`
	Nodes     int               `json:"nodes,omitempty"`
	Instances []string          `json:"instances,omitempty"`
	Deadline  *time.Time        `json:"deadline,omitempty"`
	Cluster   *cluster.Cluster  `json:"cluster,omitempty"`
}

// Journal is the write-ahead record of one cluster name. Every append is on
// the disk before append returns.
type Journal struct {
	path    string
	file    *os.File
	entries []Entry
	now     func() time.Time
	// whole is the length of the file up to its last whole line.
	whole int64
	// broken is why nothing can be written: the file could not be opened, or a
	// torn line not cut off, and what is behind that could not be read again.
	broken error
	hooks  Hooks
}

// Hooks are where tests fill the disk or kill the process; the zero value is
// none.
type Hooks struct {
	// Append sees every line before it is written.
	Append func(line []byte) error
	// Compact is told what a compaction has done.
	Compact func(step string) error
}

// Open opens or makes the journal in dir. A torn last line, left by a
// crash, is dropped: what it announced had not begun. A newer format, a foreign
// owner and a file that others may write to are refused.
func Open(dir string, now func() time.Time, hooks Hooks) (*Journal, error) {
	if err := durable.PrivateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; move it away", path)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{path: path, file: f, now: now, hooks: hooks}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := durable.SyncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *Journal) load() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if err := durable.CheckPrivate(j.path, info); err != nil {
		return err
	}
	text, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if j.entries, err = parse(text[:whole]); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	if whole < len(text) {
		if err := j.file.Truncate(int64(whole)); err != nil {
			return err
		}
	}
	j.whole = int64(whole)
	_, err = j.file.Seek(j.whole, io.SeekStart)
	return err
}

// Append writes the entry and returns once it is on the disk. An entry that
// could not be written whole leaves no trace: its torn line is cut off again,
// so that the journal stays readable once the disk has room.
func (j *Journal) Append(e Entry) error {
	if j.broken != nil {
		return &Error{fmt.Errorf("write the journal %s: %w", j.path, j.broken)}
	}
	if !GenerationPattern().MatchString(e.Generation) {
		return fmt.Errorf("%q is no generation that a journal can hold", e.Generation)
	}
	e.Version, e.Time = version, j.now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if j.hooks.Append != nil {
		err = j.hooks.Append(line)
	}
	if err == nil {
		_, err = j.file.Write(line)
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.cutBack()
		return &Error{fmt.Errorf("write %q into the journal %s%s: %w", e.Event, j.path, e.Event.consequence(), err)}
	}
	j.whole += int64(len(line))
	j.entries = append(j.entries, e)
	return nil
}

// Error says that the journal cannot be written: no further attempt may
// begin, wherever it would be.
type Error struct{ err error }

const damageAdvice = "move the file away and run \"terraform-provider-sky gc\" to see what the clouds hold"

// GenerationPattern is what a generation may look like. It names a folder, and
// a cloud's tags may hold anything.
var GenerationPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]{1,40}$`) })

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap implements the error chain.
func (e *Error) Unwrap() error { return e.err }

// consequence says what an entry that cannot be written means.
func (e Event) consequence() string {
	switch e {
	case EventLaunch, EventAttempt, EventCommitting:
		return " (nothing was started)"
	case EventCreated, EventCommitted, EventRecorded, EventReplacing, eventLost, EventGrowthFailed, EventRemoving, EventRemoved, EventStraggler:
	}
	return ""
}

// cutBack drops a line that was not written whole.
func (j *Journal) cutBack() {
	if err := j.file.Truncate(j.whole); err != nil {
		j.broken = fmt.Errorf("an earlier entry was torn: %w", err)
		return
	}
	if _, err := j.file.Seek(j.whole, io.SeekStart); err != nil {
		j.broken = fmt.Errorf("an earlier entry was torn: %w", err)
	}
}

// Close ends the use of the file.
func (j *Journal) Close() error { return j.file.Close() }

// owner is whose cluster the entry is about; empty where it does not say.
func (e Entry) owner() string {
	switch {
	case e.Owner != "":
		return e.Owner
	case e.Cluster != nil && e.Cluster.Owner != "":
		return e.Cluster.Owner
	case e.Ref != nil:
		return e.Ref.Owner
	}
	return ""
}
