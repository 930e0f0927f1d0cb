// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// starter finds the provider's own server, or starts it. Several processes may
// do so at once: a lock lets one start it and the others find it.
type starter struct {
	// stateDir is the provider's state folder; the server keeps its own in it.
	stateDir   string
	executable string
	timeout    time.Duration
}

// dir is the server's own folder.
func (s starter) dir() string { return filepath.Join(s.stateDir, Name) }

// ensure returns a server that proved itself and answered.
func (s starter) ensure(ctx context.Context) (apiServer, error) {
	found, err := s.find(ctx)
	if err == nil {
		return found, nil
	}
	if s.executable == "" {
		return apiServer{}, fmt.Errorf("no server answers and there is no program to start one: %w", err)
	}
	if err := os.MkdirAll(s.dir(), 0o700); err != nil {
		return apiServer{}, fmt.Errorf("make the state folder: %w", err)
	}
	if err := checkPrivate(s.dir()); err != nil {
		return apiServer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	lock := flock.New(filepath.Join(s.dir(), "start.lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return apiServer{}, fmt.Errorf("wait for another process that starts it: %w", err)
	}
	defer lock.Close()
	if found, err := s.find(ctx); err == nil {
		return found, nil
	}
	return s.launch(ctx)
}

// find returns the server that the state folder speaks of, if it proves that it
// made the key beside it, and answers.
func (s starter) find(ctx context.Context) (apiServer, error) {
	if err := checkPrivate(s.dir()); err != nil {
		return apiServer{}, err
	}
	data, err := os.ReadFile(filepath.Join(s.dir(), "server.json"))
	if err != nil {
		return apiServer{}, fmt.Errorf("read where it serves: %w", err)
	}
	var where struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(data, &where); err != nil {
		return apiServer{}, fmt.Errorf("read where it serves: server.json: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(s.dir(), "api_key"))
	if err != nil {
		return apiServer{}, fmt.Errorf("read its key: %w", err)
	}
	found, err := newServer(where.URL, strings.TrimSpace(string(key)))
	if err != nil {
		return apiServer{}, err
	}
	probe := found.client()
	probe.policy = retry.Policy{Attempts: 1}
	probe.tryTimeout = handshakeTimeout
	if found.account, err = probe.accountID(ctx); err != nil {
		found.http.CloseIdleConnections()
		return apiServer{}, fmt.Errorf("ask the server at %s: %w", found.base, err)
	}
	return found, nil
}

// launch starts the server and waits until it answers.
func (s starter) launch(ctx context.Context) (apiServer, error) {
	logPath := filepath.Join(s.dir(), "server.log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return apiServer{}, fmt.Errorf("open its log: %w", err)
	}
	defer logFile.Close()
	info, err := logFile.Stat()
	if err != nil {
		return apiServer{}, fmt.Errorf("open its log: %w", err)
	}
	exited, err := s.spawn(logFile)
	if err != nil {
		return apiServer{}, err
	}
	var found apiServer
	err = retry.Poll(ctx, retry.Policy{Initial: 20 * time.Millisecond, Max: 500 * time.Millisecond}, func(ctx context.Context) (bool, error) {
		var err error
		if found, err = s.find(ctx); err == nil {
			return true, nil
		}
		select {
		case exit := <-exited:
			// Zero means that another one serves; anything else is the end.
			if exit != nil {
				return false, retry.Stop(fmt.Errorf("it ended at once: %w", exit))
			}
			if refusesKey(err) {
				return false, retry.Stop(err)
			}
		default:
		}
		return false, err
	})
	if err != nil {
		return apiServer{}, fmt.Errorf("%w\n%s", err, tail(logPath, info.Size()))
	}
	return found, nil
}

// spawn starts the server in a session of its own, with nothing of this
// process but a plain environment: neither its files nor its secrets. The
// channel gets the exit of a server that ends while this process lives.
func (s starter) spawn(logFile *os.File) (<-chan error, error) {
	// The server outlives this process and every context in it.
	cmd := exec.Command(s.executable, "fluffycloud", "serve", "--state-dir", s.stateDir) //nolint:noctx // see above
	cmd.Dir = s.dir()
	cmd.Env = plainEnviron(os.Environ())
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", s.executable, err)
	}
	exited := make(chan error, 2)
	go func() {
		defer close(exited)
		exited <- cmd.Wait()
	}()
	return exited, nil
}

// plainEnviron keeps what programs need to find their way, and drops the
// rest: a provider's environment holds the keys of its user's clouds.
func plainEnviron(environ []string) []string {
	keep := map[string]bool{
		"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "SHELL": true, "LANG": true, "TZ": true,
		"TMPDIR": true, "TMP": true, "TEMP": true, "GOCOVERDIR": true,
		"SYSTEMROOT": true, "COMSPEC": true, "PATHEXT": true, "USERPROFILE": true, "APPDATA": true, "LOCALAPPDATA": true,
	}
	var out []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if name = strings.ToUpper(name); keep[name] || strings.HasPrefix(name, "LC_") {
			out = append(out, kv)
		}
	}
	return out
}

// tail returns the end of what a log got since it was size bytes long.
func tail(path string, size int64) string {
	const limit = 2 << 10
	f, err := os.Open(path)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	if _, err := f.Seek(max(size, info.Size()-limit), io.SeekStart); err != nil {
		return "its log cannot be read: " + err.Error()
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if text := strings.TrimSpace(strings.ToValidUTF8(string(data), "?")); text != "" {
		return "the end of " + path + ":\n" + text
	}
	return errors.Join(errors.New(path+" says nothing"), err).Error()
}
