// SPDX-License-Identifier: MPL-2.0

package sshclient

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	base := options{port: 22, timeout: 30 * time.Second, aliveMax: 3, knownHosts: []string{"/h/.ssh/known_hosts"}}
	with := func(change func(*options)) options {
		o := base
		change(&o)
		return o
	}
	for line, want := range map[string]options{
		"host":                       with(func(o *options) { o.host = "host" }),
		"user@host ls -l '|' x":      with(func(o *options) { o.user, o.host, o.command = "user", "host", "ls -l '|' x" }),
		"-p2222 -i ~/k -l me host":   with(func(o *options) { o.port, o.identities, o.user, o.host = 2222, []string{"/h/k"}, "me", "host" }),
		"-nT -o BatchMode=yes h -x":  with(func(o *options) { o.noStdin, o.host, o.command = true, "h", "-x" }),
		"-oConnectTimeout=5 -- h -p": with(func(o *options) { o.timeout, o.host, o.command = 5*time.Second, "h", "-p" }),
		"-o UserKnownHostsFile=$HOME/a -o StrictHostKeyChecking=yes -o ServerAliveInterval=7 h": with(func(o *options) {
			o.knownHosts, o.alive, o.host = []string{"/h/a"}, 7*time.Second, "h"
		}),
	} {
		if got, err := parse(strings.Fields(line), "/h"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", line, got, err, want)
		}
	}
}

func TestParseQuotedFiles(t *testing.T) {
	got, err := parse([]string{"-o", `UserKnownHostsFile="/a b/known" ~/c`, "h"}, "/h")
	want := []string{"/a b/known", "/h/c"}
	if err != nil || !reflect.DeepEqual(got.knownHosts, want) {
		t.Errorf("%q, %v, want %q", got.knownHosts, err, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"":                               "no host",
		"-p":                             "needs a value",
		"-p 0 h":                         "port",
		"-p 70000 h":                     "port",
		"-J jump h":                      "-J is not supported",
		"-vvv h":                         "-v is not supported",
		"-o StrictHostKeyChecking=no h":  "known_hosts only",
		"-o stricthostkeychecking=off h": "known_hosts only",
		"-o ProxyCommand=x h":            "ProxyCommand is not supported",
		"-o BatchMode h":                 "not Key=Value",
		"-o ConnectTimeout=soon h":       "seconds",
		"-o ServerAliveCountMax=0 h":     "positive",
		"user@":                          "no host",
	} {
		if _, err := parse(strings.Fields(line), "/h"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
