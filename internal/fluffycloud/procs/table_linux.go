// SPDX-License-Identifier: MPL-2.0

package procs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const sigStop = syscall.SIGSTOP

// lookup reads one process from /proc.
func lookup(pid int) (Process, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Process{}, ErrGone
	}
	return parseStat(pid, data)
}

// parseStat reads /proc/<pid>/stat. The command's name may hold anything, so
// fields are counted from its closing parenthesis.
func parseStat(pid int, data []byte) (Process, error) {
	const state, parent, threads, start = 0, 1, 17, 19
	_, rest, ok := strings.Cut(string(data[max(bytes.LastIndexByte(data, ')'), 0):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) <= start {
		return Process{}, fmt.Errorf("read /proc/%d/stat: unexpected form", pid)
	}
	ppid, err := strconv.Atoi(fields[parent])
	if err != nil {
		return Process{}, fmt.Errorf("read /proc/%d/stat: parent: %w", pid, err)
	}
	return Process{
		ID:      ID{PID: pid, Start: fields[start]},
		Parent:  ppid,
		Stopped: fields[state] == "T" || fields[state] == "t",
		// The first thread may have ended long before the last one, which still
		// holds the process' files.
		Zombie: (fields[state] == "Z" && (fields[threads] == "0" || fields[threads] == "1")) || fields[state] == "X",
	}, nil
}

func snapshot() (map[int]Process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	table := make(map[int]Process, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// One that ended meanwhile is simply not there.
		if p, err := lookup(pid); err == nil {
			table[pid] = p
		}
	}
	return table, nil
}

// marked returns the processes that carry one of the marks. What cannot be
// read belongs to somebody else.
func marked(table map[int]Process, marks Marks) map[int]bool {
	out := make(map[int]bool)
	for pid, p := range table {
		if !p.Zombie && carries(pid, marks) {
			out[pid] = true
		}
	}
	return out
}

func carries(pid int, marks Marks) bool {
	base := filepath.Join("/proc", strconv.Itoa(pid))
	if marks.Env != "" {
		if env, err := os.ReadFile(filepath.Join(base, "environ")); err == nil && hasEntry(env, marks.Env) {
			return true
		}
	}
	if marks.Dir == "" {
		return false
	}
	cwd, err := os.Readlink(filepath.Join(base, "cwd"))
	return err == nil && (cwd == marks.Dir || strings.HasPrefix(cwd, marks.Dir+"/"))
}

func hasEntry(env []byte, entry string) bool {
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if string(kv) == entry {
			return true
		}
	}
	return false
}

// Orphans returns the zombies whose parent is the process pid.
func Orphans(pid int) ([]int, error) {
	table, err := snapshot()
	if err != nil {
		return nil, err
	}
	var out []int
	for _, p := range table {
		if p.Parent == pid && p.Zombie {
			out = append(out, p.PID)
		}
	}
	return out, nil
}
