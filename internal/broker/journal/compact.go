// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

const (
	// compactAbove is how long a journal gets, in bytes, before it is compacted.
	compactAbove = 64 << 10
	// keepGone is how many generations that are gone stay known as such, so that
	// their machines that come late are recognized.
	keepGone = 50
)

// Compact shortens a long journal to what is still of use: everything of the
// generations that may have machines and of the newest cluster, and of the last
// that are gone that they are. The journal is whole at every moment: the new one
// replaces the old one in one step, when it is on the disk. The caller
// holds the cluster's lock.
func (j *Journal) Compact() error {
	tmp := j.path + ".new"
	if err := os.Remove(tmp); err != nil && !durable.IsMissing(err) { // of a process that was killed here
		return err
	}
	if j.whole <= compactAbove {
		return nil
	}
	entries := j.needed()
	if len(entries) == len(j.entries) {
		return nil
	}
	var text bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	err := durable.WriteNew(tmp, text.Bytes())
	if err == nil {
		err = j.compacted("written")
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return j.reopen(entries, int64(text.Len()))
}

func (j *Journal) compacted(step string) error {
	if j.hooks.Compact == nil {
		return nil
	}
	return j.hooks.Compact(step)
}

// reopen goes on with the file that has taken the journal's place. Where it
// cannot, nothing more is written: what went into the old one would be lost.
func (j *Journal) reopen(entries []Entry, size int64) error {
	err := errors.Join(j.compacted("renamed"), durable.SyncDir(filepath.Dir(j.path)))
	f, oerr := os.OpenFile(j.path, os.O_RDWR, 0o600)
	if oerr == nil {
		_, oerr = f.Seek(size, io.SeekStart)
	}
	if err = errors.Join(err, oerr); err != nil {
		j.broken = fmt.Errorf("it was compacted and cannot be opened again: %w", err)
		return err
	}
	_ = j.file.Close()
	j.file, j.entries, j.whole = f, entries, size
	return j.compacted("reopened")
}

// needed are the entries that a compacted journal has.
func (j *Journal) needed() []Entry {
	all := j.Generations()
	whole, gone := map[string]bool{}, map[string]bool{}
	for _, g := range all {
		whole[g.ID] = !g.Removed
	}
	for _, g := range slices.Backward(all) { // LossOf asks for it
		if g.Cluster != nil && (g.Committed || g.Recorded) {
			whole[g.ID] = true
			break
		}
	}
	for _, g := range slices.Backward(all) {
		if !whole[g.ID] && len(gone) < keepGone {
			gone[g.ID] = true
		}
	}
	first := map[string]bool{}
	var out []Entry
	for _, e := range j.entries {
		switch {
		case whole[e.Generation]:
			out = append(out, e)
		case !gone[e.Generation]:
		case !first[e.Generation]:
			first[e.Generation] = true
			out = append(out, j.inShort(e)...)
		}
	}
	return out
}

// inShort is what stays of a generation that is gone, of which e is the first
// entry.
func (j *Journal) inShort(e Entry) []Entry {
	begun := Entry{Version: e.Version, Time: e.Time, Event: EventLaunch, Generation: e.Generation, Owner: e.owner(), Home: e.Home}
	begun.Ref = &cloud.ClusterRef{Owner: begun.Owner, Cluster: j.ClusterName()}
	out := []Entry{begun}
	end := Entry{Version: e.Version, Event: EventRemoved, Generation: e.Generation}
	for _, o := range j.entries {
		if o.Generation != e.Generation {
			continue
		}
		if o.Event == eventLost {
			out = append(out, o)
		}
		end.Time = o.Time
	}
	return append(out, end)
}
