// SPDX-License-Identifier: MPL-2.0

package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Only takes the entries of other owners out, and reports false where that leaves
// none.
func (j *Journal) Only(owner string) bool {
	theirs := map[string]bool{}
	for _, e := range j.entries {
		if o := e.owner(); o != "" && o != owner {
			theirs[e.Generation] = true
		}
	}
	j.entries = slices.DeleteFunc(j.entries, func(e Entry) bool { return theirs[e.Generation] })
	return len(theirs) == 0 || len(j.entries) > 0
}

// ClusterName is the name of the cluster that a journal is about; empty where it
// never says.
func (j *Journal) ClusterName() string {
	for _, e := range j.entries {
		if e.Ref != nil && e.Ref.Cluster != "" {
			return e.Ref.Cluster
		}
		if e.Cluster != nil {
			return e.Cluster.Name
		}
	}
	return ""
}

// Generations replays the entries, oldest generation first.
func (j *Journal) Generations() []*Generation {
	var order []*Generation
	byID := map[string]*Generation{}
	for _, e := range j.entries {
		g := byID[e.Generation]
		if g == nil {
			g = &Generation{ID: e.Generation}
			byID[e.Generation] = g
			order = append(order, g)
		}
		g.apply(e)
	}
	return order
}

// Find returns the generation, or nil.
func (j *Journal) Find(id string) *Generation {
	for _, g := range j.Generations() {
		if g.ID == id {
			return g
		}
	}
	return nil
}

// Count is how many entries speak of a generation.
func (j *Journal) Count(generation string) int {
	n := 0
	for _, e := range j.entries {
		if e.Generation == generation {
			n++
		}
	}
	return n
}

func parse(text []byte) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d is damaged (%w); %s", n, err, damageAdvice)
		}
		if e.Version > version {
			return nil, fmt.Errorf("line %d has format %d and this build reads up to %d; use the newer provider that wrote it", n, e.Version, version)
		}
		if e.Version < 1 || !GenerationPattern().MatchString(e.Generation) {
			return nil, fmt.Errorf("line %d is damaged (format %d, generation %q); %s", n, e.Version, e.Generation, damageAdvice)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

// Read loads a journal without the right to write it. A missing one is
// empty.
func Read(dir string) (*Journal, error) {
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Journal{}, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := parse(text[:bytes.LastIndexByte(text, '\n')+1])
	return &Journal{entries: entries}, err
}

// Known is the journal in dir as far as it can be read.
func Known(dir string) *Journal {
	j, err := Read(dir)
	if err != nil {
		return &Journal{}
	}
	return j
}

// ReadOnly is a journal that says what is known, and takes no entry, for the
// reason given.
func ReadOnly(dir string, why error) *Journal {
	j := Known(dir)
	j.path, j.broken = filepath.Join(dir, FileName), why
	return j
}

// NextAttempt is a number that no machine of the generation has carried: the
// identity of a rank that was taken away once is spent. Of a generation that was
// launched elsewhere nobody here knows what was taken away since; then it is false.
func (j *Journal) NextAttempt(gen string) (int, bool) {
	g := j.Find(gen)
	if g == nil || !g.LaunchedHere {
		return 0, false
	}
	last := 1
	for _, e := range j.entries {
		if e.Generation == gen {
			last = max(last, e.Attempt)
		}
	}
	return last + 1, true
}

// NoteLost records that every machine of a cluster is gone and nobody here
// asked for that.
func NoteLost(j *Journal, gen string) error {
	if g := j.Find(gen); g == nil || g.Removing || !g.LostAt.IsZero() {
		return nil
	}
	return j.Append(Entry{Event: eventLost, Generation: gen})
}

// SpeaksOf reports whether an entry is about a cluster of that owner.
func (j *Journal) SpeaksOf(owner string) bool {
	return slices.ContainsFunc(j.entries, func(e Entry) bool { return e.owner() == owner })
}

// FailedGrowth are the machines of failed growths that were not observed gone. A
// record of the cluster holds none of them, and c does not.
func (j *Journal) FailedGrowth(c cluster.Cluster) []string {
	g := j.Find(c.Generation)
	if g == nil {
		return nil
	}
	return Without(g.FailedGrowth, c.InstanceIDs())
}
