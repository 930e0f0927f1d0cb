// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// TestAccSSHConfig follows the file through a cluster's life: a host for each
// node, by its pinned key; new addresses after a start; gone after a destroy.
func TestAccSSHConfig(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	path := ""
	holds := func(hosts ...string) resource.TestCheckFunc {
		return func(s *terraform.State) error {
			attributes := s.RootModule().Resources[cluster].Primary.Attributes
			path = attributes["ssh_config_path"]
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.Contains(string(text), "PRIVATE") {
				return errors.New("the file holds a private key")
			}
			blocks := strings.Split(string(text), "\nHost ")[1:]
			if len(blocks) != len(hosts) {
				return fmt.Errorf("%d hosts in %s, want %q", len(blocks), text, hosts)
			}
			for rank, host := range hosts {
				node := func(name string) string { return attributes[fmt.Sprintf("nodes.%d.%s", rank, name)] }
				want := fmt.Sprintf("%s\n  HostName %s\n  Port %s\n  User fluffy\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  StrictHostKeyChecking yes\n",
					host, node("external_ip"), node("ssh_port"), attributes["ssh_key_path"], strings.TrimSuffix(path, "ssh_config")+"known_hosts")
				if strings.TrimSpace(blocks[rank]) != strings.TrimSpace(want) {
					return fmt.Errorf("host %d is %q, want %q", rank, blocks[rank], want)
				}
			}
			return nil
		}
	}
	l.test(
		resource.TestStep{Config: lifeConfig(l, 1, "UP", ""), Check: holds("life")},
		resource.TestStep{Config: lifeConfig(l, 3, "UP", ""), Check: holds("life", "life-worker1", "life-worker2")},
		resource.TestStep{Config: lifeConfig(l, 3, "STOPPED", "")},
		resource.TestStep{Config: lifeConfig(l, 3, "UP", ""), Check: holds("life", "life-worker1", "life-worker2")},
		resource.TestStep{Config: lifeConfig(l, 2, "UP", ""), Check: holds("life", "life-worker1")},
	)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the destroy, %s: %v", path, err)
	}
}
