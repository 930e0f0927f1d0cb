// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"
)

// The address is asked for once, remembered while this computer stays where it
// is, and never waited for.
func TestPublicAddress(t *testing.T) {
	asked, answer := 0, "203.0.113.7\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		if answer == "" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	now, local := time.Now(), "10.0.0.2"
	p := publicAddress{
		source: server.URL, memory: filepath.Join(t.TempDir(), "state", "caller.json"),
		now: func() time.Time { return now }, local: func(context.Context) string { return local },
	}
	want := func(addr string, times int) {
		t.Helper()
		got, err := p.find(t.Context())
		if addr == "" && err == nil || addr != "" && (err != nil || got.String() != addr) || asked != times {
			t.Errorf("find = %v, %v after %d questions; want %q after %d", got, err, asked, addr, times)
		}
	}
	want("203.0.113.7", 1)
	want("203.0.113.7", 1)
	answer = "203.0.113.8"
	local = "192.168.1.2" // another network
	want("203.0.113.8", 2)
	answer = ""
	now = now.Add(time.Hour) // an old answer will do where there is no new one
	want("203.0.113.8", 3)
	now = now.Add(48 * time.Hour)
	want("", 4)
	answer = "<html>"
	want("", 5)
	server.Close()
	want("", 5)
}

func TestOpenToWorld(t *testing.T) {
	for _, tc := range []struct {
		texts []string
		want  int
	}{
		{[]string{"203.0.113.7/32", "10.0.0.0/8"}, 0}, {[]string{"0.0.0.0/0"}, 1}, {[]string{"0.0.0.0/1", "128.0.0.0/1"}, 1},
		{[]string{"::/0"}, 1}, {[]string{"2000::/3"}, 0}, {[]string{"0.0.0.0/0", "::/0"}, 2}, {nil, 0},
	} {
		if got := openToWorld(tc.texts); len(got) != tc.want {
			t.Errorf("openToWorld(%q) = %q", tc.texts, got)
		}
	}
}
