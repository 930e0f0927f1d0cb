// SPDX-License-Identifier: MPL-2.0

package provider

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
)

func checkOwner(owner string) error {
	if !statedir.ValidOwner(owner) {
		return fmt.Errorf("%q cannot be an owner; write 3 to 40 lower-case letters, digits and dashes, such as \"team-vision\"", owner)
	}
	return nil
}

// checkContentHash takes what catalog.version may hold.
func checkContentHash(text string) error {
	if len(text) < 8 || len(text) > 64 || strings.Trim(strings.ToLower(text), "0123456789abcdef") != "" {
		return fmt.Errorf("%q is no content hash; write 8 to 64 hexadecimal digits, as \"terraform-provider-sky catalog list\" shows them", text)
	}
	return nil
}

func checkWebAddress(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return fmt.Errorf("%q is no web address; write one such as \"https://example.com/catalogs\"", text)
	}
	return nil
}
