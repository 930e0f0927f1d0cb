// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// journalVersion is the newest format this build can read.
const journalVersion = 1

// journalName is the journal's file in the cluster's folder.
const journalName = "journal.jsonl"

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
	eventLost       event = "lost"       // every machine was found gone, and nobody had asked for that
	eventUndone     event = "undone"     // a growth failed; these machines are to go, and none are left where it names none
	eventRemoving   event = "removing"   // before the terminate calls
	eventRemoved    event = "removed"    // absence was observed
	eventLate       event = "late"       // machines that came after that, and could not be removed
)

// entry is one line of a journal.
type entry struct {
	Version    int       `json:"v"`
	Time       time.Time `json:"time"`
	Event      event     `json:"event"`
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

// journal is the write-ahead record of one cluster name. Every append is on
// the disk before append returns.
type journal struct {
	path    string
	file    *os.File
	entries []entry
	now     func() time.Time
	// whole is the length of the file up to its last whole line.
	whole int64
	// broken is why nothing can be written: the file could not be opened, or a
	// torn line not cut off, and what is behind that could not be read again.
	broken   error
	onAppend func(line []byte) error
	// onCompact is where tests kill the process: it is told what was done.
	onCompact func(step string) error
}

// openJournal opens or makes the journal in dir. A torn last line, left by a
// crash, is dropped: what it announced had not begun. A newer format, a foreign
// owner and a file that others may write to are refused.
func openJournal(dir string, now func() time.Time) (*journal, error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, journalName)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; move it away", path)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, file: f, now: now}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := remote.SyncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
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
	j.whole = int64(whole)
	_, err = j.file.Seek(j.whole, io.SeekStart)
	return err
}

const damageAdvice = "move the file away and run \"terraform-provider-sky gc\" to see what the clouds hold"

// generationPattern is what a generation may look like. It names a folder, and
// a cloud's tags may hold anything.
var generationPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]{1,40}$`) })

// append writes the entry and returns once it is on the disk. An entry that
// could not be written whole leaves no trace: its torn line is cut off again,
// so that the journal stays readable once the disk has room.
func (j *journal) append(e entry) error {
	if j.broken != nil {
		return &journalError{fmt.Errorf("write the journal %s: %w", j.path, j.broken)}
	}
	if !generationPattern().MatchString(e.Generation) {
		return fmt.Errorf("%q is no generation that a journal can hold", e.Generation)
	}
	e.Version, e.Time = journalVersion, j.now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if j.onAppend != nil {
		err = j.onAppend(line)
	}
	if err == nil {
		_, err = j.file.Write(line)
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.cutBack()
		return &journalError{fmt.Errorf("write %q into the journal %s%s: %w", e.Event, j.path, e.Event.consequence(), err)}
	}
	j.whole += int64(len(line))
	j.entries = append(j.entries, e)
	return nil
}

// journalError says that the journal cannot be written: no further attempt may
// begin, wherever it would be.
type journalError struct{ err error }

func (e *journalError) Error() string { return e.err.Error() }
func (e *journalError) Unwrap() error { return e.err }

// consequence says what an entry that cannot be written means.
func (e event) consequence() string {
	switch e {
	case eventLaunch, eventAttempt, eventCommitting:
		return " (nothing was started)"
	case eventCreated, eventCommitted, eventRecorded, eventReplacing, eventLost, eventUndone, eventRemoving, eventRemoved, eventLate:
	}
	return ""
}

// cutBack drops a line that was not written whole.
func (j *journal) cutBack() {
	if err := j.file.Truncate(j.whole); err != nil {
		j.broken = fmt.Errorf("an earlier entry was torn: %w", err)
		return
	}
	if _, err := j.file.Seek(j.whole, io.SeekStart); err != nil {
		j.broken = fmt.Errorf("an earlier entry was torn: %w", err)
	}
}

func (j *journal) Close() error { return j.file.Close() }

// place is somewhere an attempt of a generation may have made machines.
type place struct {
	Ref     cloud.ClusterRef
	Account string
	Attempt int
	// Nodes is how many machines were asked for, Created how many the cloud named.
	Nodes, Created int
	Instances      []string
	// Deadline is later than any create call of the attempt; zero where none was
	// made here.
	Deadline time.Time
	// Ended is when the generation's next entry was written: its create call, and
	// be it with its process, had ended by then. Zero is not known.
	Ended time.Time
	// Removed says that the absence of the attempt's machines was observed.
	Removed bool
}

// generation is what a journal says of one generation of its cluster.
type generation struct {
	ID        string
	Home      string
	Digest    string
	Attempts  int
	Places    []place // everywhere machines may exist
	Instances []string
	// Complete says that the cluster was whole when its timers were about to be
	// disarmed; the cloud may or may not have heard of it.
	Complete bool
	// committed says that the commit went through. Launch reports success after
	// that only, so that without it no state can hold the cluster.
	committed bool
	// halfway says that the newest commit, a growth's perhaps, was begun and
	// never seen to end.
	halfway bool
	// undone are the machines of growths that failed, not observed gone yet. No
	// state holds them, even where the cloud heard of their commit.
	undone []string
	// committing is the attempt that Complete speaks of; 0 is none.
	committing int
	launched   bool // here, not imported
	// Recorded says that Terraform was seen to hold the cluster in state.
	Recorded bool
	// replacing is the home whose state holds the cluster and is about to hold
	// another of its name beside it (create_before_destroy); empty is none.
	replacing string
	// Removing says that the removal of the whole generation has begun.
	Removing bool
	Removed  bool
	// lostAt is when all its machines were found gone; zero is never.
	lostAt  time.Time
	Cluster *cluster.Cluster // as of the newest entry that holds one
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
	if n := len(g.Places); n > 0 && g.Places[n-1].Ended.IsZero() {
		g.Places[n-1].Ended = e.Time
	}
	switch e.Event {
	case eventLaunch:
		g.Home, g.Digest, g.launched = e.Home, e.Digest, true
	case eventAttempt:
		g.Attempts, g.Removed, g.Removing = e.Attempt, false, false
		if e.Ref != nil {
			p := place{Ref: *e.Ref, Account: e.Account, Attempt: e.Attempt, Nodes: e.Nodes}
			if e.Deadline != nil {
				p.Deadline = *e.Deadline
			}
			g.Places = append(g.Places, p)
		}
	case eventCreated:
		g.Instances = append(g.Instances, e.Instances...)
		if n := len(g.Places); n > 0 {
			g.Places[n-1].Created += len(e.Instances)
			g.Places[n-1].Instances = append(g.Places[n-1].Instances, e.Instances...)
		}
	case eventRemoving:
		// An intent: until absence is observed, machines are to be expected. One
		// that names machines or an attempt does not speak of the whole generation.
		g.Removing = g.Removing || (e.Attempt == 0 && (e.Ref == nil || e.Ref.Instances == nil))
		if e.Attempt != 0 && e.Attempt == g.committing {
			g.Complete = false // its commit failed
		}
	case eventCommitting, eventCommitted:
		g.Complete, g.committing = true, e.Attempt
		g.committed = g.committed || e.Event == eventCommitted
		g.halfway = e.Event == eventCommitting
	case eventRecorded:
		g.Recorded, g.Removing, g.halfway, g.replacing = true, false, false, ""
		g.Complete = g.Complete || !g.launched
	case eventReplacing:
		g.replacing = cmp.Or(e.Home, g.Home)
	case eventLost:
		g.lostAt = e.Time
	case eventUndone:
		g.undone, g.halfway = slices.Clone(e.Instances), false
	case eventRemoved:
		g.removed(e.Attempt)
	case eventLate:
		if e.Ref != nil {
			n := len(e.Instances)
			g.Removed, g.Places = false, append(g.Places, place{Ref: *e.Ref, Account: e.Account, Nodes: n, Created: n, Instances: e.Instances})
		}
	}
	if e.Cluster != nil {
		g.Cluster = e.Cluster
		g.undone = without(g.undone, e.Cluster.InstanceIDs())
	}
}

// removed notes that an attempt, or with 0 everything, was observed gone.
func (g *generation) removed(attempt int) {
	g.Removed = true
	for i := range g.Places {
		if attempt == 0 || g.Places[i].Attempt == attempt {
			g.Places[i].Removed = true
		}
		g.Removed = g.Removed && g.Places[i].Removed
	}
}

// late reports whether these machines, of a generation that was observed gone,
// came after that and are to go, too. A complete cluster that was lost, and is
// there after all, is none: nobody has asked for its removal.
func (g *generation) late(f found) bool {
	return g != nil && g.Removed && (g.lostAt.IsZero() || !f.committed())
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

// count is how many entries speak of a generation.
func (j *journal) count(generation string) int {
	n := 0
	for _, e := range j.entries {
		if e.Generation == generation {
			n++
		}
	}
	return n
}
