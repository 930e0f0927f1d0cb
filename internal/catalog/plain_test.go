// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// TestHostileHosts: what a host says reaches no terminal as it is.
func TestHostileHosts(t *testing.T) {
	const title = "\x1b]0;pwned\x07\x1b[2J"
	for name, answer := range map[string]string{
		"status line":   "HTTP/1.1 500 " + title + "\r\nContent-Length: 0\r\n\r\n",
		"header":        "HTTP/1.1 200 OK\r\n" + title + "\r\n\r\n",
		"no status":     title + "\r\n\r\n",
		"redirect":      "HTTP/1.1 302 Found\r\nLocation: http://" + title + "/\r\nContent-Length: 0\r\n\r\n",
		"what it hosts": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + title[:9],
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					_, err = io.WriteString(conn, answer)
					_ = errors.Join(err, conn.Close())
				}
			}()
			set, err := Open(Options{StateDir: t.TempDir(), BaseURL: "http://" + ln.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = set.Refresh(context.Background(), "aws", RefreshOptions{})
			if err == nil || strings.ContainsAny(err.Error(), "\x1b\x07") {
				t.Errorf("Refresh = %q, want an error without control characters", err)
			}
		})
	}
}
