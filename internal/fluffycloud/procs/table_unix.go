// SPDX-License-Identifier: MPL-2.0

//go:build unix && !linux

package procs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const sigStop = syscall.SIGSTOP

// ps runs the system's process lister; there is no /proc to read.
func ps(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", args...).Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return out, nil
}

func lookup(pid int) (Process, error) {
	out, err := ps("-o", "pid=,ppid=,state=,lstart=", "-p", strconv.Itoa(pid))
	if err != nil {
		return Process{}, ErrGone
	}
	p, ok := parseLine(strings.TrimSpace(string(out)))
	if !ok {
		return Process{}, ErrGone
	}
	return p, nil
}

func parseLine(line string) (Process, bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 {
		return Process{}, false
	}
	pid, errA := strconv.Atoi(fields[0])
	ppid, errB := strconv.Atoi(fields[1])
	if errA != nil || errB != nil {
		return Process{}, false
	}
	return Process{
		ID:      ID{PID: pid, Start: strings.Join(fields[3:], " ")},
		Parent:  ppid,
		Stopped: strings.HasPrefix(fields[2], "T"),
		Zombie:  strings.HasPrefix(fields[2], "Z"),
	}, true
}

func snapshot() (map[int]Process, error) {
	out, err := ps("-axo", "pid=,ppid=,state=,lstart=")
	if err != nil {
		return nil, err
	}
	table := make(map[int]Process)
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		if p, ok := parseLine(sc.Text()); ok {
			table[p.PID] = p
		}
	}
	return table, nil
}

// marked returns the processes that were started with the mark in their
// environment, which ps shows to their owner.
func marked(_ map[int]Process, marks Marks) map[int]bool {
	found := make(map[int]bool)
	if marks.Env == "" {
		return found
	}
	out, err := ps("-axEww", "-o", "pid=,command=")
	if err != nil {
		return found
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(pid); err == nil && strings.Contains(rest+" ", " "+marks.Env+" ") {
			found[n] = true
		}
	}
	return found
}

// Orphans returns nothing: without a subreaper, orphans go to process 1.
func Orphans(int) ([]int, error) { return nil, nil }
