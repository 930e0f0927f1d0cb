// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"fmt"

	"golang.org/x/crypto/ssh"
)

// KnownHost is the line of a known_hosts file that pins a machine's key, which
// is in authorized_keys form. A machine at port 22, or 0, stands there without
// its port, an IPv6 address too: OpenSSH looks for no other name then.
func KnownHost(host string, port int, hostKey string) (string, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey)) //nolint:dogsled // five results, one wanted
	if err != nil {
		return "", fmt.Errorf("the host key of %s: %w", host, err)
	}
	if port != 0 && port != 22 {
		host = fmt.Sprintf("[%s]:%d", host, port)
	}
	return host + " " + AuthorizedKey(key) + "\n", nil
}
