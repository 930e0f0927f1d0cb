// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// maxProvisionLog is the size beyond which a provision.log makes room for a new
// one, and is kept as provision.log.old.
const maxProvisionLog = 16 << 20

// OpenLog returns a logger that writes to the broker's log and to the
// cluster's provision.log.
func (f Folder) OpenLog() (*slog.Logger, func(), error) {
	path := f.LogPath()
	if err := durable.PrivateDir(filepath.Dir(path)); err != nil {
		return nil, nil, fmt.Errorf("log folder: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxProvisionLog {
		_ = os.Rename(path, path+".old") // else it grows
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("log file: %w", err)
	}
	file := slog.NewTextHandler(out, nil)
	both := slog.New(slog.NewMultiHandler(file, f.dir.Log.Handler())).With("cluster", f.Name)
	return both, func() { _ = out.Close() }, nil
}
