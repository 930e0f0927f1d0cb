// SPDX-License-Identifier: MPL-2.0

package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func parseJournal(text []byte) ([]entry, error) {
	var entries []entry
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d is damaged (%w); %s", n, err, damageAdvice)
		}
		if e.Version > journalVersion {
			return nil, fmt.Errorf("line %d has format %d and this build reads up to %d; use the newer provider that wrote it", n, e.Version, journalVersion)
		}
		if e.Version < 1 || !generationPattern().MatchString(e.Generation) {
			return nil, fmt.Errorf("line %d is damaged (format %d, generation %q); %s", n, e.Version, e.Generation, damageAdvice)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

// readJournal loads a journal without the right to write it. A missing one is
// empty.
func readJournal(dir string) (*journal, error) {
	text, err := os.ReadFile(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return &journal{}, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := parseJournal(text[:bytes.LastIndexByte(text, '\n')+1])
	return &journal{entries: entries}, err
}
