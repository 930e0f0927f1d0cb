// SPDX-License-Identifier: MPL-2.0

// Package sshclient is the SSH client of FluffyCloud's images: the part of
// OpenSSH's command line that scripts use to reach the next machine. Host keys
// are checked against known_hosts files, always.
package sshclient

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// usageText is the command line that is understood.
const usageText = "ssh [-i file] [-p port] [-l user] [-nTqt] [-o Option=value] [user@]host [command ...]"

// options are a parsed command line.
type options struct {
	identities []string
	port       int
	user       string
	host       string
	command    string
	knownHosts []string
	timeout    time.Duration
	alive      time.Duration
	aliveMax   int
	noStdin    bool
	terminal   bool
}

// parse reads a command line. An option outside of the subset is an error.
func parse(args []string, home string) (options, error) {
	o := options{port: 22, timeout: 30 * time.Second, aliveMax: 3}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		used, err := o.flag(arg, args, home)
		if err != nil {
			return o, err
		}
		args = args[used:]
	}
	if len(args) == 0 {
		return o, errors.New("no host was given; usage: " + usageText)
	}
	target := strings.TrimPrefix(args[0], "ssh://")
	if user, host, ok := strings.Cut(target, "@"); ok {
		o.user, target = user, host
	}
	o.host, o.command = target, strings.Join(args[1:], " ")
	if o.host == "" {
		return o, fmt.Errorf("no host in %q", args[0])
	}
	if len(o.knownHosts) == 0 {
		o.knownHosts = []string{filepath.Join(home, ".ssh", "known_hosts")}
	}
	return o, nil
}

// flag takes one option and returns how many of the following words it used.
func (o *options) flag(arg string, rest []string, home string) (int, error) {
	letter, value := arg[1], arg[2:]
	if strings.IndexByte("ipol", letter) < 0 {
		for _, l := range arg[1:] {
			if err := o.toggle(l); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
	used := 0
	if value == "" {
		if len(rest) == 0 {
			return 0, fmt.Errorf("option -%c needs a value", letter)
		}
		value, used = rest[0], 1
	}
	switch letter {
	case 'i':
		o.identities = append(o.identities, expand(value, home))
	case 'l':
		o.user = value
	case 'p':
		return used, o.setPort(value)
	default:
		return used, o.set(value, home)
	}
	return used, nil
}

func (o *options) toggle(letter rune) error {
	switch letter {
	case 'n':
		o.noStdin = true
	case 't':
		o.terminal = true
	case 'T', 'q', 'x', 'a':
	default:
		return fmt.Errorf("option -%c is not supported by this client; usage: %s", letter, usageText)
	}
	return nil
}

func (o *options) setPort(value string) error {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", value)
	}
	o.port = int(n)
	return nil
}

// set takes one -o Key=Value.
func (o *options) set(option, home string) error {
	key, value, ok := strings.Cut(option, "=")
	if !ok {
		key, value, ok = strings.Cut(option, " ")
	}
	value = strings.TrimSpace(value)
	files := words(value)
	value = strings.Trim(value, `"`)
	if !ok {
		return fmt.Errorf("option %q is not Key=Value", option)
	}
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "stricthostkeychecking":
		if value != "yes" && value != "true" {
			return fmt.Errorf("StrictHostKeyChecking=%s is not supported: this client trusts known_hosts only; use StrictHostKeyChecking=yes", value)
		}
	case "userknownhostsfile":
		for _, f := range files {
			o.knownHosts = append(o.knownHosts, expand(f, home))
		}
	case "identityfile":
		o.identities = append(o.identities, expand(value, home))
	case "port":
		return o.setPort(value)
	case "user":
		o.user = value
	case "connecttimeout":
		return seconds(&o.timeout, key, value)
	case "serveraliveinterval":
		return seconds(&o.alive, key, value)
	case "serveralivecountmax":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("%s=%q is not a positive number", key, value)
		}
		o.aliveMax = n
	case "batchmode", "identitiesonly", "loglevel", "passwordauthentication", "tcpkeepalive", "globalknownhostsfile",
		"preferredauthentications", "pubkeyauthentication", "requesttty", "controlmaster", "controlpath", "controlpersist":
		// True of this client anyway, or of no consequence to it.
	default:
		return fmt.Errorf("option -o %s is not supported by this client", key)
	}
	return nil
}

// words splits at white space outside double quotes, as OpenSSH does.
func words(value string) []string {
	quoted := false
	split := strings.FieldsFunc(value, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && unicode.IsSpace(r)
	})
	for i, w := range split {
		split[i] = strings.ReplaceAll(w, `"`, "")
	}
	return split
}

func seconds(to *time.Duration, key, value string) error {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("%s=%q is not a number of seconds", key, value)
	}
	*to = time.Duration(n) * time.Second
	return nil
}

func expand(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return os.Expand(path, func(name string) string {
		if name == "HOME" {
			return home
		}
		return "$" + name
	})
}
