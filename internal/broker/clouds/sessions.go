// SPDX-License-Identifier: MPL-2.0

// Package clouds opens the clouds and looks at what they hold: sessions, the
// inventory of the machines of a name, and the second look before absence is
// believed.
package clouds

import (
	"context"
	"fmt"
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Sessions are the clouds, opened on first use. It is safe for concurrent use.
type Sessions struct {
	// Registry is the set of clouds.
	Registry *cloud.Registry
	// Credentials returns the user's settings of a cloud.
	Credentials func(cloudName string) cloud.Credentials

	mu       sync.Mutex
	sessions map[string]cloud.Session
	// opening has one token for each cloud, for who opens it.
	opening map[string]chan struct{}
}

// Open opens a cloud on first use and keeps it. A cloud that is slow to open
// holds up nobody who needs another.
func (s *Sessions) Open(ctx context.Context, name string) (cloud.Session, error) {
	session, opening, ok := s.opened(name)
	if ok {
		return session, nil
	}
	select {
	case opening <- struct{}{}:
		defer func() { <-opening }()
	case <-ctx.Done():
		return cloud.Session{}, fmt.Errorf("cloud %s is still being opened: %w", name, context.Cause(ctx))
	}
	if session, _, ok := s.opened(name); ok {
		return session, nil
	}
	factory, ok := s.Registry.Get(name)
	if !ok {
		return cloud.Session{}, fmt.Errorf("this build of the provider has no driver for cloud %q (it has %v)", name, s.Registry.Names())
	}
	session, err := factory.Open(ctx, s.Credentials(name))
	if err != nil {
		return cloud.Session{}, fmt.Errorf("cloud %s is not enabled: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions == nil {
		s.sessions = map[string]cloud.Session{}
	}
	s.sessions[name] = session
	return session, nil
}

// opened is the session of a cloud, if there is one yet, and what to hold while
// making it.
func (s *Sessions) opened(name string) (session cloud.Session, opening chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok = s.sessions[name]
	if s.opening == nil {
		s.opening = map[string]chan struct{}{}
	}
	if s.opening[name] == nil {
		s.opening[name] = make(chan struct{}, 1)
	}
	return session, s.opening[name], ok
}

// Capabilities says what machines of a cloud can do; it needs no account. False is
// that this build has no driver for it.
func (s *Sessions) Capabilities(cloudName string) (cloud.Capabilities, bool) {
	return s.Registry.Capabilities(cloudName, s.Credentials(cloudName))
}

// CannotStop says why machines of this cloud, market and type cannot be stopped;
// empty is that they can. It needs no account.
func (s *Sessions) CannotStop(o cloud.Offer) string {
	caps, ok := s.Capabilities(o.Cloud)
	if !ok {
		return fmt.Sprintf("this build of the provider has no driver for cloud %q", o.Cloud)
	}
	return caps.CannotStop(o)
}

// OnShutdown is what a machine's own power-off must do: remove it under
// autodown, else stop it where it can stop.
func (s *Sessions) OnShutdown(o cloud.Offer, cfg *autostop.Config) cloud.Shutdown {
	switch {
	case cfg != nil && cfg.Down:
		return cloud.ShutdownTerminate
	case s.CannotStop(o) == "":
		return cloud.ShutdownStop
	}
	return ""
}
