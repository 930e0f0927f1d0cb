// SPDX-License-Identifier: MPL-2.0

package remote

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// strong returns the algorithms to offer: those of the library that nobody has
// doubts about, so nothing with SHA-1, which it offers for old servers' sake.
func strong() ssh.Config {
	all := ssh.SupportedAlgorithms()
	doubtful := func(name string) bool { return strings.Contains(name, "sha1") }
	return ssh.Config{
		KeyExchanges: slices.DeleteFunc(all.KeyExchanges, doubtful),
		Ciphers:      all.Ciphers,
		MACs:         slices.DeleteFunc(all.MACs, doubtful),
	}
}
