// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

// shutdownGrace is how long processes have to end by themselves at shutdown.
const shutdownGrace = time.Second

// machine is a booting or running machine.
type machine struct {
	paths    Paths
	cfg      Config
	log      *slog.Logger
	children *children
	// logins counts the open SSH connections.
	logins atomic.Int64
}

// Run is the machine's process: it boots what dir describes, reports, and
// serves until it is told to end, taking its process tree with it. What went
// wrong during boot is both reported in dir and returned.
func Run(ctx context.Context, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// Caught, not ignored: what is ignored stays so in the machine's processes.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	m := &machine{paths: Paths{Dir: dir}, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), children: newChildren()}
	if err := ReadJSON(m.paths.Config(), &m.cfg); err != nil {
		return err
	}
	self, err := procs.Identify(os.Getpid())
	if err != nil {
		return fmt.Errorf("find own process: %w", err)
	}
	report := Report{ID: self, Boot: m.cfg.Boot}
	if err := m.boot(ctx, stop, &report); err != nil {
		report.Error = err.Error()
		_ = WriteJSON(m.paths.Report(), report)
		return fmt.Errorf("boot %s: %w", m.cfg.ID, err)
	}
	go m.watchExpiry(ctx, stop)
	<-ctx.Done()
	m.log.Info("shutting down")
	return m.endTree(context.Background(), self, shutdownGrace)
}

func (m *machine) boot(ctx context.Context, stop func(), report *Report) error {
	if err := adoptOrphans(); err != nil {
		return err
	}
	go m.children.reap(ctx)
	if err := prepareDisk(m.paths, m.cfg); err != nil {
		return err
	}
	userData, dataErr := parseUserData(m.cfg.UserData)
	signer, err := hostKey(m.paths, userData.Cloud.SSHKeys)
	if err != nil {
		return err
	}
	ln, err := listen(m.cfg)
	if err != nil {
		return err
	}
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("listen: no TCP address")
	}
	report.Address, report.Port = addr.IP.String(), addr.Port
	report.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	metaLn, err := net.Listen("tcp", net.JoinHostPort(report.Address, "0"))
	if err != nil {
		return fmt.Errorf("listen for metadata: %w", err)
	}
	report.MetadataURL = "http://" + metaLn.Addr().String()
	go (&metadata{paths: m.paths, cfg: m.cfg, leave: stop, restart: func() { m.reboot(report.ID) }, logins: &m.logins}).serve(ctx, metaLn)
	env := environment(m.paths, m.cfg, report.Address, report.MetadataURL)
	if dataErr != nil {
		m.log.Error("user data is ignored", "error", dataErr)
	} else if err := m.firstBoot(ctx, userData, env); err != nil {
		return err
	}
	m.runCrontab(ctx, env)
	if err := m.serveSSH(ctx, ln, signer, env, *report); err != nil {
		return err
	}
	m.log.Info("booted", "boot", m.cfg.Boot, "address", addr.String(), "host_key", ssh.FingerprintSHA256(signer.PublicKey()))
	return WriteJSON(m.paths.Report(), report)
}

func (m *machine) serveSSH(ctx context.Context, ln net.Listener, signer ssh.Signer, env []string, report Report) error {
	s := &sshd{
		paths: m.paths, env: env, address: report.Address, signer: signer,
		children: m.children, log: m.log, fault: m.cfg.Fault, logins: &m.logins,
		die: func() { m.die(report.ID) },
	}
	switch m.cfg.Fault.SSH {
	case "none":
		return ln.Close()
	case "wrong_host_key":
		pem, err := newHostKey()
		if err != nil {
			return err
		}
		if s.signer, err = ssh.ParsePrivateKey(pem); err != nil {
			return fmt.Errorf("make another host key: %w", err)
		}
	}
	go s.serve(ctx, ln)
	return nil
}

// listen binds the machine's own address on sshPort, else any port of 127.0.0.1.
func listen(cfg Config) (net.Listener, error) {
	if cfg.LastAddress != "" {
		if ln, err := net.Listen("tcp", net.JoinHostPort(cfg.LastAddress, strconv.Itoa(cfg.LastPort))); err == nil {
			return ln, nil
		}
	}
	for _, a := range cfg.Addresses {
		if ln, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(sshPort))); err == nil {
			return ln, nil
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for SSH: %w", err)
	}
	return ln, nil
}

// die ends the machine at once, without a word.
func (m *machine) die(self procs.ID) {
	m.log.Error("host failure")
	_ = m.endTree(context.Background(), self, 0)
	os.Exit(1) //nolint:forbidigo // a host that fails does not return
}

// reboot ends everything at once and boots again, in the same process: the cloud
// does not notice a machine that restarts itself.
func (m *machine) reboot(self procs.ID) {
	m.log.Info("restarting")
	if err := m.endTree(context.Background(), self, 0); err != nil {
		m.log.Error("restart", "error", err)
	}
	executable, err := os.Executable()
	if err == nil {
		err = syscall.Exec(executable, os.Args, os.Environ())
	}
	m.log.Error("restart", "error", err)
	m.die(self)
}

// endTree ends everything the machine started: politely for the grace period,
// then for good.
func (m *machine) endTree(ctx context.Context, self procs.ID, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+10*time.Second)
	defer cancel()
	marks := m.paths.Marks(m.cfg.ID)
	if grace > 0 {
		if err := procs.Terminate(self, marks, syscall.SIGTERM); err != nil {
			return err
		}
		m.waitEmpty(ctx, self, grace)
	}
	return procs.Kill(ctx, self, marks)
}

// waitEmpty returns once only the machine's own process is left, or time is up.
func (m *machine) waitEmpty(ctx context.Context, self procs.ID, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if tree, err := procs.Tree(self, m.paths.Marks(m.cfg.ID)); err != nil || len(tree) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Self asks the machine's metadata service for a stop, terminate or reboot, or for
// its open SSH sessions, from a process of the machine. The answer goes to out.
func Self(ctx context.Context, action string, getenv func(string) string, out io.Writer) error {
	url, file := getenv("FLUFFYCLOUD_METADATA_URL"), getenv("FLUFFYCLOUD_METADATA_TOKEN_FILE")
	if url == "" || file == "" {
		return fmt.Errorf("this is not a FluffyCloud machine: FLUFFYCLOUD_METADATA_URL is not set")
	}
	token, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return fmt.Errorf("read the machine's token: %w", err)
	}
	method := http.MethodPost
	if action == "sessions" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, url+"/self/"+action, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", action, err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", action, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("ask for %s: the cloud answered %s", action, resp.Status)
	}
	if action == "sessions" {
		_, err = io.Copy(out, io.LimitReader(resp.Body, 64<<10))
	}
	return err
}
