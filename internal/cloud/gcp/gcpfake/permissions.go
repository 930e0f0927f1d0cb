// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"net/http"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"
)

// permissions are what IAM asks for a call, by the methods' documentation. What
// an insert needs besides depends on its body; see forInsert.
func permissions() map[string][]string {
	return map[string][]string{
		"compute.projects.get":             {"compute.projects.get"},
		"compute.instances.insert":         {"compute.instances.create"},
		"compute.instances.get":            {"compute.instances.get"},
		"compute.instances.list":           {"compute.instances.list"},
		"compute.instances.aggregatedList": {"compute.instances.list"},
		"compute.instances.delete":         {"compute.instances.delete"},
		"compute.instances.stop":           {"compute.instances.stop"},
		"compute.instances.start":          {"compute.instances.start"},
		"compute.instances.resume":         {"compute.instances.resume"},
		"compute.instances.setMetadata":    {"compute.instances.setMetadata"},
		"compute.instances.setLabels":      {"compute.instances.setLabels"},
		"compute.instances.setScheduling":  {"compute.instances.setScheduling"},
		"compute.disks.get":                {"compute.disks.get"},
		"compute.disks.list":               {"compute.disks.list"},
		"compute.disks.aggregatedList":     {"compute.disks.list"},
		"compute.disks.delete":             {"compute.disks.delete"},
		"compute.disks.setLabels":          {"compute.disks.setLabels"},
		"compute.firewalls.insert":         {"compute.firewalls.create", "compute.networks.updatePolicy"},
		"compute.firewalls.get":            {"compute.firewalls.get"},
		"compute.firewalls.list":           {"compute.firewalls.list"},
		"compute.firewalls.patch":          {"compute.firewalls.update", "compute.networks.updatePolicy"},
		"compute.firewalls.delete":         {"compute.firewalls.delete", "compute.networks.updatePolicy"},
		"compute.images.get":               {"compute.images.get"},
		"compute.images.getFromFamily":     {"compute.images.getFromFamily"},
		"compute.networks.get":             {"compute.networks.get"},
		"compute.subnetworks.get":          {"compute.subnetworks.get"},
		"compute.zoneOperations.get":       {"compute.zoneOperations.get"},
		"compute.zoneOperations.wait":      {"compute.zoneOperations.get"},
		"compute.zoneOperations.list":      {"compute.zoneOperations.list"},
		"compute.globalOperations.get":     {"compute.globalOperations.get"},
		"compute.globalOperations.wait":    {"compute.globalOperations.get"},
	}
}

// forInsert is what the parts of a machine need beyond compute.instances.create.
func forInsert(in *compute.Instance) []string {
	var out []string
	need := func(when bool, permission string) {
		if when && !slices.Contains(out, permission) {
			out = append(out, permission)
		}
	}
	for _, d := range in.Disks {
		need(d.InitializeParams != nil, "compute.disks.create")
		if p := d.InitializeParams; p != nil {
			// An image that is for everybody needs none, one of the project's own does.
			need(strings.HasPrefix(p.SourceImage, "projects/"+Project+"/"), "compute.images.useReadOnly")
			need(len(p.Labels) > 0, "compute.disks.setLabels")
		}
	}
	for _, nic := range in.NetworkInterfaces {
		need(true, "compute.subnetworks.use")
		need(len(nic.AccessConfigs) > 0, "compute.subnetworks.useExternalIp")
	}
	need(in.Metadata != nil && len(in.Metadata.Items) > 0, "compute.instances.setMetadata")
	need(in.Tags != nil && len(in.Tags.Items) > 0, "compute.instances.setTags")
	need(len(in.Labels) > 0, "compute.instances.setLabels")
	need(len(in.ServiceAccounts) > 0, "compute.instances.setServiceAccount")
	need(len(in.ServiceAccounts) > 0, "iam.serviceAccounts.actAs")
	return out
}

// authorize notes what a call needs, and refuses it where who asks may not.
func (c *Cloud) authorize(bearer string, req checked) error {
	needed := permissions()[req.method.ID]
	if req.method.ID == "compute.instances.insert" {
		var in compute.Instance
		if refusal := decode(req, &in); refusal != nil {
			return refusal
		}
		needed = append(needed, forInsert(&in)...)
	}
	granted := c.opts.Permissions
	if bearer == MachineToken {
		granted = []string{"compute.instances.delete"}
	}
	for _, p := range needed {
		if granted != nil && !slices.Contains(granted, p) {
			c.refused[p] = true
			return refuse(http.StatusForbidden, "forbidden", "Required '%s' permission for '%s'", p, strings.TrimPrefix(req.method.ID, "compute."))
		}
		c.used[p] = true
	}
	return nil
}

// Used are the permissions that calls needed and had, sorted; Refused those
// that they needed and did not have.
func (c *Cloud) Used() []string { return c.sorted(func() map[string]bool { return c.used }) }

// Refused are the permissions that calls needed and did not have, sorted.
func (c *Cloud) Refused() []string { return c.sorted(func() map[string]bool { return c.refused }) }

func (c *Cloud) sorted(of func() map[string]bool) []string {
	c.Lock()
	defer c.Unlock()
	var out []string
	for p := range of() {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}
