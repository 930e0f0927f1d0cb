// SPDX-License-Identifier: MPL-2.0

package fleet

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// says is a service that answers so, once the channel is closed.
func says(t *testing.T, when <-chan struct{}, status int, text string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-when:
		case <-r.Context().Done():
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestAddressIsAskedInMoreThanOneWay: one service that answers is enough, whichever it
// is, and one that hangs holds up nobody.
func TestAddressIsAskedInMoreThanOneWay(t *testing.T) {
	now, never := make(chan struct{}), make(chan struct{})
	close(now)
	good := says(t, now, http.StatusOK, "203.0.113.9\n")
	for name, tt := range map[string]struct {
		sources []string
		want    string
	}{
		"the usual one":       {[]string{good}, "203.0.113.9/32"},
		"a closed port first": {[]string{"http://127.0.0.1:1", good}, "203.0.113.9/32"},
		"one that hangs":      {[]string{says(t, never, 200, ""), good}, "203.0.113.9/32"},
		"a captive portal":    {[]string{says(t, now, 200, "<html>"), good}, "203.0.113.9/32"},
		"an error page":       {[]string{says(t, now, 503, "203.0.113.1"), good}, "203.0.113.9/32"},
		"IPv4 before IPv6":    {[]string{says(t, now, 200, "2001:db8::1"), good}, "203.0.113.9/32"},
		"IPv6 alone":          {[]string{says(t, now, 200, "2001:db8::1")}, "2001:db8::1/128"},
		"none":                {[]string{says(t, now, 200, "what?"), says(t, now, 500, "")}, ""},
	} {
		f, cfg := fleetOf(&pods{}, 1, func(c *Config[string, string]) { c.CallerSource = tt.sources[0] })
		cfg.Spec.AddressSources = tt.sources[1:]
		got, err := f.AllowedCIDRs(t.Context(), cfg.Spec, Firewall{})
		switch {
		case tt.want == "":
			if err == nil || !strings.Contains(err.Error(), "address_services") || !strings.Contains(err.Error(), tt.sources[0]) || !strings.Contains(err.Error(), tt.sources[1]) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		case err != nil || len(got) != 1 || got[0].String() != tt.want:
			t.Errorf("%s: %v, %v; want %s", name, got, err, tt.want)
		}
	}
}

// TestAddressSources: a second service is asked, the user's in place of the built-in one.
func TestAddressSources(t *testing.T) {
	f, _ := fleetOf(&pods{}, 1, nil)
	if got := f.addressSources(cloud.ClusterSpec{}); len(got) != 2 || got[0] != callerAddressSource || got[1] != secondAddressSource {
		t.Errorf("by default: %v", got)
	}
	own := cloud.ClusterSpec{AddressSources: []string{"https://ip.example.com"}}
	if got := f.addressSources(own); len(got) != 2 || got[1] != "https://ip.example.com" {
		t.Errorf("with the user's: %v", got)
	}
}
