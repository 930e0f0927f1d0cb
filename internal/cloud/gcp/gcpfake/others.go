// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"google.golang.org/api/compute/v1"
)

func (c *Cloud) getProject(checked) (any, error) {
	return &compute.Project{Id: 4711, Name: Project, SelfLink: c.link("")}, nil
}

// getImage knows families, and in each one image.
func (c *Cloud) getImage(req checked) (any, error) {
	project, name := req.path["project"], req.path["image"]
	if family := req.path["family"]; family != "" {
		name = family + "-v20261101"
		if !slices.Contains(images()[project], family) {
			return nil, notFound(fmt.Sprintf("projects/%s/global/images/family/%s", project, family))
		}
	}
	if project == Project && name != "my-image" {
		return nil, notFound(fmt.Sprintf("projects/%s/global/images/%s", project, name))
	}
	return &compute.Image{
		Name: name, SelfLink: "https://www.googleapis.com/compute/v1/projects/" + project + "/global/images/" + name,
		DiskSizeGb: 10, Architecture: "X86_64", GuestOsFeatures: []*compute.GuestOsFeature{{Type: "UEFI_COMPATIBLE"}},
	}, nil
}

func (c *Cloud) getNetwork(req checked) (any, error) {
	switch name := req.path["network"]; name {
	case "default":
		return &compute.Network{Name: name, SelfLink: c.link("global/networks/default"), AutoCreateSubnetworks: true}, nil
	case "custom":
		return &compute.Network{
			Name: name, SelfLink: c.link("global/networks/custom"),
			Subnetworks: []string{c.link("regions/us-central1/subnetworks/here"), c.link("regions/europe-west4/subnetworks/one"), c.link("regions/europe-west4/subnetworks/two")},
		}, nil
	default:
		return nil, notFound(fmt.Sprintf("projects/%s/global/networks/%s", req.path["project"], name))
	}
}

func (c *Cloud) getSubnetwork(req checked) (any, error) {
	region, name := req.path["region"], req.path["subnetwork"]
	if name != "here" || region != "us-central1" {
		return nil, notFound(fmt.Sprintf("projects/%s/regions/%s/subnetworks/%s", Project, region, name))
	}
	return &compute.Subnetwork{Name: name, Network: c.link("global/networks/custom"), Region: c.link("regions/" + region)}, nil
}

func (c *Cloud) operation(name string) *operation {
	for _, op := range c.operations {
		if op.Name == name {
			return op
		}
	}
	return nil
}

func (c *Cloud) getOperation(req checked) (any, error) {
	op := c.operation(req.path["operation"])
	if op == nil || (op.Zone != "") != (req.path["zone"] != "") || (op.Zone != "" && last(op.Zone) != req.path["zone"]) {
		return nil, notFound("operations/" + req.path["operation"])
	}
	return op, nil
}

func (c *Cloud) listOperations(req checked) (any, error) {
	match, refusal := parseFilter(req.query.Get("filter"))
	if refusal != nil {
		return nil, refusal
	}
	var all []*compute.Operation
	for _, op := range c.operations {
		fields := map[string]string{"operationType": op.OperationType, "targetId": strconv.FormatUint(op.TargetId, 10), "name": op.Name}
		if op.Zone != "" && last(op.Zone) == req.path["zone"] && match(fields, nil) {
			all = append(all, op.Operation)
		}
	}
	items, next := page(req, all)
	return &compute.OperationList{Items: items, NextPageToken: next}, nil
}

func (c *Cloud) findDisk(req checked) (*compute.Disk, error) {
	zone, name := req.path["zone"], req.path["disk"]
	if name == "" {
		name = req.path["resource"]
	}
	for _, d := range c.disks {
		if d.Name == name && last(d.Zone) == zone {
			return d, nil
		}
	}
	return nil, notFound(fmt.Sprintf("projects/%s/zones/%s/disks/%s", Project, zone, name))
}

func (c *Cloud) getDisk(req checked) (any, error) {
	d, refusal := c.findDisk(req)
	if refusal != nil {
		return nil, refusal
	}
	return d, nil
}

func (c *Cloud) deleteDisk(req checked) (any, error) {
	d, refusal := c.findDisk(req)
	if refusal != nil {
		return nil, refusal
	}
	if len(d.Users) > 0 {
		return nil, refuse(http.StatusBadRequest, "resourceInUseByAnotherResource", "The disk resource '%s' is already being used by '%s'", d.Name, d.Users[0])
	}
	return c.newOperation("delete", d.Zone, d.SelfLink, d.Id, func() *compute.OperationError {
		c.disks = slices.DeleteFunc(c.disks, func(have *compute.Disk) bool { return have == d })
		return nil
	}), nil
}

func (c *Cloud) setDiskLabels(req checked) (any, error) {
	d, refusal := c.findDisk(req)
	var want compute.ZoneSetLabelsRequest
	if refusal == nil {
		refusal = decode(req, &want)
	}
	if refusal == nil {
		refusal = checkLabels(want.Labels)
	}
	if refusal != nil {
		return nil, refusal
	}
	if want.LabelFingerprint != d.LabelFingerprint {
		return nil, refuse(http.StatusPreconditionFailed, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed")
	}
	d.Labels, d.LabelFingerprint = want.Labels, c.fingerprint()
	return c.newOperation("setLabels", d.Zone, d.SelfLink, d.Id, nil), nil
}

func (c *Cloud) listedDisks(req checked) ([]*compute.Disk, error) {
	match, refusal := parseFilter(req.query.Get("filter"))
	if refusal != nil {
		return nil, refusal
	}
	var all []*compute.Disk
	for _, d := range c.disks {
		if match(map[string]string{"name": d.Name}, d.Labels) {
			all = append(all, d)
		}
	}
	return all, nil
}

func (c *Cloud) listDisks(req checked) (any, error) {
	all, refusal := c.listedDisks(req)
	if refusal != nil {
		return nil, refusal
	}
	all = slices.DeleteFunc(all, func(d *compute.Disk) bool { return last(d.Zone) != req.path["zone"] })
	items, next := page(req, all)
	return &compute.DiskList{Items: items, NextPageToken: next}, nil
}

func (c *Cloud) aggregatedDisks(req checked) (any, error) {
	all, refusal := c.listedDisks(req)
	if refusal != nil {
		return nil, refusal
	}
	items, next := page(req, all)
	out := &compute.DiskAggregatedList{Items: map[string]compute.DisksScopedList{}, NextPageToken: next}
	for _, z := range zones() {
		list := compute.DisksScopedList{}
		for _, d := range items {
			if last(d.Zone) == z {
				list.Disks = append(list.Disks, d)
			}
		}
		out.Items["zones/"+z] = list
	}
	return out, nil
}

func (c *Cloud) findFirewall(name string) (*compute.Firewall, error) {
	for _, f := range c.firewalls {
		if f.Name == name {
			return f, nil
		}
	}
	return nil, notFound(fmt.Sprintf("projects/%s/global/firewalls/%s", Project, name))
}

func (c *Cloud) insertFirewall(req checked) (any, error) {
	var f compute.Firewall
	if refusal := decode(req, &f); refusal != nil {
		return nil, refusal
	}
	if refusal := checkFirewall(&f); refusal != nil {
		return nil, refusal
	}
	if have, _ := c.findFirewall(f.Name); have != nil {
		return nil, refuse(http.StatusConflict, "alreadyExists", "The resource 'projects/%s/global/firewalls/%s' already exists", Project, f.Name)
	}
	f.Id, f.SelfLink, f.Network = c.nextID(), c.link("global/firewalls/"+f.Name), "https://www.googleapis.com/compute/v1/"+f.Network
	c.firewalls = append(c.firewalls, &f)
	return c.newOperation("insert", "", f.SelfLink, f.Id, nil), nil
}

func (c *Cloud) getFirewall(req checked) (any, error) {
	f, refusal := c.findFirewall(req.path["firewall"])
	if refusal != nil {
		return nil, refusal
	}
	return f, nil
}

func (c *Cloud) listFirewalls(req checked) (any, error) {
	match, refusal := parseFilter(req.query.Get("filter"))
	if refusal != nil {
		return nil, refusal
	}
	var all []*compute.Firewall
	for _, f := range c.firewalls {
		if match(map[string]string{"name": f.Name}, nil) {
			all = append(all, f)
		}
	}
	items, next := page(req, all)
	return &compute.FirewallList{Items: items, NextPageToken: next}, nil
}

// patchFirewall changes the fields that the body has.
func (c *Cloud) patchFirewall(req checked) (any, error) {
	f, refusal := c.findFirewall(req.path["firewall"])
	if refusal != nil {
		return nil, refusal
	}
	var patch compute.Firewall
	if refusal := decode(req, &patch); refusal != nil {
		return nil, refusal
	}
	if patch.Network != "" && patch.Network != f.Network {
		return nil, invalid("'resource.network': the network of a rule cannot change")
	}
	changed := *f
	if patch.Allowed != nil {
		changed.Allowed = patch.Allowed
	}
	if patch.SourceRanges != nil {
		changed.SourceRanges = patch.SourceRanges
	}
	if refusal := checkFirewall(&changed); refusal != nil {
		return nil, refusal
	}
	*f = changed
	return c.newOperation("patch", "", f.SelfLink, f.Id, nil), nil
}

func (c *Cloud) deleteFirewall(req checked) (any, error) {
	f, refusal := c.findFirewall(req.path["firewall"])
	if refusal != nil {
		return nil, refusal
	}
	c.firewalls = slices.DeleteFunc(c.firewalls, func(have *compute.Firewall) bool { return have == f })
	return c.newOperation("delete", "", f.SelfLink, f.Id, nil), nil
}
