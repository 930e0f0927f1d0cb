// SPDX-License-Identifier: MPL-2.0

// Package uploads is what plans and applies say of local files that go to the
// machines: their digests, and what a user may not expect of them.
package uploads

import (
	"fmt"
	"maps"
	"os"

	"github.com/skybroker/terraform-provider-sky/internal/provider/kit"
	"github.com/skybroker/terraform-provider-sky/internal/provider/session"

	gopath "path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/skybroker/terraform-provider-sky/internal/broker"
)

// WhatTravels is said of every folder that is uploaded.
const WhatTravels = "Ignore files leave files out, as git reads them: `.gitignore`, those of the folders around up to the root of the repository, and `.git/info/exclude`. A folder in which they leave nothing stays here, too. " +
	"From the first folder with a `.skyignore` on downwards, files of that name alone count. `.git` stays here unless a `.skyignore` says `!.git`. " +
	"Terraform's state, `.terraform`, `*.tfvars`, saved plans and crash logs never travel."

// A plan looks at local files, and validation does not, so that refresh and
// destroy work where they are not. Terraform plans as usual before it destroys,
// and does not say so: what is there already must be planned without them.

// Uploaded is what state holds of local files.
type Uploaded struct {
	Digest types.String
	// Needed says that the plan uploads them whatever they hold, so that they must
	// be there.
	Needed bool
}

// missing reports files that cannot be read, and returns the digest to plan.
func (u Uploaded) missing(diags *diag.Diagnostics, at path.Path, err error) types.String {
	if u.Needed {
		kit.Invalid(diags, at, err.Error()+". A terraform destroy that stops here goes on with -refresh=false")
		return types.StringUnknown()
	}
	var warning diag.Diagnostics
	kit.Invalid(&warning, at, err.Error())
	diags.AddAttributeWarning(at, "Local files cannot be compared",
		warning[0].Detail()+" What was uploaded before stays as it is: whether it has changed since cannot be told.")
	return u.Digest
}

// PlanWorkdir is the digest of a workdir for a plan, null and unknown as the
// workdir is.
func PlanWorkdir(d *session.Session, workdir types.String, old Uploaded, diags *diag.Diagnostics, stays ...string) types.String {
	at := path.Root("workdir")
	switch {
	case workdir.IsNull():
		return types.StringNull()
	case workdir.IsUnknown():
		return types.StringUnknown()
	}
	name := workdir.ValueString()
	tree, err := openWorkdir(name, Leave(d, stays)...)
	if err != nil {
		return old.missing(diags, at, err)
	}
	now := digestOf(tree).after(old.Digest)
	if !now.Equal(old.Digest) {
		tellOf(d, at, name, tree.Notes(), diags)
	}
	return now
}

// PlanMounts is planWorkdir for file_mounts.
func PlanMounts(d *session.Session, mounts types.Map, old Uploaded, diags *diag.Diagnostics) types.String {
	at := path.Root("file_mounts")
	switch {
	case mounts.IsNull():
		return types.StringNull()
	case mounts.IsUnknown():
		return types.StringUnknown()
	}
	all, absent := map[string]digest{}, false
	members := kit.StringMap(mounts)
	for _, to := range slices.Sorted(maps.Keys(members)) {
		if v := mounts.Elements()[to]; v.IsUnknown() || v.IsNull() {
			continue
		}
		from := members[to]
		tree, err := openSource(from, Leave(d, nil)...)
		if err != nil {
			old.missing(diags, at.AtMapKey(to), err)
			absent = true
			continue
		}
		if err := checkMount(to, tree); err != nil {
			kit.Invalid(diags, at.AtMapKey(to), err.Error())
		}
		all[to] = digestOf(tree)
		notes := tree.Notes()
		notes.Configuration = false // who mounts a folder names what it is for
		defer func() { tellOf(d, at.AtMapKey(to), from, notes, diags) }()
	}
	switch {
	case absent:
		return old.Digest
	case len(all) < len(members):
		return types.StringUnknown()
	}
	return joined(all).after(old.Digest)
}

// Leave adds the state folder to local folders that stay here.
func Leave(d *session.Session, more []string) []string {
	if dir, err := d.StateFolder(); err == nil { // else nothing is uploaded
		more = append(slices.Clip(more), dir)
	}
	return more
}

// openWorkdir is openSource for what must be a folder.
func openWorkdir(name string, leave ...string) (*broker.Tree, error) {
	if err := kit.CheckFolder(kit.ExpandHome(name)); err != nil {
		return nil, fmt.Errorf("%w%s", err, kit.LaterHint)
	}
	return openSource(name, leave...)
}

// openSource reads a file or folder through, as an upload would.
func openSource(name string, leave ...string) (*broker.Tree, error) {
	if _, err := os.Stat(kit.ExpandHome(name)); err != nil {
		return nil, fmt.Errorf("%q cannot be uploaded: %w%s", name, kit.PlainPathError(err), kit.LaterHint)
	}
	tree, err := broker.OpenTree(kit.ExpandHome(name), leave...)
	if err != nil {
		return nil, fmt.Errorf("%q cannot be uploaded: %w", name, err)
	}
	return tree, nil
}

// absolute is a path that is the same from wherever it is written.
func absolute(name string) string {
	if abs, err := filepath.Abs(kit.ExpandHome(name)); err == nil {
		return abs
	}
	return name
}

// tellOf warns of what a user may not expect of a folder, once a process.
func tellOf(d *session.Session, at path.Path, name string, n broker.Notes, diags *diag.Diagnostics) {
	if (!n.Configuration && !n.Empty && n.SpecialCount == 0) || !d.Warned.First("folder "+absolute(name)) {
		return
	}
	if n.Configuration {
		diags.AddAttributeWarning(at, "Terraform's own folder is uploaded",
			fmt.Sprintf("%q holds the Terraform configuration. It is uploaded with the rest, so that every edit of it is a change of what runs on the machines. "+
				"State, .terraform, *.tfvars, saved plans and crash logs stay here. Better put what the machines need into a folder of its own, "+
				"such as \"${path.module}/src\", or leave files out with a .skyignore.", name))
	}
	if n.Empty {
		diags.AddAttributeWarning(at, "Nothing is uploaded",
			fmt.Sprintf("%q is not empty, and ignore files leave all of it out. A file .skyignore in it, even an empty one, counts in place of .gitignore.", name))
	}
	if n.SpecialCount > 0 {
		more := ""
		if rest := n.SpecialCount - len(n.Special); rest > 0 {
			more = fmt.Sprintf(", and %d more", rest)
		}
		diags.AddAttributeWarning(at, "Some of it cannot be uploaded",
			fmt.Sprintf("In %q, these are pipes, sockets or devices, which stay here: %s%s.", name, strings.Join(n.Special, ", "), more))
	}
}

// checkMount refuses a folder that would bring to its place what checkRemotePath
// refuses by name.
func checkMount(to string, tree *broker.Tree) error {
	if kit.InHome(gopath.Clean(to)) != ".ssh" {
		return nil
	}
	for _, name := range []string{"authorized_keys", "authorized_keys2"} {
		if tree.Has(name) {
			return fmt.Errorf("the folder holds %s, which would replace the keys that let the provider in; leave it out with a line in a .skyignore there", name)
		}
	}
	return nil
}
