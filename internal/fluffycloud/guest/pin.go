// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Server is what server.json tells of the server of a cloud.
type Server struct {
	URL string `json:"url"`
	// Fingerprint is that of the certificate it made at its start.
	Fingerprint string    `json:"fingerprint"`
	PID         int       `json:"pid"`
	Version     string    `json:"version"`
	StartedAt   time.Time `json:"started_at"`
}

// Proves says whether the server can prove who it is. Those of earlier versions
// cannot, and are sent nothing.
func (s Server) Proves() bool {
	return strings.HasPrefix(s.URL, "https://") && len(s.Fingerprint) == hex.EncodedLen(sha256.Size)
}

// errStranger says that what listens on the server's port is not the server.
var errStranger = errors.New("what listens there is not this cloud's server; nothing was sent to it")

// Fingerprint is the SHA-256 of a certificate in DER, in hexadecimal digits.
func Fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return hex.EncodeToString(sum[:])
}

// Client returns a client that speaks to this very server only: another
// program that got the port of a dead server sees neither key nor token.
func (s Server) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS13,
				// The certificate is known by its fingerprint, so no authority vouches for it.
				InsecureSkipVerify: true, //nolint:gosec // VerifyConnection compares the whole certificate
				VerifyConnection: func(state tls.ConnectionState) error {
					if len(state.PeerCertificates) == 0 || !s.made(state.PeerCertificates[0].Raw) {
						return errStranger
					}
					return nil
				},
			},
			TLSHandshakeTimeout: 5 * time.Second,
			IdleConnTimeout:     time.Minute,
		},
		// A redirect would carry the key elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s Server) made(certificate []byte) bool {
	return subtle.ConstantTimeCompare([]byte(Fingerprint(certificate)), []byte(s.Fingerprint)) == 1
}
