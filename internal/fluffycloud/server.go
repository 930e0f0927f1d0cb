// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// Options say how a server runs. Only Dir is needed.
type Options struct {
	// Dir holds all state; it is made if absent.
	Dir string
	// Listen is a loopback address with port, default "127.0.0.1:0".
	Listen string
	// Clock is for billing, expiry, retention and idling; default the real one.
	Clock Clock
	// BootTime is how long machines take from launch to running; 0 means 100
	// to 300 ms, by machine.
	BootTime time.Duration
	// StopTime is how long stop and terminate take beside the work itself; 0
	// means 30 ms.
	StopTime time.Duration
	// IdleTimeout is after how long without a machine and a request Done is
	// closed; 0 is never.
	IdleTimeout time.Duration
	// Retention is how long terminated machines stay listed; 0 means one hour.
	Retention time.Duration
	// MachineCommand runs the fluffycloud subcommand of a binary that calls
	// Main; default this executable with "fluffycloud".
	MachineCommand []string
	// Version is shown in server.json.
	Version string
	// Log receives the server's log; default none.
	Log io.Writer
}

// LockedError says that another server serves the folder.
type LockedError struct {
	Dir string
	// URL and PID are those of the other server, if it told.
	URL string
	PID int
}

// Error implements error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("FluffyCloud in %s is served already, by process %d at %s", e.Dir, e.PID, e.URL)
}

// Server is a running cloud.
type Server struct {
	opts    Options
	clock   Clock
	log     *slog.Logger
	store   *store
	lock    *flock.Flock
	apiKey  string
	account string
	self    guest.Server
	http    *http.Server

	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	done   chan struct{}
	doneIt sync.Once
	wake   chan struct{}

	mu      sync.Mutex
	closed  bool
	actors  map[string]*actor
	touched time.Time
}

// Start serves the folder until Close. Machines of an earlier server are found
// again, and what it began is finished. A folder served already is a
// *LockedError. ctx bounds the start only.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, clock: opts.Clock, log: slog.New(slog.NewTextHandler(opts.Log, nil)), lock: lock,
		done: make(chan struct{}), wake: make(chan struct{}, 1), actors: make(map[string]*actor), touched: opts.Clock.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.open(ctx); err != nil {
		s.cancel()
		if s.store != nil {
			err = errors.Join(err, s.store.close())
		}
		return nil, errors.Join(err, lock.Unlock())
	}
	return s, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("start FluffyCloud: no folder for its state was given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("start FluffyCloud: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "machines"), 0o700); err != nil {
		return o, fmt.Errorf("start FluffyCloud: %w", err)
	}
	if err := checkPrivate(dir); err != nil {
		return o, fmt.Errorf("start FluffyCloud: %w", err)
	}
	// Machines are recognised by their folder, so that must be its true name.
	if o.Dir, err = filepath.EvalSymlinks(dir); err != nil {
		return o, fmt.Errorf("start FluffyCloud: %w", err)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	if o.StopTime == 0 {
		o.StopTime = 30 * time.Millisecond
	}
	if o.Retention == 0 {
		o.Retention = time.Hour
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if len(o.MachineCommand) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("start FluffyCloud: find own binary: %w", err)
		}
		o.MachineCommand = []string{exe, subcommand}
	}
	return o, nil
}

// lockDir makes sure that this is the folder's only server.
func lockDir(dir string) (*flock.Flock, error) {
	lock := flock.New(lockFile(dir), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !got {
		var other guest.Server
		// The other may be about to write it; the error says what is known.
		_ = guest.ReadJSON(filepath.Join(dir, "server.json"), &other)
		return nil, &LockedError{Dir: dir, URL: other.URL, PID: other.PID}
	}
	return lock, nil
}

func lockFile(dir string) string { return filepath.Join(dir, "server.lock") }

func (s *Server) open(ctx context.Context) error {
	var err error
	if s.store, err = openStore(s.opts.Dir, false); err != nil {
		return err
	}
	if err := s.loadAccount(); err != nil {
		return err
	}
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	ln, err := listenLoopback(ctx, s.opts.Listen)
	if err != nil {
		return err
	}
	if err := s.resume(); err != nil {
		return errors.Join(err, ln.Close())
	}
	s.self = guest.Server{
		URL: "https://" + ln.Addr().String(), Fingerprint: guest.Fingerprint(certificate.Certificate[0]),
		PID: os.Getpid(), Version: s.opts.Version, StartedAt: time.Now().UTC(),
	}
	s.apiKey = newAPIKey(s.self.Fingerprint)
	s.answer(ln, certificate)
	// Whoever finds the server by server.json finds its key, too.
	if err := writeAPIKey(s.opts.Dir, s.apiKey); err != nil {
		return errors.Join(err, s.http.Close())
	}
	if err := guest.WriteJSON(s.serverFile(), s.self); err != nil {
		return errors.Join(err, s.http.Close())
	}
	s.log.Info("serving", "url", s.self.URL, "dir", s.opts.Dir)
	return nil
}

// answer serves on ln, by TLS: only so can a client know the server before it
// says anything.
func (s *Server) answer(ln net.Listener, certificate tls.Certificate) {
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	secure := tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}})
	s.work.Go(func() { _ = s.http.Serve(secure) })
	s.work.Go(s.watchTime)
}

func (s *Server) serverFile() string { return filepath.Join(s.opts.Dir, "server.json") }

// listenLoopback refuses every address others could reach.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("listen address %q is not on loopback; use for example 127.0.0.1:0", address)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve the API: %w", err)
	}
	return ln, nil
}

func (s *Server) loadAccount() error {
	return s.store.update(func(t *tx) error {
		id, ok, err := get[string](t, bucketMeta, "account")
		if err != nil {
			return err
		}
		if !ok {
			id = "acct-" + randomHex(8)
		}
		s.account = id
		return put(t, bucketMeta, "account", id)
	})
}

// resume takes up every machine that is not at rest.
func (s *Server) resume() error {
	var ids []string
	err := s.store.view(func(t *tx) error {
		live, err := all(t, bucketInstances, func(i instance) bool { return i.State != StateStopped && !i.State.gone() })
		for _, i := range live {
			ids = append(ids, i.ID)
		}
		return err
	})
	for _, id := range ids {
		s.kick(id)
	}
	return err
}

// URL is where the API is.
func (s *Server) URL() string { return s.self.URL }

// APIKey opens the API. It holds for the life of this server.
func (s *Server) APIKey() string { return s.apiKey }

// Client returns a client that speaks to this server only.
func (s *Server) Client(timeout time.Duration) *http.Client { return s.self.Client(timeout) }

// Done is closed when the server was asked to stop or has idled long enough.
// It serves on until Close.
func (s *Server) Done() <-chan struct{} { return s.done }

func (s *Server) finish() { s.doneIt.Do(func() { close(s.done) }) }

// Close ends the server and leaves the machines as they are.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.finish()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// Calls held up by a fault end with s.ctx, so it goes first.
	s.cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.work.Wait()
	err := errors.Join(os.Remove(s.serverFile()), os.Remove(keyFile(s.opts.Dir)))
	return errors.Join(err, s.store.close(), s.lock.Unlock())
}

// Destroy terminates every machine, waits until all are gone, and closes.
func (s *Server) Destroy(ctx context.Context) error {
	err := s.terminateAll(ctx)
	return errors.Join(err, s.Close())
}
