// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/skybroker/terraform-provider-sky/internal/broker/journal"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// settingsPath is where the caller's own notes on a cluster are kept. They lie
// beside the generation's keys and go with them.
func (f Folder) settingsPath(c cluster.Cluster) (string, error) {
	if !journal.GenerationPattern().MatchString(c.Generation) {
		return "", fmt.Errorf("%q is no generation", c.Generation)
	}
	return filepath.Join(keyDir(f.path, c.Generation), "settings.json"), nil
}

// SaveSettings keeps text beside the cluster's record until the cluster is
// removed. The broker does not look into it.
func (f Folder) SaveSettings(c cluster.Cluster, text []byte) error {
	path, err := f.settingsPath(c)
	if err != nil {
		return err
	}
	if err := durable.PrivateDir(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.Replace(path, string(text))
}

// Settings returns what was saved last, nil where nothing was or where it
// cannot be read.
func (f Folder) Settings(c cluster.Cluster) []byte {
	path, err := f.settingsPath(c)
	if err != nil {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return text
}
