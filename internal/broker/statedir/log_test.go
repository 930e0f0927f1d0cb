// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"log/slog"
	"os"
	"testing"
	"time"
)

// TestProvisionLogMakesRoom keeps the one before, and no more.
func TestProvisionLogMakesRoom(t *testing.T) {
	f := Dir{Path: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)}.Cluster("me", "c")
	write := func(size int64) {
		log, closeLog, err := f.OpenLog()
		if err != nil {
			t.Fatal(err)
		}
		log.Info("here")
		closeLog()
		if err := os.Truncate(f.LogPath(), size); err != nil {
			t.Fatal(err)
		}
	}
	write(maxProvisionLog + 1)
	write(10)
	write(20)
	for path, want := range map[string]int64{f.LogPath(): 20, f.LogPath() + ".old": maxProvisionLog + 1} {
		if info, err := os.Stat(path); err != nil || info.Size() != want {
			t.Errorf("%s: %v, %v, want %d bytes", path, info, err, want)
		}
	}
}
