// SPDX-License-Identifier: MPL-2.0

package job

import (
	"fmt"
	"slices"
	"strings"
)

// What of secrets is hidden in logs, in bytes and lines.
const (
	// leastHidden is the length of a value below which hiding it would hide half a log.
	leastHidden = 4
	// leastLine is the same of one line of several.
	leastLine = 8
	// mostHidden is the length of a piece that is looked for: what may be the
	// beginning of one waits for the rest.
	mostHidden = 1024
	// mostLines bounds how many lines are looked for one by one, since each costs time.
	mostLines = 256
)

// hidden is the file that tells log.sh what to hide: every secret, and every
// line of one that has several, since programs print them line by line, too. It
// is nil without secrets.
func hidden(secrets map[string]string) []byte {
	var words, lines []string
	for _, value := range secrets {
		value = strings.TrimSpace(value)
		if len(value) < leastHidden {
			continue
		}
		words = append(words, pieces(value)...)
		if !strings.Contains(value, "\n") {
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= leastLine {
				lines = append(lines, pieces(line)...)
			}
		}
	}
	if len(words) == 0 {
		return nil
	}
	slices.SortFunc(lines, longestFirst)
	lines = slices.Compact(lines)
	words = append(words, lines[:min(len(lines), mostLines)]...)
	slices.SortFunc(words, longestFirst)
	words = slices.Compact(words)
	text := fmt.Appendf(nil, "%d\n", len(words))
	for _, w := range words {
		text = fmt.Appendf(text, "%d\n%s\n", strings.Count(w, "\n")+1, w)
	}
	return text
}

func longestFirst(a, b string) int {
	if len(a) != len(b) {
		return len(b) - len(a)
	}
	return strings.Compare(a, b)
}

// pieces cuts a long value; the last piece is long enough to be recognized.
func pieces(value string) []string {
	var all []string
	for len(value) > mostHidden+leastLine {
		all = append(all, value[:mostHidden])
		value = value[mostHidden:]
	}
	return append(all, value)
}
