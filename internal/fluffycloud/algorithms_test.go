// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"net"
	"strconv"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
)

// TestMachinesRefuseSHA1: neither key exchange nor integrity by SHA-1.
func TestMachinesRefuseSHA1(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	for name, test := range map[string]struct {
		offer ssh.Config
		ok    bool
	}{
		"strong":       {ssh.Config{}, true},
		"group14-sha1": {ssh.Config{KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1}}, false},
		// With a cipher that has no integrity of its own.
		"hmac-sha1":   {ssh.Config{MACs: []string{ssh.HMACSHA1}, Ciphers: []string{ssh.CipherAES256CTR}}, false},
		"hmac-sha256": {ssh.Config{MACs: []string{ssh.HMACSHA256}, Ciphers: []string{ssh.CipherAES256CTR}}, true},
	} {
		client, err := ssh.Dial("tcp", net.JoinHostPort(i.PublicIP, strconv.Itoa(i.SSHPort)), &ssh.ClientConfig{
			Config: test.offer, User: guest.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(c.login)},
			HostKeyCallback: ssh.FixedHostKey(c.hostKey(i.ID)), Timeout: patience,
		})
		if (err == nil) != test.ok {
			t.Errorf("%s: %v, want a connection: %t", name, err, test.ok)
		}
		if err == nil {
			_ = client.Close()
		}
	}
}
