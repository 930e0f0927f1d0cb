// SPDX-License-Identifier: MPL-2.0

package procs

import "testing"

func TestParseStat(t *testing.T) {
	const tail = " 1 4 4 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 12345 8192 100 18446744073709551615"
	for name, want := range map[string]Process{
		"7 (sh) S" + tail:           {ID: ID{7, "12345"}, Parent: 1},
		"7 (a) Z 9 (b)) T" + tail:   {ID: ID{7, "12345"}, Parent: 1, Stopped: true},
		"7 (new\nline) Z" + tail:    {ID: ID{7, "12345"}, Parent: 1, Zombie: true},
		"7 (traced by me) t" + tail: {ID: ID{7, "12345"}, Parent: 1, Stopped: true},
		"7 (first thread ended) Z 1 4 4 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 3 0 12345 0": {ID: ID{7, "12345"}, Parent: 1},
	} {
		if got, err := parseStat(7, []byte(name)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (sh) S 1 4 4 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 12345 8192"))
	f.Add([]byte(")"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := parseStat(7, data); err == nil && p.Start == "" {
			t.Errorf("%q gives no start", data)
		}
	})
}
