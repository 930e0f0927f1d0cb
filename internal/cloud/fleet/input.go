// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// checkSpec refuses what no cloud can launch, before anything is asked of the
// one that is named.
func checkSpec(name string, spec cloud.ClusterSpec, at cloud.Placement) error {
	ref := spec.Ref
	switch {
	case ref.Owner == "" || ref.Cluster == "" || ref.Generation == "":
		return ConfigErrorf(cloud.ScopeCloud, "the cluster reference lacks owner, name or generation")
	case at.Offer.Cloud != name:
		return ConfigErrorf(cloud.ScopeCloud, "the placement %s is not on %s", at, name)
	case at.Offer.Region == "":
		return ConfigErrorf(cloud.ScopeCloud, "the placement names no region")
	case len(spec.Nodes) == 0:
		return ConfigErrorf(cloud.ScopeCloud, "the cluster has no nodes")
	}
	for k := range spec.Labels {
		if strings.HasPrefix(k, cloud.TagPrefix) {
			return ConfigErrorf(cloud.ScopeCloud, "label %q: labels that begin with %q are reserved", k, cloud.TagPrefix)
		}
	}
	seen := map[int]bool{}
	for _, n := range spec.Nodes {
		id := n.Identity
		switch {
		case id.Owner != ref.Owner || id.Cluster != ref.Cluster || id.Generation != ref.Generation:
			return ConfigErrorf(cloud.ScopeCloud, "node %d belongs to another cluster", id.Rank)
		case id.Rank < 0 || seen[id.Rank]:
			return ConfigErrorf(cloud.ScopeCloud, "rank %d comes twice or is negative", id.Rank)
		}
		seen[id.Rank] = true
	}
	return nil
}

// ParseEndpoint accepts https anywhere and plain http on loopback only, since
// secrets travel with every call. The error names the option, an example of
// what it takes, and the secrets.
func ParseEndpoint(option, endpoint, example, secrets string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "":
		return nil, ConfigErrorf(cloud.ScopeCloud, "%s must be a URL like %s", option, example)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, ConfigErrorf(cloud.ScopeCloud, "%s %s would send %s unencrypted: use https", option, u.Redacted(), secrets)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// callerAddressSource tells from where on the Internet this computer is seen.
const callerAddressSource = "https://checkip.amazonaws.com"

// callerAddress asks a source such as callerAddressSource, for a while.
func callerAddress(ctx context.Context, source string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, http.NoBody)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %s: %w", source, err)
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return netip.Addr{}, err //nolint:wrapcheck // *url.Error names method and URL already
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %s: %w", source, err)
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil || resp.StatusCode != http.StatusOK {
		return netip.Addr{}, errors.New(source + " answers with no address")
	}
	return addr.Unmap(), nil
}
