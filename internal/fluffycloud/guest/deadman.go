// SPDX-License-Identifier: MPL-2.0

//go:build unix

package guest

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// deadManInterval is how often a machine looks at its own timer.
const deadManInterval = time.Second

// watchExpiry terminates the machine at its expiry where no cloud does: one
// that was killed ends nothing, and a machine must not outlive its timer.
func (m *machine) watchExpiry(ctx context.Context, leave func()) {
	tick := time.NewTicker(deadManInterval)
	defer tick.Stop()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !expired(m.paths.Expiry(), time.Now()) || m.cloudServes() {
			missed = 0
			continue
		}
		// A cloud that is just being restarted gets to decide by itself.
		if missed++; missed < 2 {
			continue
		}
		m.log.Info("expired, and no cloud to see to it")
		if err := WriteJSON(m.paths.SelfRequest(), SelfRequest{Action: "terminate", Reason: "expired"}); err != nil {
			m.log.Error("note the expiry", "error", err)
			continue
		}
		leave()
		return
	}
}

func expired(path string, now time.Time) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(data)))
	return err == nil && now.After(at)
}

// cloudServes reports whether a server holds the cloud's lock.
func (m *machine) cloudServes() bool {
	lock := flock.New(m.cfg.LockFile, flock.SetPermissions(0o600))
	got, err := lock.TryRLock()
	if err != nil {
		return true
	}
	if got {
		_ = lock.Unlock()
	}
	return !got
}
