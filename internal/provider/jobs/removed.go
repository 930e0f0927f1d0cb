// SPDX-License-Identifier: MPL-2.0

package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
)

// Older versions counted in the state folder how often a job was removed. The head
// keeps count now; what such a version has counted is handed over to it.

func removedPath(stateDir string, m jobModel) string {
	sum := sha256.New()
	parts := []string{
		m.ClusterID.ValueString(), m.ClusterGeneration.ValueString(), m.Name.ValueString(), m.Run.ValueString(),
		m.RunID.ValueString(), m.NumNodes.String(), m.Envs.String(), m.WorkdirDigest.ValueString(),
	}
	// What came later counts only where it is used, so that old counts stay valid.
	for name, v := range map[string]attr.Value{
		"setup": m.Setup, "secrets_version": m.SecretsVersion, "max_duration": m.MaxDuration,
		"recover_on_exit_codes": m.RecoverOnExitCodes, "max_restarts": m.MaxRestarts, "parallel": m.Parallel, "resources": m.Resources,
	} {
		if !v.IsNull() {
			parts = append(parts, name+"="+v.String())
		}
	}
	slices.Sort(parts[8:])
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return filepath.Join(stateDir, "jobs", hex.EncodeToString(sum.Sum(nil))[:32])
}

// removedCount is how often an old version saw the job removed.
func removedCount(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read how often the job was removed: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s holds no number; remove it: %w", path, err)
	}
	return n, nil
}
