// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// journalVersion is the newest format this build can read.
const journalVersion = 1

// event is what a journal entry records. Entries that precede a billable or
// deleting call name the intent; entries after it name what was observed.
type event string

const (
	eventLaunch     event = "launch"     // a generation begins
	eventAttempt    event = "attempt"    // before the create calls of an attempt
	eventCreated    event = "created"    // the ids that the cloud answered
	eventCommitting event = "committing" // before the dead-man timers are disarmed
	eventCommitted  event = "committed"  // the cluster is complete
	eventRecorded   event = "recorded"   // Terraform has been seen to hold the cluster in state
	eventReplacing  event = "replacing"  // a plan replaces the cluster by another of its name
	eventRemoving   event = "removing"   // before the terminate calls
	eventRemoved    event = "removed"    // absence was observed
)

// entry is one line of a journal.
type entry struct {
	Version    int               `json:"v"`
	Time       time.Time         `json:"time"`
	Event      event             `json:"event"`
	Generation string            `json:"generation"`
	Attempt    int               `json:"attempt,omitempty"`
	Owner      string            `json:"owner,omitempty"`
	Home       string            `json:"home,omitempty"`
	Digest     string            `json:"digest,omitempty"`
	Ref        *cloud.ClusterRef `json:"ref,omitempty"`
	Nodes      int               `json:"nodes,omitempty"`
	Instances  []string          `json:"instances,omitempty"`
	Deadline   *time.Time        `json:"deadline,omitempty"`
	Cluster    *Cluster          `json:"cluster,omitempty"`
}

// journal is the write-ahead record of one cluster name. Every append is on
// the disk before append returns.
type journal struct {
	path    string
	file    *os.File
	entries []entry
	now     func() time.Time
}

// openJournal opens or makes the journal in dir. A torn last line, left by a
// crash, is dropped: what it announced had not begun. A newer format, a foreign
// owner and a file that others may write to are refused.
func openJournal(dir string, now func() time.Time) (*journal, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "journal.jsonl")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, file: f, now: now}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, syncDir(dir)
}

func (j *journal) load() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if err := checkPrivate(j.path, info); err != nil {
		return err
	}
	text, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if j.entries, err = parseJournal(text[:whole]); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	if whole < len(text) {
		if err := j.file.Truncate(int64(whole)); err != nil {
			return err
		}
	}
	_, err = j.file.Seek(int64(whole), io.SeekStart)
	return err
}

func parseJournal(text []byte) ([]entry, error) {
	var entries []entry
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d is damaged (%w); move the file away and run \"terraform-provider-sky gc\" to see what the clouds hold", n, err)
		}
		if e.Version > journalVersion {
			return nil, fmt.Errorf("line %d has format %d and this build reads up to %d; use the newer provider that wrote it", n, e.Version, journalVersion)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

// append writes the entry and returns once it is on the disk.
func (j *journal) append(e entry) error {
	e.Version, e.Time = journalVersion, j.now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the journal %s (nothing was started): %w", j.path, err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("flush the journal %s (nothing was started): %w", j.path, err)
	}
	j.entries = append(j.entries, e)
	return nil
}

func (j *journal) Close() error { return j.file.Close() }

// generation is what a journal says of one generation of its cluster.
type generation struct {
	ID        string
	Home      string
	Digest    string
	Attempts  int
	Refs      []cloud.ClusterRef // every place where machines may exist
	Instances []string
	// Complete says that the cluster was whole when its timers were about to be
	// disarmed; the cloud may or may not have heard of it.
	Complete bool
	Recorded bool
	// Replacing says that the state which holds the cluster is about to hold
	// another of its name beside it (create_before_destroy).
	Replacing bool
	Removed   bool
	Cluster   *Cluster // as of the newest entry that holds one
}

// generations replays the entries, oldest generation first.
func (j *journal) generations() []*generation {
	var order []*generation
	byID := map[string]*generation{}
	for _, e := range j.entries {
		g := byID[e.Generation]
		if g == nil {
			g = &generation{ID: e.Generation}
			byID[e.Generation] = g
			order = append(order, g)
		}
		g.apply(e)
	}
	return order
}

func (g *generation) apply(e entry) {
	switch e.Event {
	case eventLaunch:
		g.Home, g.Digest = e.Home, e.Digest
	case eventAttempt:
		g.Attempts, g.Removed = e.Attempt, false
		if e.Ref != nil {
			g.Refs = append(g.Refs, *e.Ref)
		}
	case eventCreated:
		g.Instances = append(g.Instances, e.Instances...)
	case eventRemoving:
		// An intent: until absence is observed, machines are to be expected.
	case eventCommitting, eventCommitted:
		g.Complete = true
	case eventRecorded:
		g.Recorded = true
	case eventReplacing:
		g.Replacing = true
	case eventRemoved:
		g.Removed = true
	}
	if e.Cluster != nil {
		g.Cluster = e.Cluster
	}
}

// find returns the generation, or nil.
func (j *journal) find(id string) *generation {
	for _, g := range j.generations() {
		if g.ID == id {
			return g
		}
	}
	return nil
}

// readJournal loads a journal without the right to write it. A missing one is
// empty.
func readJournal(dir string) (*journal, error) {
	text, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return &journal{}, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := parseJournal(text[:bytes.LastIndexByte(text, '\n')+1])
	return &journal{entries: entries}, err
}
