// SPDX-License-Identifier: MPL-2.0

package statedir

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/skybroker/terraform-provider-sky/internal/durable"
)

// sshAlias is how a plain ssh client calls what belongs to a cluster: "worker1" or
// "bastion" of cluster r1 is r1-worker1 or r1-bastion, and, where that is the name
// of another cluster of this computer, r1+worker1 or r1+bastion, which no cluster
// can have.
func (f Folder) sshAlias(what string) string {
	alias := f.Name + "-" + what
	if _, err := os.Stat(f.dir.Cluster(f.owner, alias).SSHConfigPath()); err == nil {
		return f.Name + "+" + what
	}
	return alias
}

var partName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.+)-(worker[0-9]+|bastion)$`) })

// yieldAlias takes a cluster's name from what belongs to another cluster and was
// called like that.
func (f Folder) yieldAlias() error {
	parts := partName().FindStringSubmatch(f.Name)
	if parts == nil {
		return nil
	}
	path := f.dir.Cluster(f.owner, parts[1]).SSHConfigPath()
	text, err := os.ReadFile(path)
	if err != nil {
		if durable.IsMissing(err) {
			return nil
		}
		return err
	}
	other := parts[1] + "+" + parts[2]
	fresh := strings.NewReplacer("\nHost "+f.Name+"\n", "\nHost "+other+"\n", "  ProxyJump "+f.Name+"\n", "  ProxyJump "+other+"\n").Replace(string(text))
	if fresh == string(text) {
		return nil
	}
	return durable.ReplaceShared(path, []byte(fresh)) // the other cluster may be at work
}

// SSHConfigWord writes a path as one argument of an OpenSSH option that takes
// files: it expands what follows a percent sign, splits at blanks, and begins a
// comment at a number sign.
func SSHConfigWord(path string) string {
	path = strings.ReplaceAll(filepath.ToSlash(path), "%", "%%")
	if strings.ContainsAny(path, `"\`) {
		path = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path)
	} else if !strings.ContainsAny(path, " \t#'") {
		return path
	}
	return `"` + path + `"`
}
