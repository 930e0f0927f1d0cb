// SPDX-License-Identifier: MPL-2.0

package aws

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/aws/ec2proxy"
)

// Rules that somebody added are told, whatever their protocol, and closed by
// OpenPorts; Bootstrap leaves them, and opens none of them to our own sources.
func TestForeignRules(t *testing.T) {
	w := newWorld(t, &ec2proxy.Proxy{}, nil)
	spec, at := request(1, "m5.large", cloud.OnDemand)
	spec.Ports = nil
	spec.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}
	cfg, err := w.Bootstrap(t.Context(), spec, at)
	if err != nil {
		t.Fatal(err)
	}
	w.fake.mu.Lock()
	g := w.fake.groups[slices.IndexFunc(w.fake.groups, func(g *fakeGroup) bool { return spec.Ref.Owns(g.tags) })]
	before := slices.Clone(g.rules)
	g.rules = append(g.rules, []url.Values{
		{"IpProtocol": {"-1"}, "IpRanges.1.CidrIp": {"0.0.0.0/0"}},
		{"IpProtocol": {"udp"}, "FromPort": {"53"}, "ToPort": {"53"}, "IpRanges.1.CidrIp": {"0.0.0.0/0"}},
		{"IpProtocol": {"tcp"}, "FromPort": {"1"}, "ToPort": {"65535"}, "IpRanges.1.CidrIp": {"203.0.113.0/24"}},
	}...)
	w.fake.mu.Unlock()
	want := []string{"1-65535 from 203.0.113.0/24 is open", "all from 0.0.0.0/0 is open", "udp 53-53 from 0.0.0.0/0 is open"}
	if got, err := w.d.PortDrift(t.Context(), spec.Ref, cfg.Spec.AllowedCIDRs, nil); err != nil || !slices.Equal(got, want) {
		t.Errorf("PortDrift = %q, %v", got, err)
	}
	if err := w.OpenPorts(t.Context(), spec.Ref, cfg, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := w.d.PortDrift(t.Context(), spec.Ref, cfg.Spec.AllowedCIDRs, nil); err != nil || len(got) > 0 {
		t.Errorf("PortDrift after OpenPorts = %q, %v", got, err)
	}
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	if len(g.rules) != len(before) {
		t.Errorf("the rules are %v, were %v", g.rules, before)
	}
}

// Credentials are missing only where the environment and the files have none.
func TestKeyless(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	missing := func(values map[string]string) bool {
		return (Factory{}).MissingCredentials(cloud.Credentials{Values: values}) != ""
	}
	if !missing(nil) && !onEC2() {
		t.Error("there are credentials where there is nothing")
	}
	if missing(map[string]string{optionAccessKey: "x"}) || missing(map[string]string{optionProfile: "x"}) {
		t.Error("an option is no credentials")
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
	if missing(nil) {
		t.Error("a web identity is no credentials")
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "")
	if err := os.MkdirAll(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".aws", "config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if missing(nil) {
		t.Error("a profile is no credentials")
	}
}
