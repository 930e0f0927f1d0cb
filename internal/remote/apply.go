// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxArgs keeps one command line well under the smallest ARG_MAX met.
const maxArgs = 48 << 10

// applyScript renders the commands that bring a target folder, their working
// folder, from the last upload to this one with the files staged in $tree.
func (t *Tree) applyScript(last *upload) string {
	var b commands
	if t.single {
		return ""
	}
	now := make(map[string]entry, len(t.entries))
	for _, e := range t.entries {
		now[e.path] = e
	}
	var old map[string]entry
	if last != nil {
		old = last.entries
	}
	b.enter(old, now)
	b.removals(old, now)
	b.folders(t.entries)
	b.moves(t.entries, last)
	return b.String()
}

// modesScript renders the commands that set folders' modes, which archives and
// mkdir only come close to, and those of files that are there and did not travel.
func (t *Tree) modesScript(last *upload) string {
	var b commands
	var there []entry
	for _, e := range t.entries {
		if last == nil || e.kind != 'f' {
			continue
		}
		if old, ok := last.entries[e.path]; ok && e.same(old) && e.mode != old.mode {
			there = append(there, e)
		}
	}
	if !t.single {
		b.modes(there, 'f')
	}
	b.modes(t.entries, 'd')
	return b.String()
}

// enter makes the folders that are there already ready to be changed, the
// outermost first.
func (b *commands) enter(last, now map[string]entry) {
	var folders []string
	for _, of := range []map[string]entry{last, now} {
		for p, e := range of {
			if e.kind == 'd' && p != "." {
				folders = append(folders, p)
			}
		}
	}
	slices.Sort(folders)
	folders = slices.Compact(folders)
	for i, p := range folders {
		folders[i] = Quote("./" + p)
	}
	b.each("enter", folders, "")
}

type commands struct{ strings.Builder }

// each runs a command over many words, split to fit command lines.
func (b *commands) each(command string, words []string, after string) {
	for len(words) > 0 {
		n, size := 0, 0
		for n < len(words) && (n == 0 || size+len(words[n]) < maxArgs) {
			size += len(words[n]) + 1
			n++
		}
		fmt.Fprintf(b, "%s %s%s\n", command, strings.Join(words[:n], " "), after)
		words = words[n:]
	}
}

// removals take away what the last upload brought and this one does not have,
// or has as something else.
func (b *commands) removals(last, now map[string]entry) {
	var files, folders []string
	for p, old := range last {
		e, still := now[p]
		switch {
		case p == "." || still && (e.kind == 'd') == (old.kind == 'd'):
		case old.kind == 'd':
			folders = append(folders, p)
		default:
			files = append(files, Quote("./"+p))
		}
	}
	slices.Sort(files)
	slices.Sort(folders)
	slices.Reverse(folders) // what is inside before what is around
	for i, p := range folders {
		folders[i] = Quote("./" + p)
	}
	b.each("rm -f --", files, "")
	b.each("rmdir --", folders, " 2>/dev/null || :") // a job's files may be in there
}

func (b *commands) folders(entries []entry) {
	var words []string
	for _, e := range entries {
		if e.kind == 'd' && e.path != "." {
			words = append(words, Quote("./"+e.path))
		}
	}
	b.each("mkdir -p --", words, "")
}

// moves put files in place, one command a folder.
func (b *commands) moves(entries []entry, last *upload) {
	byFolder := map[string][]string{}
	for _, e := range entries {
		if e.kind == 'd' {
			continue
		}
		if last != nil && last.digest != "-" {
			if old, ok := last.entries[e.path]; ok && e.same(old) {
				continue
			}
		}
		dir := path.Dir(e.path)
		byFolder[dir] = append(byFolder[dir], `"$tree"/`+Quote(e.path))
	}
	for _, e := range entries {
		if words := byFolder[e.path]; e.kind == 'd' && len(words) > 0 {
			b.each("mv -f --", words, " "+Quote("./"+e.path+"/"))
		}
	}
}

// modes sets the modes of entries of a kind, the innermost first, since one may
// lock the next.
func (b *commands) modes(entries []entry, kind byte) {
	byMode := map[string][]string{}
	for _, e := range slices.Backward(entries) {
		if e.kind == kind && e.path != "." {
			mode := fmt.Sprintf("%04o", e.mode)
			byMode[mode] = append(byMode[mode], Quote("./"+e.path))
		}
	}
	modes := make([]string, 0, len(byMode))
	for mode := range byMode {
		modes = append(modes, mode)
	}
	slices.Sort(modes)
	slices.Reverse(modes) // the most open first
	for _, mode := range modes {
		b.each("chmod "+mode+" --", byMode[mode], "")
	}
}
