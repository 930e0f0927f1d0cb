// SPDX-License-Identifier: MPL-2.0

package autostop

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

//go:embed watchdog.sh
var watchdogScript string

//go:embed install.sh
var installScript string

//go:embed remove.sh
var removeScript string

// NodeScripts are our scripts as a node gets them, by name.
func NodeScripts() map[string]string {
	return map[string]string{
		"install.sh":  script.OnNode(installScript),
		"watchdog.sh": script.OnNode(watchdogScript),
		"remove.sh":   script.OnNode(removeScript),
		"hold.sh":     holdScript,
		"failure.sh":  hookFailure,
	}
}

// folder is where the watchdog lives, below the home folder of every node.
const folder = ".sky/autostop"

// maxNodes bounds how many nodes are talked to at the same time.
const maxNodes = 16

// Host is how the head reaches a node.
type Host struct {
	Rank    int
	Address string
	Port    int
	User    string
	// HostKey is pinned, in authorized_keys form.
	HostKey string
}

// Setup is all that is installed.
type Setup struct {
	Config Config
	// End is shell that ends the machine it runs on, in the way of Config.
	End string
	// Sessions is shell that prints a line for each open SSH session of the
	// machine; empty looks for the processes of OpenSSH.
	Sessions string
	// ProcessManager "auto" allows systemd.
	ProcessManager string
	// Others are the nodes but the head.
	Others []Host
}

// Survives says by whose means the watchdog runs again after a reboot.
type Survives string

// The means; SurvivesNot is a machine that has neither.
const (
	SurvivesBySystemd Survives = "systemd"
	SurvivesByCron    Survives = "cron"
	SurvivesNot       Survives = "none"
)

// Arm installs the watchdog on the head and what it needs on the others, which
// are in the order of s.Others, and returns once it runs. The idle time begins
// anew. Arming again replaces what was armed before.
func Arm(ctx context.Context, head remote.Shell, others []remote.Shell, s Setup) (Survives, error) {
	if err := s.check(len(others)); err != nil {
		return "", err
	}
	if err := prepareOthers(ctx, head, others, s); err != nil {
		return "", err
	}
	files, err := s.files()
	if err != nil {
		return "", err
	}
	out, err := s.install(ctx, head, files)
	if err != nil {
		return "", fmt.Errorf("start the watchdog of autostop on the head: %w", err)
	}
	switch by := Survives(strings.TrimSpace(out)); by {
	case SurvivesBySystemd, SurvivesByCron, SurvivesNot:
		return by, nil
	default:
		return "", fmt.Errorf("start the watchdog of autostop on the head: unexpected answer %q", remote.Clean(out))
	}
}

// install brings the files to a node and starts the watchdog there.
func (s Setup) install(ctx context.Context, node remote.Shell, files []file) (string, error) {
	text := putFiles(files) + "process_manager=" + remote.Quote(s.ProcessManager) + "\n" + script.OnNode(installScript)
	return remote.Output(ctx, node, remote.Command{Script: text})
}

func (s Setup) check(others int) error {
	if err := s.Config.Check(); err != nil {
		return err
	}
	if strings.TrimSpace(s.End) == "" {
		return errors.New("autostop needs a command by which a machine ends itself")
	}
	if len(s.Others) != others {
		return fmt.Errorf("autostop was given %d nodes and %d connections to them", len(s.Others), others)
	}
	for _, h := range s.Others {
		if h.HostKey == "" {
			return fmt.Errorf("the host key of rank %d is not known, so that the head could not be sure whom it tells to end", h.Rank)
		}
	}
	return nil
}

// prepareOthers lets the head in to the other nodes, and gives them the means
// to end themselves.
func prepareOthers(ctx context.Context, head remote.Shell, others []remote.Shell, s Setup) error {
	if len(others) == 0 {
		return nil
	}
	key, err := remote.ClusterKey(ctx, head)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxNodes)
	for i, node := range others {
		group.Go(func() error {
			err := remote.AuthorizeClusterKey(ctx, node, key)
			if err == nil {
				_, err = s.install(ctx, node, []file{{"watchdog.sh", script.OnNode(watchdogScript)}, {"end.sh", s.End}, {"conf", s.conf("worker")}})
			}
			if err != nil {
				return fmt.Errorf("prepare rank %d for autostop: %w", s.Others[i].Rank, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// file is a file of the folder; without content it is removed.
type file struct{ name, content string }

// files are the head's, conf last: without it the watchdog does nothing.
func (s Setup) files() ([]file, error) {
	var nodes, known strings.Builder
	for _, h := range s.Others {
		line, err := remote.KnownHost(h.Address, h.Port, h.HostKey)
		if err != nil {
			return nil, fmt.Errorf("rank %d: %w", h.Rank, err)
		}
		fmt.Fprintf(&nodes, "%d %s %d %s\n", h.Rank, h.Address, h.Port, h.User)
		known.WriteString(line)
	}
	hook, start := "", ""
	if strings.TrimSpace(s.Config.Hook) != "" {
		hook, start = script.Normalize(s.Config.Hook), script.Start
	}
	return []file{
		{"watchdog.sh", script.OnNode(watchdogScript)}, {"end.sh", s.End}, {"start.sh", start}, {"hook.sh", hook}, {"sessions.sh", s.Sessions},
		{"nodes", nodes.String()}, {"known_hosts", known.String()}, {"conf", s.conf("head")},
	}, nil
}

// longestPause is the most time between two looks of the watchdog.
const longestPause = 10

// hookRetries is how often a hook that fails is tried again while it holds the
// end, about; longestRetry is the most time in between, in seconds.
const (
	hookRetries  = 12
	longestRetry = 300
)

// conf is read by the watchdog as shell assignments. The role is head or worker.
func (s Setup) conf(role string) string {
	seconds := func(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
	idle, hold := seconds(s.Config.Idle), seconds(s.Config.HookHold)
	pause := min(longestPause, max(1, idle/6))
	return fmt.Sprintf("idle=%d\npause=%d\nrole=%s\nwait_for=%s\naction=%s\nhook_timeout=%d\nhook_hold=%d\nhook_retry=%d\nunread_hold=%d\nlease=%d\n",
		idle, pause, role, s.Config.WaitFor, s.Config.Shutdown(), seconds(s.Config.HookTimeout),
		hold, min(longestRetry, max(1, hold/hookRetries)), seconds(s.Config.UnreadHold), seconds(s.Config.Lease()))
}

// putFiles is shell that writes the files, each at once.
func putFiles(files []file) string {
	var b strings.Builder
	b.WriteString("umask 077; mkdir -p " + folder + " || exit 1\n")
	for _, f := range files {
		path := folder + "/" + f.name
		if strings.TrimSpace(f.content) == "" {
			b.WriteString("rm -f " + path + " || exit 1\n")
			continue
		}
		content := strings.TrimRight(f.content, "\n") + "\n"
		fmt.Fprintf(&b, "printf %%s %s >%s.new && mv -f %s.new %s || exit 1\n", remote.Quote(content), path, path, path)
	}
	return b.String()
}

// Disarm removes the watchdog from the nodes. None is success.
func Disarm(ctx context.Context, nodes ...remote.Shell) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxNodes)
	for i, node := range nodes {
		group.Go(func() error {
			if _, err := remote.Output(ctx, node, remote.Command{Script: script.OnNode(removeScript)}); err != nil {
				return fmt.Errorf("remove the watchdog of autostop from rank %d: %w", i, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// HookFailure is what the head has on record of a hook that failed.
type HookFailure struct {
	// Code is its exit code, or "unknown" where it was ended.
	Code  string
	First string // when, as the head's clock says
	Tries string
}

// hookFailure prints the record, if it is of the hook that is there.
const hookFailure = "cd " + folder + ` 2>/dev/null && [ -e hook.failed ] && [ -e hook.sh ] || exit 0
grep -qxF "hook=$(cksum <hook.sh)" hook.failed && cat hook.failed || :`

// FailedHook is how the hook failed when it was run last; nil where it did not.
func FailedHook(ctx context.Context, head remote.Shell) (*HookFailure, error) {
	out, err := remote.Output(ctx, head, remote.Command{Script: hookFailure})
	if err != nil {
		return nil, fmt.Errorf("ask the head for the hook of autostop: %w", err)
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		found[name] = remote.Clean(value)
	}
	if found["code"] == "" {
		return nil, nil //nolint:nilnil // no failure and no error
	}
	return &HookFailure{Code: found["code"], First: found["first"], Tries: found["tries"]}, nil
}

// Running returns the ids of the jobs on the head that have not ended and use
// more than that many nodes, or a node that has one of the addresses.
func Running(ctx context.Context, head remote.Shell, nodes int, addresses ...string) ([]string, error) {
	args := "set -- jobs " + strconv.Itoa(nodes)
	for _, a := range addresses {
		args += " " + remote.Quote(a)
	}
	out, err := remote.Output(ctx, head, remote.Command{Script: args + "\n" + script.OnNode(watchdogScript)})
	if err != nil {
		return nil, fmt.Errorf("ask the head for its jobs: %w", err)
	}
	return strings.Fields(remote.Clean(out)), nil
}

// holdScript makes its own process a reason to be busy, for as long as the
// session lasts.
const holdScript = "if ! mkdir -p " + folder + "/busy || ! true >" + folder + "/busy/$$; then echo failed; exit 1; fi\n" +
	"if [ -e " + folder + "/ending ]; then rm -f " + folder + "/busy/$$; echo ending; exit 0; fi\n" +
	"echo held && exec cat >/dev/null"

// ErrEnding says that a cluster is ending by itself right now.
var ErrEnding = errors.New("autostop is ending the cluster right now; try again when it has ended")

// releaseGrace is how long the end of a hold may take by itself.
const releaseGrace = 2 * time.Second

// Hold keeps a watchdog that may be on the head from ending the cluster until
// release is called or the connection is lost.
func Hold(ctx context.Context, head remote.Shell) (release func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	stdin, stop := io.Pipe()
	said := make(firstWord, 1)
	ended := make(chan error, 1)
	go func() {
		code, err := head.Run(ctx, remote.Command{Script: holdScript, Stdin: stdin, Stdout: said})
		if err == nil {
			err = fmt.Errorf("exit code %d", code)
		}
		ended <- err
	}()
	release = func() {
		_ = stop.Close() // ends cat
		timer := time.AfterFunc(releaseGrace, cancel)
		<-ended
		timer.Stop()
		cancel()
	}
	select {
	case word := <-said:
		if word == "held" {
			return release, nil
		}
		release()
		if word == "ending" {
			return nil, ErrEnding
		}
		return nil, errors.New("keep the cluster from ending by itself: the head's disk cannot be written to")
	case err := <-ended:
		_ = stop.Close()
		cancel()
		return nil, fmt.Errorf("keep the cluster from ending by itself: %w", err)
	}
}

// firstWord is a writer that passes on the first thing written.
type firstWord chan string

func (w firstWord) Write(p []byte) (int, error) {
	if word := strings.TrimSpace(string(p)); word != "" {
		select {
		case w <- word:
		default: // said already
		}
	}
	return len(p), nil
}
