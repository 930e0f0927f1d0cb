// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Strong returns the SSH algorithms of machines: nothing with SHA-1, which the
// library offers for the sake of old clients.
func Strong() ssh.Config {
	all := ssh.SupportedAlgorithms()
	doubtful := func(name string) bool { return strings.Contains(name, "sha1") }
	return ssh.Config{
		KeyExchanges: slices.DeleteFunc(all.KeyExchanges, doubtful),
		Ciphers:      all.Ciphers,
		MACs:         slices.DeleteFunc(all.MACs, doubtful),
	}
}
