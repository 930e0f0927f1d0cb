// SPDX-License-Identifier: MPL-2.0

package spec_test

import (
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/broker/spec"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// A launch that was cut off is gone on with by the version that comes after it:
// what is added to a request leaves the digest of one that does not use it alone.
func TestDigestOutlivesVersions(t *testing.T) {
	s := spec.Spec{Name: "train", Setup: "true"}
	s.Request.Alternatives = []cloud.Requirement{{InstanceType: "m5.large"}}
	s.Request.Nodes = 2
	s.Request.Needs = optimizer.Needs{Stop: true, UserData: true}
	const earlier = "274c0825e5da38d49a3cde02049174aa60c5f069cdbd1b0e4f9104a10d81f28a" // by the version of 2026-11-30
	if got, err := s.Digest(); err != nil || got != earlier {
		t.Errorf("Digest = %s, %v; want %s", got, err, earlier)
	}
	s.Request.Needs.Runtime, s.Request.Needs.ImageLogin = "ssh", true
	if got, err := s.Digest(); err != nil || got != earlier {
		t.Errorf("Digest of a request with a runtime = %s, %v; want %s", got, err, earlier)
	}
}
