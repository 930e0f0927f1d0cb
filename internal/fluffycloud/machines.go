// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

const (
	// reportTimeout bounds how long a machine's process takes to report.
	reportTimeout = 60 * time.Second
	// shutdownTimeout is how long a machine has to stop in good order.
	shutdownTimeout = 5 * time.Second
	// killTimeout bounds the killing of a process tree.
	killTimeout = 30 * time.Second
	// addressTries is how many addresses a machine may try.
	addressTries = 16
)

var errInterrupted = errors.New("interrupted")

// process is a machine's process; done is closed when it has ended.
type process struct {
	id   procs.ID
	done <-chan struct{}
}

func (s *Server) paths(id string) guest.Paths {
	return guest.Paths{Dir: filepath.Join(s.opts.Dir, "machines", id)}
}

// spawn prepares the machine's folder and starts its process. What an
// interrupted boot left is ended first.
func (s *Server) spawn(a *actor, i *instance) error {
	if err := s.endProcess(a, *i, false); err != nil {
		return err
	}
	p := s.paths(i.ID)
	if err := os.MkdirAll(p.Disk(), 0o700); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	cfg := s.machineConfig(*i)
	if err := s.prepareBoot(p, i, &cfg); err != nil {
		return err
	}
	console, err := os.OpenFile(p.Console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open console: %w", err)
	}
	defer func() { _ = console.Close() }()
	command := append(s.machineCommand(), "machine", "--dir", p.Dir)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = p.Dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + p.Home(), "LANG=C.UTF-8", p.Marks(i.ID).Env}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start machine: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	id, err := procs.Identify(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("start machine: %w", err)
	}
	a.process = &process{id: id, done: done}
	return nil
}

// prepareBoot counts the boot and writes what the machine needs to know.
func (s *Server) prepareBoot(p guest.Paths, i *instance, cfg *guest.Config) error {
	var last guest.Report
	err := guest.ReadJSON(p.Report(), &last)
	switch {
	case err == nil:
		cfg.LastAddress, cfg.LastPort = last.Address, last.Port
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if i.PrivateIP == "" {
		// It never came up: its first boot is still to come.
		if err := os.Remove(p.Booted()); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("prepare boot: %w", err)
		}
	}
	for _, stale := range []string{p.Report(), p.SelfRequest()} {
		if err := os.Remove(stale); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("prepare boot: %w", err)
		}
	}
	err = s.store.update(func(t *tx) error {
		now, err := fetch[instance](t, bucketInstances, "instance", i.ID)
		if err != nil {
			return err
		}
		now.Boots++
		i.Boots = now.Boots
		// Within the transaction, so that a timer disarmed meanwhile stays so.
		return errors.Join(s.tellExpiry(now), put(t, bucketInstances, i.ID, now))
	})
	cfg.Boot = i.Boots
	return errors.Join(err, guest.WriteJSON(p.Config(), cfg))
}

// tellExpiry leaves the machine its timer, for when no server runs. A machine
// without a folder is not there yet, or no more.
func (s *Server) tellExpiry(i instance) error {
	path := s.paths(i.ID).Expiry()
	if i.ExpiresAt == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("disarm the timer: %w", err)
		}
		return nil
	}
	err := guest.WriteFile(path, []byte(i.ExpiresAt.Format(time.RFC3339Nano)+"\n"), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Server) machineConfig(i instance) guest.Config {
	return guest.Config{
		ID: i.ID, Name: i.Name, Region: i.Region, Zone: i.Zone, Type: i.InstanceType,
		Addresses: addresses(i.ID), AuthorizedKeys: i.SSHKeys, UserData: i.UserData,
		Command: s.opts.MachineCommand, ServerFile: s.serverFile(), LockFile: lockFile(s.opts.Dir), Token: i.Token, Fault: i.Fault.guest(),
	}
}

// addresses are loopback addresses to try, derived from the machine's id so
// that clouds side by side seldom meet.
func addresses(id string) []string {
	out := make([]string, addressTries)
	for n := range out {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", id, n))
		out[n] = fmt.Sprintf("127.%d.%d.%d", 32+int(sum[0])%200, sum[1], 2+int(sum[2])%252)
	}
	return out
}

// machineCommand is the binary that machines run; one replaced on disk since
// is still there as this very process.
func (s *Server) machineCommand() []string {
	command := append([]string(nil), s.opts.MachineCommand...)
	if _, err := os.Stat(command[0]); err != nil && runtime.GOOS == "linux" {
		command[0] = "/proc/self/exe"
	}
	return command
}

// awaitReport waits until the machine's process says how its boot went.
func (s *Server) awaitReport(a *actor, i instance) (guest.Report, error) {
	ctx, cancel := context.WithTimeout(s.ctx, reportTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ended := false
	for {
		var r guest.Report
		err := guest.ReadJSON(s.paths(i.ID).Report(), &r)
		switch {
		case err == nil && r.ID == a.process.id && r.Error != "":
			return r, errors.New(r.Error)
		case err == nil && r.ID == a.process.id:
			return r, nil
		case ended:
			return r, errors.New("the machine ended during its boot; see its console")
		}
		select {
		case <-s.ctx.Done():
			return r, errInterrupted
		case <-a.wake:
			return r, errInterrupted
		case <-ctx.Done():
			return r, fmt.Errorf("the machine did not report within %s", reportTimeout)
		case <-a.process.done:
			ended = true
		case <-tick.C:
		}
	}
}

// attach finds the process of a machine that another server started; nil if it
// is gone.
func (s *Server) attach(i instance) *process {
	var r guest.Report
	if err := guest.ReadJSON(s.paths(i.ID).Report(), &r); err != nil || r.Boot != i.Boots || !r.Alive() {
		return nil
	}
	done := make(chan struct{})
	s.work.Go(func() {
		for r.Alive() {
			if s.pause(s.ctx, nil, 100*time.Millisecond) {
				return
			}
		}
		close(done)
	})
	return &process{id: r.ID, done: done}
}

// endProcess ends everything the machine runs, in good order if asked to, and
// returns once the process table shows none of it.
func (s *Server) endProcess(a *actor, i instance, graceful bool) error {
	p := s.paths(i.ID)
	var root procs.ID
	var r guest.Report
	switch {
	case a.process != nil:
		root = a.process.id
	case guest.ReadJSON(p.Report(), &r) == nil:
		root = r.ID
	}
	if graceful && root.Alive() {
		if err := root.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		s.awaitEnd(root, shutdownTimeout)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), killTimeout)
	defer cancel()
	if err := procs.Kill(ctx, root, p.Marks(i.ID)); err != nil {
		return err
	}
	a.process = nil
	return nil
}

func (s *Server) awaitEnd(id procs.ID, patience time.Duration) {
	deadline := time.Now().Add(patience)
	for id.Alive() && time.Now().Before(deadline) {
		if s.pause(s.ctx, nil, 5*time.Millisecond) {
			return
		}
	}
}

// makeWritable lets the owner into every folder below dir.
func makeWritable(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
}
