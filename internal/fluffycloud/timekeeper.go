// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"net/http"
	"time"
)

// idLife is how long a terminated machine's record and client token are kept.
const idLife = 24 * time.Hour

// touch notes that somebody uses the cloud.
func (s *Server) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = s.clock.Now()
}

// nudge makes the timekeeper look again for what is due next.
func (s *Server) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// watchTime ends what has expired, forgets what ended long ago, and notices idling.
func (s *Server) watchTime() {
	for s.ctx.Err() == nil {
		wait, err := s.keepTime()
		if err != nil {
			s.log.Error("timekeeper", "error", err)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-s.clock.After(wait):
		}
	}
}

// keepTime does what is due and returns how long nothing else will be.
func (s *Server) keepTime() (time.Duration, error) {
	now := s.clock.Now()
	wait := time.Minute
	var expired []string
	live := 0
	err := s.store.update(func(t *tx) error {
		instances, err := all[instance](t, bucketInstances, nil)
		if err != nil {
			return err
		}
		for _, i := range instances {
			if i.State.gone() {
				if err := s.forget(t, i, now); err != nil {
					return err
				}
				continue
			}
			live++
			if i.ExpiresAt == nil || i.State == StateTerminating {
				continue
			}
			if left := i.ExpiresAt.Sub(now); left > 0 {
				wait = min(wait, left)
				continue
			}
			if err := s.transition(t, &i, StateTerminating, reasonExpired); err != nil {
				return err
			}
			expired = append(expired, i.ID)
		}
		return nil
	})
	for _, id := range expired {
		s.kick(id)
	}
	if s.opts.IdleTimeout > 0 && live == 0 {
		wait = min(wait, s.idleLeft(now))
	}
	return max(wait, time.Millisecond), err
}

// idleLeft is how long the server may still idle; none left closes Done.
func (s *Server) idleLeft(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.touched.Add(s.opts.IdleTimeout).Sub(now)
	if left <= 0 {
		s.finish()
		return time.Minute
	}
	return left
}

func (s *Server) forget(t *tx, i instance, now time.Time) error {
	if now.Sub(i.EndedAt) <= max(idLife, s.opts.Retention) {
		return nil
	}
	if i.ClientToken != "" {
		if err := remove(t, bucketTokens, i.ClientToken); err != nil {
			return err
		}
	}
	return remove(t, bucketInstances, i.ID)
}

// requestShutdown is how `fluffycloud stop` ends a server.
func (s *Server) requestShutdown(context.Context, *call) (reply, error) {
	s.finish()
	return reply{http.StatusAccepted, map[string]string{"status": "stopping"}}, nil
}
