// SPDX-License-Identifier: MPL-2.0

package kit

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
)

// Bounds of what users may write.
const (
	maxClusterName = 63
	MaxNodes       = 1024
	MaxDiskGiB     = 64 * 1024
	maxScript      = 1 << 20 // bytes
	maxLabel       = 63
	maxTimeout     = 30 * 24 * time.Hour
)

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z]([-_.A-Za-z0-9]*[A-Za-z0-9])?$`)
	envPattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	labelPattern = regexp.MustCompile(`^[A-Za-z0-9]([-_./A-Za-z0-9]*[A-Za-z0-9])?$`)
)

// CheckName takes names of clusters and jobs.
func CheckName(name string) error {
	const right = "start with a letter, go on with letters, digits, dashes, underscores and dots, and end with a letter or digit, such as \"train-1\""
	switch {
	case name == "":
		return errors.New("the name is empty; " + right)
	case len(name) > maxClusterName:
		return fmt.Errorf("the name has %d characters; write at most %d", len(name), maxClusterName)
	case !namePattern.MatchString(name):
		return fmt.Errorf("the name %q cannot be used; %s", name, right)
	}
	return nil
}

// CheckCloudName takes the clouds of this build.
func CheckCloudName(registry *cloud.Registry, name string) error {
	if _, ok := registry.Get(name); !ok {
		return fmt.Errorf("there is no cloud %q in this provider; write one of %s", name, strings.Join(registry.Names(), ", "))
	}
	return nil
}

// CheckEnvName takes names of environment variables that are not the provider's own.
func CheckEnvName(name string) error {
	if !envPattern.MatchString(name) {
		return fmt.Errorf("%q cannot name an environment variable; write letters, digits and underscores, not starting with a digit, such as \"MODEL_SIZE\"", name)
	}
	if strings.HasPrefix(name, "SKYPILOT_") {
		return fmt.Errorf("%q is set by the provider; choose a name that does not start with SKYPILOT_", name)
	}
	return nil
}

// CheckText takes what a shell can carry.
func CheckText(text string) error {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("the text holds a NUL byte at position %d, which no shell can carry; remove it", i)
	}
	return nil
}

// CheckScript takes scripts.
func CheckScript(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("the script is empty; leave the attribute out, or write shell commands")
	case len(text) > maxScript:
		return fmt.Errorf("the script has %d bytes, more than %d; put it into a file of workdir and call that", len(text), maxScript)
	}
	return CheckText(text)
}

// CheckBlank takes texts with something in them.
func CheckBlank(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("the value is empty; leave the attribute out for its default")
	}
	return CheckText(text)
}

// NotBlank validates that a text has something in it.
func NotBlank() validator.String { return Checked(CheckBlank) }

// CheckCIDR takes CIDR prefixes.
func CheckCIDR(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		if addr, err := netip.ParseAddr(text); err == nil {
			return fmt.Errorf("%q is an address without a length; write %q for it alone", text, netip.PrefixFrom(addr, addr.BitLen()))
		}
		return fmt.Errorf("%q is no CIDR prefix; write one such as \"203.0.113.7/32\"", text)
	}
	if prefix.Addr().Is4In6() {
		return fmt.Errorf("%q is an IPv4 prefix in IPv6 clothes; write it as IPv4, such as \"203.0.113.7/32\"", text)
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("%q has bits set beyond its length; write %q for the network, or \"%s/%d\" for the address alone",
			text, prefix.Masked(), prefix.Addr(), prefix.Addr().BitLen())
	}
	return nil
}

// OpenToWorld names the versions of IP of which the prefixes together let in
// more than a fourth of all addresses.
func OpenToWorld(texts []string) []string {
	share := map[string]float64{}
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil {
			version := "IPv6"
			if p.Addr().Is4() {
				version = "IPv4"
			}
			share[version] += math.Ldexp(1, -p.Bits())
		}
	}
	var open []string
	for _, version := range slices.Sorted(maps.Keys(share)) {
		if share[version] > 0.25 {
			open = append(open, version)
		}
	}
	return open
}

// CheckPlaceName takes the name of a cloud, a region or a zone alone.
func CheckPlaceName(text string) error {
	if strings.ContainsRune(text, '/') {
		return fmt.Errorf("%q holds a slash; write the name alone, or the whole place in infra, such as \"aws/us-east-1\"", text)
	}
	return CheckBlank(text)
}

// CheckOneOf takes the allowed texts.
func CheckOneOf(allowed ...string) StringCheck {
	return func(text string) error {
		for _, a := range allowed {
			if text == a {
				return nil
			}
		}
		return fmt.Errorf("%q is not known; write %s", text, strings.Join(allowed, " or "))
	}
}

// CheckDuration takes durations above zero, such as bounds.
func CheckDuration(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no duration; write one such as \"30m\" or \"2h45m\"", text)
	case d <= 0:
		return fmt.Errorf("%q is not above zero; write a duration such as \"30m\"", text)
	case d > maxTimeout:
		return fmt.Errorf("%q is longer than %s; write a shorter one", text, maxTimeout)
	}
	return nil
}

// CheckJobDuration is checkDuration in whole seconds, which is how jobs count.
func CheckJobDuration(text string) error {
	if err := CheckDuration(text); err != nil {
		return err
	}
	if d, err := time.ParseDuration(text); err != nil || d%time.Second != 0 {
		return fmt.Errorf("%q is not in whole seconds; write a duration such as \"90s\"", text)
	}
	return nil
}

// CheckClusterID takes what sky_cluster has as its id.
func CheckClusterID(id string) error {
	parts := strings.SplitN(id, "/", 3)
	for _, p := range parts {
		if strings.TrimSpace(p) == "" {
			parts = nil
		}
	}
	if len(parts) != 3 {
		return fmt.Errorf("%q is no cluster id; write sky_cluster.<name>.id, which reads \"cloud/region/name\"", id)
	}
	return nil
}

// Truthy reads a switch among the environment variables.
func Truthy(text string) bool {
	on, err := strconv.ParseBool(text)
	return err == nil && on
}
