// SPDX-License-Identifier: MPL-2.0

package ocifake

import (
	"crypto"
	"crypto/md5" //nolint:gosec // it is how Oracle names keys
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// signer is somebody whose signature is known.
type signer struct {
	who string
	key *rsa.PublicKey
}

// key is the user's API key, made once a process, since that takes long. It is short,
// since tests sign a lot.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // for tests
	if err != nil {
		panic(err) // there is no randomness
	}
	return k
})

// KeyPEM is the private half of the user's API key.
func KeyPEM() string {
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key())})
	return string(text)
}

// Fingerprint is how Oracle names the key.
func Fingerprint() string {
	der, err := x509.MarshalPKIXPublicKey(&key().PublicKey)
	if err != nil {
		panic(err) // an RSA key always can
	}
	sum := md5.Sum(der) //nolint:gosec // it is how Oracle names keys
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":")
}

// WriteConfig writes a configuration file with the profiles DEFAULT, which has the
// API key, and SESSION, which has a session token, into a folder.
func (c *Cloud) WriteConfig(t testing.TB, dir string) (path string) {
	t.Helper()
	const token = "token-of-the-session"
	c.Locked(func() { c.sessions[token] = signer{"ada, by a session", &key().PublicKey} })
	path = filepath.Join(dir, "config")
	text := fmt.Sprintf("[DEFAULT]\nuser=%s\nfingerprint=%s\ntenancy=%s\nregion=%s\nkey_file=%s\n\n[SESSION]\nfingerprint=%s\ntenancy=%s\nregion=%s\nkey_file=%s\nsecurity_token_file=%s\n",
		User, Fingerprint(), Tenancy, Home, filepath.Join(dir, "key.pem"), Fingerprint(), Tenancy, Home, filepath.Join(dir, "key.pem"), filepath.Join(dir, "token"))
	for name, text := range map[string]string{"config": text, "key.pem": KeyPEM(), "token": token} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// field reads one of the parts of an Authorization header.
var field = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(\w+)="([^"]*)"`) })

// admit verifies a call's signature, by the draft that Oracle follows: over which
// headers it goes is said in it, and some must be among them.
func (c *Cloud) admit(r *http.Request, body []byte) (string, bool) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Signature ")
	if !ok {
		return "", false
	}
	parts := map[string]string{}
	for _, m := range field().FindAllStringSubmatch(text, -1) {
		parts[m[1]] = m[2]
	}
	who, ok := c.signerOf(parts["keyId"])
	signature, err := base64.StdEncoding.DecodeString(parts["signature"])
	if !ok || err != nil || parts["algorithm"] != "rsa-sha256" || parts["version"] != "1" {
		return "", false
	}
	signed := strings.Fields(parts["headers"])
	needed := []string{"date", "(request-target)", "host"}
	if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		needed = append(needed, "content-length", "content-type", "x-content-sha256")
		if sum := sha256.Sum256(body); r.Header.Get("X-Content-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
			return "", false
		}
	}
	for _, name := range needed {
		if !slices.Contains(signed, name) && (name != "date" || !slices.Contains(signed, "x-date")) {
			return "", false
		}
	}
	sum := sha256.Sum256([]byte(signingString(r, signed)))
	if rsa.VerifyPKCS1v15(who.key, crypto.SHA256, sum[:], signature) != nil {
		return "", false
	}
	return who.who, fresh(r)
}

// fresh reports that the caller's clock is within five minutes of this one.
func fresh(r *http.Request) bool {
	text := r.Header.Get("Date")
	if text == "" {
		text = r.Header.Get("X-Date")
	}
	at, err := http.ParseTime(text)
	return err == nil && time.Since(at).Abs() < 5*time.Minute
}

func signingString(r *http.Request, headers []string) string {
	lines := make([]string, 0, len(headers))
	for _, name := range headers {
		value := r.Header.Get(name)
		switch name {
		case "(request-target)":
			value = strings.ToLower(r.Method) + " " + r.URL.RequestURI()
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(max(r.ContentLength, 0))
		}
		lines = append(lines, name+": "+value)
	}
	return strings.Join(lines, "\n")
}

func (c *Cloud) signerOf(keyID string) (signer, bool) {
	if token, ok := strings.CutPrefix(keyID, "ST$"); ok {
		s, known := c.sessions[token]
		return s, known
	}
	return signer{"ada", &key().PublicKey}, keyID == Tenancy+"/"+User+"/"+Fingerprint()
}
