// SPDX-License-Identifier: MPL-2.0

package skypilot

import (
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/script"
)

//go:embed clone.sh
var cloneScript string

// NodeScripts are the scripts that nodes run, by name.
func NodeScripts() map[string]string { return map[string]string{"clone.sh": cloneScript} }

// repository is a workdir that is a git repository.
type repository struct{ url, commit string }

var (
	commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	// repositoryURL is what git takes on the machines: a URL without a login in it,
	// or user@host:path.
	repositoryURL = regexp.MustCompile(`^((https?|git|file)://[^@\s]+|ssh://[^:@/\s]*@?[^@\s]+|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^\s]+)$`)
	// shellLine names a shell that can run clone.sh.
	shellLine = regexp.MustCompile(`^#![ \t]*(/usr(/local)?)?/bin/(env[ \t]+(-S[ \t]+)?)?(bash|dash|sh)([ \t][^\n]*)?(\n|$)`)
)

// repository reads a workdir that is an object.
func (a at) repository(fields map[string]any) *repository {
	var r repository
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch v := fields[name]; {
		case name == "url" || name == "ref":
			if v == nil {
				continue
			}
			if text := a.key(name).scalar(v); text != nil && name == "url" {
				r.url = *text
			} else if text != nil {
				r.commit = *text
			}
		default:
			a.unknown(name, []string{"url", "ref"}, nil, "")
		}
	}
	return &r
}

// clone makes the repository a part of setup: what a plan shows is what runs, so
// it is of one commit.
func (t *Task) clone(root at) {
	r := t.repository
	if r == nil {
		return
	}
	a := root.key("workdir")
	if !repositoryURL.MatchString(r.url) {
		a.key("url").refuse("write such as https://github.com/org/name or git@github.com:org/name; a token belongs in the secret GIT_TOKEN of the job that runs setup",
			"must be the address of a git repository, without a login in it")
	}
	if !commitID.MatchString(r.commit) {
		a.key("ref").refuse("write its 40 digits, which `git ls-remote` prints, or give them as commit in the second argument",
			"must be a commit, since a branch or tag can be another one when the machines are there")
	}
	setup := ""
	if t.Setup != nil {
		setup = *t.Setup
	}
	first := shellLine.FindString(setup) // stays the first line, for its options
	if first != "" && !strings.HasSuffix(first, "\n") {
		first, setup = first+"\n", setup+"\n"
	}
	if first == "" && strings.HasPrefix(strings.TrimPrefix(setup, "\ufeff"), "#!") {
		a.refuse("start the interpreter in setup, without #!", "a git repository is cloned by a shell at the beginning of setup, whose first line names another interpreter")
	}
	// Within ( ... ) || exit 1 the shell would pass over set -e.
	setup = first + "( url=" + script.Quote(r.url) + " commit=" + script.Quote(r.commit) + "\n" + cloneScript + ")\n[ $? = 0 ] || exit 1\n" + setup[len(first):]
	t.Setup = &setup
}
