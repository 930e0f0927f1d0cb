// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

const (
	// callerSource tells the address that the internet sees this computer under.
	callerSource = "https://checkip.amazonaws.com"
	// callerPatience bounds the question at plan; a computer that is offline is
	// told so at once, and one behind a silent firewall must not hang.
	callerPatience = 2 * time.Second
	// callerFresh is how long an answer is used again without asking: the plan
	// is made twice, once more right before apply, and both must agree.
	callerFresh = 10 * time.Minute
	// callerStale is how long it is used where asking fails.
	callerStale = 24 * time.Hour
)

// callerPrefixes is who may reach the cluster where the configuration does not
// say, as far as that is known before launch: all clouds of the plan must see
// this computer under the same address. It reports false where it is not known.
func (d *providerData) callerPrefixes(ctx context.Context, plan optimizer.Plan) ([]netip.Prefix, bool) {
	if d.templatesDir != "" || d.unknown != "" {
		return nil, false // a template of the user's own may say otherwise
	}
	var all []netip.Prefix
	asked := map[string]bool{}
	for _, p := range plan.Placements {
		if asked[p.Offer.Cloud] {
			continue
		}
		asked[p.Offer.Cloud] = true
		one, ok := d.callerOf(ctx, p.Offer.Cloud)
		if !ok || (all != nil && !slices.Equal(all, one)) {
			return nil, false
		}
		all = one
	}
	return all, len(all) > 0
}

func (d *providerData) callerOf(ctx context.Context, cloudName string) ([]netip.Prefix, bool) {
	factory, _ := d.registry.Get(cloudName)
	source, ok := factory.(cloud.CallerSource)
	if !ok {
		return nil, false
	}
	prefixes, public := source.Caller(d.credentials(cloudName, "", "").Values)
	if !public {
		return prefixes, len(prefixes) > 0
	}
	dir, err := d.stateFolder()
	if err != nil {
		return nil, false
	}
	addr, err := publicAddress{source: callerSource, memory: filepath.Join(dir, "caller.json"), now: time.Now, local: localAddress}.find(ctx)
	if err != nil {
		return nil, false
	}
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, true
}

// publicAddress finds the address that the internet sees this computer under,
// and remembers it for a while.
type publicAddress struct {
	source, memory string
	now            func() time.Time
	// local tells one network from another, without sending anything.
	local func(context.Context) string
}

// remembered is the content of the memory.
type remembered struct {
	Address netip.Addr `json:"address"`
	Local   string     `json:"local"`
	Asked   time.Time  `json:"asked"`
}

func (p publicAddress) find(ctx context.Context) (netip.Addr, error) {
	var old remembered
	if text, err := os.ReadFile(p.memory); err != nil || json.Unmarshal(text, &old) != nil {
		old = remembered{}
	}
	local := p.local(ctx)
	age := p.now().Sub(old.Asked)
	known := old.Address.IsValid() && old.Local == local && age >= 0
	if known && age < callerFresh {
		return old.Address, nil
	}
	addr, err := p.ask(ctx)
	if err != nil {
		if known && age < callerStale {
			return old.Address, nil
		}
		return addr, err
	}
	p.remember(remembered{Address: addr, Local: local, Asked: p.now().UTC()})
	return addr, nil
}

// remember fails silently: the answer is only asked for again.
func (p publicAddress) remember(r remembered) {
	text, err := json.Marshal(r)
	if err != nil || os.MkdirAll(filepath.Dir(p.memory), 0o700) != nil {
		return
	}
	tmp := fmt.Sprintf("%s.%d", p.memory, os.Getpid())
	if os.WriteFile(tmp, text, 0o600) == nil {
		_ = os.Rename(tmp, p.memory)
	}
}

func (p publicAddress) ask(ctx context.Context) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, callerPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.source, http.NoBody)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %s: %w", p.source, err)
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 256))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %s: %w", p.source, err)
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil || resp.StatusCode != http.StatusOK {
		return netip.Addr{}, fmt.Errorf("%s answers with no address", p.source)
	}
	return addr.Unmap(), nil
}

// localAddress is the address of the interface that leads out. Nothing is
// sent: connecting a UDP socket only looks a route up.
func localAddress(ctx context.Context) string {
	conn, err := (&net.Dialer{Timeout: callerPatience}).DialContext(ctx, "udp", "192.0.2.1:9")
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	host, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	return host
}
