// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

// handshakeTimeout bounds the proof of a server: one that listens on loopback
// and says nothing is none.
const handshakeTimeout = 5 * time.Second

// errStranger says that whoever listens is not the server that made the key.
var errStranger = errors.New("what listens there is not the server that made this api_key (a server makes a new key at each start), so nothing was sent to it")

// unprovenError is a connection on which no server proved who it is: nothing
// was sent, and nothing may be believed.
type unprovenError struct{ err error }

func (e *unprovenError) Error() string { return e.err.Error() }
func (e *unprovenError) Unwrap() error { return e.err }

func isUnproven(err error) bool {
	var unproven *unprovenError
	return errors.As(err, &unproven)
}

// isStranger reports a server that answered and is not the one.
func isStranger(err error) bool {
	var verify *tls.CertificateVerificationError
	return errors.Is(err, errStranger) || errors.As(err, &verify)
}

// apiServer is one run of a FluffyCloud server, and how to reach it.
type apiServer struct {
	base *url.URL
	key  string
	http *http.Client
	// account is what it answered for the account, if it was asked.
	account string
}

// newServer returns the server at endpoint. A key that a server made ends in
// the fingerprint of its certificate, and opens a connection to no other.
func newServer(endpoint, key string) (apiServer, error) {
	base, err := fleet.ParseEndpoint(optionEndpoint, endpoint, "https://127.0.0.1:8080", "the API key")
	switch {
	case err != nil:
		return apiServer{}, err //nolint:wrapcheck // it names the option
	case base.Scheme != "https":
		return apiServer{}, fleet.ConfigErrorf(cloud.ScopeCloud, "%s %s would send the API key to whatever listens there: "+
			"use https, as the server says, and the api_key of its present run", optionEndpoint, base.Redacted())
	}
	return apiServer{base: base, key: key, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialTLSContext: dialProven(key),
			// Behind a proxy the same has to be proven.
			TLSClientConfig: proof(key), TLSHandshakeTimeout: handshakeTimeout,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		},
		// A redirect would carry the key elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// dialProven connects, and has the server prove itself before anything else.
func dialProven(key string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		conn, err := (&tls.Dialer{Config: proof(key)}).DialContext(ctx, network, address)
		if err != nil {
			return nil, &unprovenError{err}
		}
		return conn, nil
	}
}

// proof says what a server has to show: the certificate that the key names, or,
// for a key that names none, one that an authority vouches for.
func proof(key string) *tls.Config {
	want := fingerprint(key)
	if want == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection compares the whole certificate
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errStranger
			}
			sum := sha256.Sum256(state.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(want)) != 1 {
				return errStranger
			}
			return nil
		},
	}
}

// fingerprint returns the SHA-256 that the key ends in, "" if in none.
func fingerprint(key string) string {
	digits := key[strings.LastIndexByte(key, '-')+1:]
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return digits
}
