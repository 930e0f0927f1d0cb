// SPDX-License-Identifier: MPL-2.0

package provider_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// Rows of SkyPilot's smoke list that no other test covers; see the guide
// "SkyPilot's smoke tests".

// answerArgument makes the test binary a web server; see TestMain.
const answerArgument = "answer-http"

// answer serves one sentence at the address.
func answer(address string) int {
	server := &http.Server{Addr: address, ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello from the head")
	})}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	return 1
}

// TestAccPinnedPlace pins a zone, and puts labels on what is there.
func TestAccPinnedPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	config := l.config(`
resource "sky_cluster" "c" {
  name      = "pinned"
  resources = { infra = "fluffycloud/lagoon-1/lagoon-1b", instance_type = "puff-2", labels = { team = "x" } }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "where"
  run        = "echo \"$SKYPILOT_CLUSTER_INFO\""
}
`)
	l.test(resource.TestStep{
		Config: config, ConfigPlanChecks: action(cluster, plancheck.ResourceActionCreate),
		ConfigStateChecks: []statecheck.StateCheck{
			value("region", knownvalue.StringExact("lagoon-1")), value("zone", knownvalue.StringExact("lagoon-1b")),
			statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("log_tail"), knownvalue.StringRegexp(regexp.MustCompile(`lagoon-1.*lagoon-1b`))),
		},
		Check: func(*terraform.State) error {
			if all := l.alive(); len(all) != 1 || all[0].Zone != "lagoon-1b" || all[0].Tags["team"] != "x" {
				return fmt.Errorf("alive: %+v", all)
			}
			return nil
		},
	})
}

// TestAccEndpointAnswers runs a web server as a job and asks the endpoint.
func TestAccEndpointAnswers(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	config := l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "web"
  resources = { instance_type = "puff-2", ports = ["18080"] }
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "server"
  wait       = false
  run        = "exec %s %s $SKYPILOT_NODE_IPS:18080"
}
`, self, answerArgument))
	l.test(resource.TestStep{Config: config, Check: func(s *terraform.State) error {
		url := "http://" + s.RootModule().Resources[cluster].Primary.Attributes["endpoints.18080"]
		client := &http.Client{Timeout: patience}
		for deadline := time.Now().Add(patience); ; {
			resp, err := client.Get(url)
			if err == nil {
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(text) == "hello from the head" {
					return nil
				}
				err = fmt.Errorf("%s answers %q", url, text)
			}
			if time.Now().After(deadline) {
				return err
			}
			<-time.After(50 * time.Millisecond)
		}
	}})
}

// TestAccLongScripts runs scripts that no command line could hold.
func TestAccLongScripts(t *testing.T) {
	t.Parallel()
	const lines = 200_000
	script := filepath.Join(t.TempDir(), "long.sh")
	writeFile(t, script, strings.Repeat(":\n", lines)+"echo the end of $0\n")
	l := newLab(t)
	config := l.config(fmt.Sprintf(`
resource "sky_cluster" "c" {
  name      = "long"
  resources = { instance_type = "puff-2" }
  setup     = "${file(%q)}touch ~/set-up"
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "long"
  run        = "${file(%q)}ls ~/set-up"
}
`, script, script))
	l.test(resource.TestStep{Config: config, ConfigStateChecks: []statecheck.StateCheck{
		statecheck.ExpectKnownValue("sky_job.j", tfjsonpath.New("log_tail"), knownvalue.StringRegexp(regexp.MustCompile(`(?s)the end of.*set-up`))),
	}})
}
