// SPDX-License-Identifier: MPL-2.0

//go:build ci && linux

package gcp

import (
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// elsewhere is a configuration whose provider runs on a computer of its own, with
// what a team shares and nothing else.
func (l *lab) elsewhere(key, body string) string {
	l.t.Helper()
	here := l.dir
	defer func() { l.dir = here }()
	l.dir = l.t.TempDir()
	return strings.Replace(l.config(body), "provider \"sky\" {", fmt.Sprintf("provider \"sky\" {\n  owner = \"team-ci\"\n  ssh_private_key = %q", key), 1)
}

// TestAccCIAnyComputer is a cluster's life on GCP, where the identity and the host
// keys of machines are in their metadata: every step on a computer that has but the
// state, the owner and the key.
func TestAccCIAnyComputer(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	l, key := newLab(t), string(pem.EncodeToMemory(block))
	job := func(run string) string {
		return fmt.Sprintf("resource \"sky_job\" \"j\" {\n  cluster_id = sky_cluster.storm.id\n  num_nodes = 2\n  run_id = %q\n  run = \"cat ~/rank; echo ran >> ~/runs; wc -l < ~/runs\"\n}\n", run)
	}
	empty := resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	ran := func(times int) knownvalue.Check {
		return knownvalue.StringRegexp(regexp.MustCompile(fmt.Sprintf(`(?s)\(rank 1\) %d\n`, times)))
	}
	l.test(
		resource.TestStep{Config: l.elsewhere(key, strings.Replace(twoNodes, "num_nodes     = 2", "num_nodes     = 1", 1)), ConfigPlanChecks: empty},
		resource.TestStep{Config: l.elsewhere(key, twoNodes), ConfigPlanChecks: empty, Check: func(*terraform.State) error {
			for _, in := range l.Instances() {
				if key := metadataOf(in.Metadata)[cloud.TagHostKey]; !strings.HasPrefix(key, "ssh-ed25519 AAAA") {
					return fmt.Errorf("the host key on %s is %q", in.Name, key)
				}
			}
			return nil
		}},
		resource.TestStep{Config: l.elsewhere(key, twoNodes+job("1")), ConfigPlanChecks: empty, ConfigStateChecks: []statecheck.StateCheck{known("sky_job.j", "log_tail", ran(1))}},
		resource.TestStep{Config: l.elsewhere(key, twoNodes+job("2")), ConfigPlanChecks: empty, ConfigStateChecks: []statecheck.StateCheck{known("sky_job.j", "log_tail", ran(2))}},
		resource.TestStep{Config: l.elsewhere(key, twoNodes+job("2")), PlanOnly: true},
	)
}
