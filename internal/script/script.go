// SPDX-License-Identifier: MPL-2.0

// Package script says how a user's script is run on a node, whether it is setup, a job
// or a hook.
//
// A first line that begins with "#!" names its interpreter. Else it is bash; on
// a node that has none it is sh, and the script's output begins with a line that
// says so. The working folder is ~/sky_workdir, which is made where there is
// none, and PYTHONUNBUFFERED is 1. Signals have their default dispositions where
// the node has a program that can reset them: GNU env 8.31, perl or python3.
//
// The environment is that of an interactive login: bash reads /etc/profile,
// ~/.bash_profile or ~/.profile, and ~/.bashrc in any case before, in a process of its own
// that has no input, whose output is dropped, and which is ended after a minute.
// What it exports, and in bash without "#!" its functions, the script has; where
// it fails, the script runs without. A variable that the caller set stays as it
// is. ~/.local/bin is on the PATH in any case. Without bash it is sh with
// /etc/profile and ~/.profile.
package script

import (
	_ "embed"
	"maps"
	"strings"
)

// Start is start.sh: "sh start.sh FILE" becomes the script in FILE, which
// Normalize has seen, with the environment, umask and streams it is given. It
// writes beside FILE, to names that begin with FILE's.
//
//go:embed start.sh
var Start string // never changed

// prelude is what scripts on nodes share.
//
//go:embed prelude.sh
var prelude string

// OnNode is a script of ours as a node gets it: with what such scripts share. The
// parts are one script, in this order.
func OnNode(parts ...string) string { return prelude + strings.Join(parts, "") }

// Normalize returns the text as a node reads it: without byte order mark, with
// Unix line ends, and with a last one.
func Normalize(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.TrimRight(text, "\n") + "\n"
}

// Env returns the variables with what start.sh needs to know of them: that a
// PATH among them is the caller's and no login's.
func Env(vars map[string]string) map[string]string {
	out := maps.Clone(vars)
	if path, ok := vars["PATH"]; ok {
		out["SKY__KEEP_PATH"] = path
	}
	return out
}

// folder holds what Become writes, below the home folder.
const folder = ".sky/scripts"

// Become is POSIX shell by which the shell that runs it becomes the script. It
// leaves the text on the node under that name, for its owner's eyes.
func Become(name, text string) string {
	return `(umask 077; cd && mkdir -p ` + folder + ` && cd ` + folder + ` &&
	printf %s ` + Quote(Start) + ` >start.sh.$$ && mv -f start.sh.$$ start.sh &&
	printf %s ` + Quote(Normalize(text)) + ` >` + name + `.$$ && mv -f ` + name + `.$$ ` + name + `) || exit 1
exec sh "$HOME/` + folder + `/start.sh" "$HOME/` + folder + `/` + name + `"
`
}

// Quote returns s as one word for a POSIX shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
