// SPDX-License-Identifier: MPL-2.0

package provider

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

// A job that was removed and is asked for again must run again, while one
// whose submission was cut off must not start twice. So what was removed is
// counted beside the state, and the count is part of the job's identity.

// effectiveRunID is the user's run_id with the number of the run, from the second on.
func effectiveRunID(stateDir string, m jobModel) (string, error) {
	n, err := removedCount(removedPath(stateDir, m))
	if err != nil || n == 0 {
		return m.RunID.ValueString(), err
	}
	return fmt.Sprintf("%s#%d", m.RunID.ValueString(), n+1), nil
}

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

func noteRemoved(stateDir string, m jobModel) error {
	path := removedPath(stateDir, m)
	n, err := removedCount(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("note the job's removal: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(n+1)+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the job's removal: %w", err)
	}
	return os.Rename(tmp, path)
}
