// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// newCertificate makes the certificate by which clients know this run of the
// server. Its private key is nowhere but in this process, so nobody can pass for
// a server that died.
func newCertificate() (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "FluffyCloud"},
		// Clients look at the fingerprint and not at the time.
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// newAPIKey makes the account's key for this run of the server: a secret, and
// the fingerprint of the only server that it is for.
func newAPIKey(fingerprint string) string { return "fluffy-" + randomHex(24) + "-" + fingerprint }

func keyFile(dir string) string { return filepath.Join(dir, "api_key") }

func writeAPIKey(dir, key string) error {
	return guest.WriteFile(keyFile(dir), []byte(key+"\n"), 0o600)
}

// readAPIKey reads the key a server made.
func readAPIKey(dir string) (string, error) {
	data, err := os.ReadFile(keyFile(dir))
	if err != nil {
		return "", fmt.Errorf("read API key: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
