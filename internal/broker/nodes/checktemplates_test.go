// SPDX-License-Identifier: MPL-2.0

package nodes

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// The built-in templates promise no tools; a template of one's own may.
func TestToolsOfTemplates(t *testing.T) {
	dir, at := t.TempDir(), cloud.Placement{Nodes: 1, Offer: cloud.Offer{Cloud: "fluffycloud"}}
	if tools, err := Tools("", at); err != nil || len(tools) != 0 {
		t.Errorf("built in: %q, %v", tools, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fluffycloud.yaml.tmpl"), []byte("ssh_user: me\nprocess_manager: auto\ntools: [uv, conda]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tools, err := Tools(dir, at); err != nil || !slices.Equal(tools, []string{"uv", "conda"}) {
		t.Errorf("of one's own: %q, %v", tools, err)
	}
}
