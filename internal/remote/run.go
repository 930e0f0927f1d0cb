// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// maxOutput bounds what Output returns, in bytes.
	maxOutput = 8 << 20
	// cancelGrace is what a command gets between its signal and its end.
	cancelGrace = 2 * time.Second
	// drainGrace is how long output may pause after a command's exit before the
	// session is given up: a daemon it left behind can hold the session forever.
	drainGrace = 2 * time.Second
)

// shortScript is up to where a shell reads a script, byte by byte, sooner than
// it starts a program to do that.
const shortScript = 512

// bootstrap is the only command line ever sent. It holds no single quote and no
// newline, so that any login shell passes it on unchanged. It answers with the
// marker it is given, which tells our output from what profiles print, then
// evaluates the script: all of standard input where k is "-", else k lines of
// it, which leaves the rest to the script. The number of its process follows the
// marker, since many servers deliver no signals.
const bootstrap = `exec sh -c 'IFS= read -r m && IFS= read -r k || exit 127; ` +
	`if [ "$k" = - ]; then s=$(cat); exec </dev/null; else s=; nl=$(printf "\nx"); nl=${nl%x}; ` +
	`while [ "$k" -gt 0 ]; do IFS= read -r l || exit 127; s=$s$l$nl; k=$((k-1)); done; fi; ` +
	`printf "%s %s\n" "$m" "$$"; printf "%s %s\n" "$m" "$$" >&2; unset m k l nl; eval "$s"'`

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Command is a script for the node's POSIX shell.
type Command struct {
	Script string
	// Stdin is the script's standard input; nil is empty.
	Stdin io.Reader
	// Stdout and Stderr are written to at the same time; nil discards.
	Stdout, Stderr io.Writer
	// Env is set for the script and never part of a command line.
	Env map[string]string
	// Dir is the working folder, "~/" allowed; empty is the home folder.
	Dir string
}

// Run runs a script under sh and returns its exit code, 128+n where signal n
// ended it. err is about the way there and back only, a *LinkError where another
// connection may help: the script may or may not have run. When ctx ends, the script gets SIGTERM and,
// soon after, its session is closed.
func (c *Client) Run(ctx context.Context, cmd Command) (exitCode int, err error) {
	script, err := cmd.script()
	if err != nil {
		return -1, err
	}
	release, err := c.acquire(ctx)
	if err != nil {
		return -1, link(ctx, err, false)
	}
	defer release()
	s, err := c.open(ctx)
	if err != nil {
		return -1, link(ctx, fmt.Errorf("opening a session: %w", err), false)
	}
	defer s.close()
	exitCode, err = s.run(ctx, script, cmd)
	return exitCode, link(ctx, err, true)
}

// script renders working folder, environment and script as one text.
func (cmd Command) script() (string, error) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(cmd.Env)) {
		value := cmd.Env[name]
		if !envName.MatchString(name) {
			return "", fmt.Errorf("environment variable %q: a name is letters, digits and underscores and starts with no digit", Clean(name))
		}
		if strings.ContainsRune(value, 0) {
			return "", fmt.Errorf("environment variable %s: its value holds a NUL byte", name)
		}
		fmt.Fprintf(&b, "%s=%s; export %s\n", name, Quote(value), name)
	}
	if cmd.Dir != "" {
		fmt.Fprintf(&b, "cd -- %s || exit 126\n", homePath(cmd.Dir))
	}
	if strings.ContainsRune(cmd.Script, 0) || strings.ContainsRune(cmd.Dir, 0) {
		return "", errors.New("a script or folder holds a NUL byte")
	}
	b.WriteString(cmd.Script)
	return b.String(), nil
}

// homePath quotes a path for sh; a leading "~/" is the home folder.
func homePath(path string) string {
	if path == "~" {
		return `"$HOME"`
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return `"$HOME"/` + Quote(rest)
	}
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return Quote(path)
}

// ExitError is a script that ran and failed.
type ExitError struct {
	Code   int
	Stderr string // its end, cleaned
}

func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return fmt.Sprintf("exit code %d: %s", e.Code, e.Stderr)
}

// Shell runs scripts on a node; a Client does.
type Shell interface {
	Run(ctx context.Context, cmd Command) (exitCode int, err error)
}

var errOutput = fmt.Errorf("more than %d bytes of output", maxOutput)

// Output runs a command and returns what it printed; its Stdout and Stderr are
// taken for that. A non-zero exit code is an *ExitError; more than 8 MiB of
// output is an error.
func Output(ctx context.Context, node Shell, cmd Command) (string, error) {
	out, said := &capped{max: maxOutput}, &tail{max: 4096}
	cmd.Stdout, cmd.Stderr = out, said
	code, err := node.Run(ctx, cmd)
	switch {
	case err != nil:
		return "", err
	case code != 0:
		return "", &ExitError{Code: code, Stderr: Clean(said.String())}
	case out.over:
		return "", errOutput
	}
	return out.buf.String(), nil
}

// Output is the function Output for a script, with errors that name the node.
func (c *Client) Output(ctx context.Context, script string) (string, error) {
	out, err := Output(ctx, c, Command{Script: script})
	if exit := (*ExitError)(nil); errors.As(err, &exit) || errors.Is(err, errOutput) {
		err = fmt.Errorf("on %s: %w", c.addr, err)
	}
	return out, err
}

// session is one channel with what the server reported on it.
type session struct {
	client *Client
	ch     ssh.Channel
	exit   chan int // exit code; closed without one when the channel ended
}

func (c *Client) open(ctx context.Context) (*session, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	result := make(chan opened, 1)
	go func() {
		ch, reqs, err := c.conn.OpenChannel("session", nil)
		result <- opened{ch, reqs, err}
	}()
	select {
	case r := <-result:
		if r.err != nil {
			return nil, c.lost(r.err)
		}
		s := &session{client: c, ch: r.ch, exit: make(chan int, 1)}
		go s.watch(r.reqs)
		return s, nil
	case <-ctx.Done():
		go func() { // the server may still answer
			if r := <-result; r.err == nil {
				go ssh.DiscardRequests(r.reqs)
				_ = r.ch.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// close does not wait for a connection that takes nothing any more.
func (s *session) close() { go func() { _ = s.ch.Close() }() }

// watch turns the server's requests into an exit code.
func (s *session) watch(reqs <-chan *ssh.Request) {
	defer close(s.exit)
	reported := false
	for req := range reqs {
		code := -1
		switch req.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if ssh.Unmarshal(req.Payload, &m) == nil {
				code = int(m.Status & 0xff)
			}
		case "exit-signal":
			var m struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if ssh.Unmarshal(req.Payload, &m) == nil {
				code = 128 + signalNumber(m.Signal)
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil)
		}
		if code >= 0 && !reported {
			reported = true
			s.exit <- code
		}
	}
}

func signalNumber(name string) int {
	numbers := map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15}
	if n, ok := numbers[name]; ok {
		return n
	}
	return 127
}

// run starts the bootstrap, feeds it and gathers what comes back.
func (s *session) run(ctx context.Context, script string, cmd Command) (int, error) {
	if err := s.exec(ctx); err != nil {
		return -1, err
	}
	marker := nonce()
	stdout := &framed{marker: marker, w: cmd.Stdout}
	stderr := &framed{marker: marker, w: cmd.Stderr}
	go s.feed(marker, script, cmd.Stdin)
	beat := make(chan struct{}, 1)
	drained := make(chan error, 1)
	go func() {
		errOut := make(chan error, 1)
		go func() { errOut <- pump(stderr, s.ch.Stderr(), beat) }()
		drained <- errors.Join(pump(stdout, s.ch, beat), <-errOut)
	}()
	code, err := s.await(ctx, stdout, beat, drained)
	stdout.shut()
	stderr.shut()
	if err != nil {
		return -1, err
	}
	if !stdout.begun() {
		return -1, fmt.Errorf("%s did not run our shell (exit code %d); it said: %s", s.client.addr, code, noise(stdout, stderr))
	}
	return code, nil
}

func (s *session) exec(ctx context.Context) error {
	answered := make(chan error, 1)
	go func() {
		ok, err := s.ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{bootstrap}))
		if err == nil && !ok {
			err = errors.New("the server lets us in but refuses to run commands")
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		if err != nil {
			return s.client.lost(err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// feed sends marker, script and standard input. Errors show up as the command's.
func (s *session) feed(marker, script string, stdin io.Reader) {
	defer func() { _ = s.ch.CloseWrite() }()
	if stdin == nil {
		if len(script) > shortScript {
			_, _ = io.WriteString(s.ch, marker+"\n-\n"+script+"\n")
			return
		}
		script, stdin = "exec </dev/null\n"+script, strings.NewReader("")
	}
	_, err := fmt.Fprintf(s.ch, "%s\n%d\n%s\n", marker, strings.Count(script, "\n")+1, script)
	if err == nil {
		_, _ = io.CopyBuffer(onlyWriter{s.ch}, stdin, make([]byte, 256<<10))
	}
}

type onlyWriter struct{ io.Writer }

// pump copies and signals every arrival.
func pump(w io.Writer, r io.Reader, beat chan<- struct{}) error {
	buf := make([]byte, 64<<10)
	var failed error
	for {
		n, err := r.Read(buf)
		if n > 0 {
			select {
			case beat <- struct{}{}:
			default:
			}
			if failed == nil { // keep reading, or the other side stalls
				_, failed = w.Write(buf[:n])
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(failed, err)
		}
	}
}

// await waits for exit code and output, or for the context.
func (s *session) await(ctx context.Context, stdout *framed, beat <-chan struct{}, drained <-chan error) (int, error) {
	select {
	case code, ok := <-s.exit:
		if !ok {
			_ = s.drain(beat, drained) // the missing status is the news
			s.client.lingers()
			return -1, s.client.lost(errors.New("the command ended without an exit status"))
		}
		return code, s.drain(beat, drained)
	case <-ctx.Done():
	}
	go s.terminate(context.WithoutCancel(ctx), stdout.process()) // a stalled connection must not hold up the caller
	timer := time.NewTimer(cancelGrace)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
	}
	return -1, context.Cause(ctx)
}

// drain waits for the rest of the output while it keeps coming. What a
// command's leftovers print later is not its output.
func (s *session) drain(beat <-chan struct{}, drained <-chan error) error {
	timer := time.NewTimer(drainGrace)
	defer timer.Stop()
	for {
		select {
		case err := <-drained:
			return err
		case <-beat:
			timer.Reset(drainGrace)
		case <-timer.C:
			return nil
		}
	}
}

// lingers waits a moment for the news of a lost connection, which comes just
// after that of its sessions.
func (c *Client) lingers() {
	timer := time.NewTimer(500 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	}
}

// terminate asks for the end of the command: of the server, and, since OpenSSH
// refuses that for root, of the machine.
func (s *session) terminate(ctx context.Context, process string) {
	_, _ = s.ch.SendRequest("signal", false, ssh.Marshal(struct{ Signal string }{"TERM"}))
	if process == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 4*cancelGrace)
	defer cancel()
	_, _ = s.client.Output(ctx, fmt.Sprintf("kill -TERM -%[1]s 2>/dev/null || kill -TERM %[1]s", process)) // as far as it goes
}

func nonce() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, as crypto/rand promises
	return hex.EncodeToString(b[:])
}
