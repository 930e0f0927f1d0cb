// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Services that tell from where on the Internet this computer is seen: Amazon's, and
// Cloudflare's for where that cannot be reached and nobody named another one.
const (
	callerAddressSource = "https://checkip.amazonaws.com"
	secondAddressSource = "https://ipv4.icanhazip.com"
)

// AllowedCIDRs are who may reach machines of a spec behind a firewall: the
// prefixes asked for, else Hooks.Callers or this computer's own public address.
// Bootstrap asks before it makes anything.
func (f *Fleet[N, R]) AllowedCIDRs(ctx context.Context, spec cloud.ClusterSpec, behind Firewall) ([]netip.Prefix, error) {
	if len(spec.AllowedCIDRs) > 0 {
		return spec.AllowedCIDRs, nil
	}
	if f.Hooks.Callers != nil {
		if found, err := f.Hooks.Callers(ctx, spec, behind); err != nil || len(found) > 0 {
			return found, err
		}
	}
	addr, err := callerAddress(ctx, f.addressSources(spec))
	if err != nil {
		return nil, ConfigErrorf(cloud.ScopeCloud, "cannot tell the address from which SSH is to be allowed, so say it with allowed_cidrs, or name a service that tells it with address_services in the provider block: %v", err)
	}
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, nil
}

// addressSources are the usual one, and those of the user or another one.
func (f *Fleet[N, R]) addressSources(spec cloud.ClusterSpec) []string {
	sources := append([]string{f.CallerSource}, spec.AddressSources...)
	if len(sources) == 1 && f.CallerSource == callerAddressSource {
		sources = append(sources, secondAddressSource)
	}
	return sources
}

// callerAddress asks all sources at once, for a while. The first address of IPv4, which
// machines are reached by, is taken; one of IPv6 where nobody tells another.
func callerAddress(ctx context.Context, sources []string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	type answer struct {
		addr netip.Addr
		err  error
	}
	answers := make(chan answer, len(sources))
	for _, source := range sources {
		go func() {
			addr, err := askAddress(ctx, source)
			answers <- answer{addr, err}
		}()
	}
	var other netip.Addr
	var errs []error
	for range sources {
		got := <-answers
		switch {
		case got.err != nil:
			errs = append(errs, got.err)
		case got.addr.Is4():
			return got.addr, nil
		default:
			other = got.addr
		}
	}
	if other.IsValid() {
		return other, nil
	}
	return other, errors.Join(errs...)
}

func askAddress(ctx context.Context, source string) (netip.Addr, error) {
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
