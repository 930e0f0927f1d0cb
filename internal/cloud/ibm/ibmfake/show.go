// SPDX-License-Identifier: MPL-2.0

package ibmfake

import (
	"fmt"
	"slices"
	"time"
)

// What follows are the shapes of the API, with all that its documentation promises.

type object = map[string]any

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (c *Cloud) href(region, kind, id string) string {
	return fmt.Sprintf("%s/%s/v1/%s/%s", c.URL, region, kind, id)
}

func crn(region, kind, id string) string {
	return fmt.Sprintf("crn:v1:bluemix:public:is:%s:a/%s::%s:%s", region, Account, kind, id)
}

// reference is how a thing is named within another.
func (c *Cloud) reference(region, kind, plural, id, name string) object {
	return object{"id": id, "name": name, "crn": crn(region, kind, id), "href": c.href(region, plural, id), "resource_type": kind}
}

func (c *Cloud) zone(region, name string) object {
	return object{"name": name, "href": c.href(region, "regions/"+region+"/zones", name)}
}

func (c *Cloud) resourceGroup() object {
	return object{"id": Group, "name": "Default", "href": "https://resource-controller.cloud.ibm.com/v2/resource_groups/" + Group}
}

func (c *Cloud) vpcReference(region, id string) object {
	name := ""
	if n := c.vpcs.Get(id); n != nil {
		name = n.Name
	}
	return c.reference(region, "vpc", "vpcs", id, name)
}

func (c *Cloud) subnetReference(id string) object {
	if s := c.subnets.Get(id); s != nil {
		return c.reference(s.Region, "subnet", "subnets", s.ID, s.Name)
	}
	return nil
}

func (c *Cloud) showMachine(m *Machine) any {
	var subnet Subnet
	var nic Interface
	if n := c.nics.Get(m.NIC); n != nil {
		nic = *n
	}
	if s := c.subnets.Get(nic.Subnet); s != nil {
		subnet = *s
	}
	region, ip := m.Region, object{"address": nic.IP, "id": "ip-" + nic.ID, "name": "ip", "href": c.href(m.Region, "subnets", subnet.ID) + "/reserved_ips/ip-" + nic.ID, "resource_type": "subnet_reserved_ip"}
	attached := object{
		"id": "na-" + m.ID, "name": "sky-eth0", "href": c.href(region, "instances", m.ID) + "/network_attachments/na-" + m.ID, "resource_type": "instance_network_attachment",
		"primary_ip": ip, "subnet": c.subnetReference(subnet.ID), "virtual_network_interface": c.interfaceReference(&nic),
	}
	facing := object{
		"id": "ni-" + m.ID, "name": "sky-eth0", "href": c.href(region, "instances", m.ID) + "/network_interfaces/ni-" + m.ID, "resource_type": "network_interface",
		"primary_ip": ip, "subnet": c.subnetReference(subnet.ID),
	}
	boot := c.attachmentReference(m)
	reasons, startable := m.Reasons, m.Status == "stopped"
	if reasons == nil {
		reasons = []Reason{}
	}
	lifecycle := map[string]string{"pending": "pending", "deleting": "deleting", "failed": "failed"}[m.Status]
	if lifecycle == "" {
		lifecycle = "stable"
	}
	return object{
		"id": m.ID, "name": m.Name, "crn": crn(region, "instance", m.ID), "href": c.href(region, "instances", m.ID), "resource_type": "instance", "created_at": stamp(m.Created),
		"status": m.Status, "status_reasons": reasons, "lifecycle_state": lifecycle, "lifecycle_reasons": []any{}, "health_state": "ok", "health_reasons": []any{},
		"startable": startable, "zone": c.zone(region, m.Zone), "vpc": c.vpcReference(region, subnet.VPC), "resource_group": c.resourceGroup(),
		"profile": object{"name": m.Order.Profile.Name, "href": c.href(region, "instance/profiles", m.Order.Profile.Name), "resource_type": "instance_profile"},
		"image":   c.reference(region, "image", "images", m.Order.Image.ID, "image"), "boot_volume_attachment": boot, "volume_attachments": []any{boot},
		"primary_network_attachment": attached, "network_attachments": []any{attached}, "primary_network_interface": facing, "network_interfaces": []any{facing},
		"availability": object{"class": "standard"}, "availability_policy": object{"host_failure": "restart", "preemption": "stop"}, "bandwidth": 4000, "memory": 8,
		"vcpu": object{"architecture": "amd64", "count": 2, "manufacturer": "intel", "percentage": 100}, "disks": []any{}, "cluster_network_attachments": []any{},
		"metadata_service":   object{"enabled": m.Order.Metadata != nil && m.Order.Metadata.Enabled, "protocol": "http", "response_hop_limit": 1},
		"enable_secure_boot": false, "confidential_compute_mode": "disabled", "reservation_affinity": object{"policy": "disabled", "pool": []any{}}, "software_attachments": []any{},
		"threads_per_core": 2, "total_network_bandwidth": 3000, "total_volume_bandwidth": 1000, "volume_bandwidth_qos_mode": "weighted",
	}
}

// attachmentReference is the boot volume's attachment, as the machine shows it.
func (c *Cloud) attachmentReference(m *Machine) object {
	out := object{"id": m.Attachment, "name": m.AttachmentName, "href": c.href(m.Region, "instances", m.ID) + "/volume_attachments/" + m.Attachment, "device": object{"id": "dev-" + m.Attachment}}
	if v := c.volumes.Get(m.Boot); v != nil && c.isProvisioned(v.ID) {
		out["volume"] = c.reference(v.Region, "volume", "volumes", v.ID, v.Name)
	}
	return out
}

func (c *Cloud) showAttachment(m *Machine) object {
	out := c.attachmentReference(m)
	out["bandwidth"], out["created_at"], out["delete_volume_on_instance_delete"] = 250, stamp(m.Created), true
	out["status"], out["type"] = "attached", "boot"
	return out
}

func (c *Cloud) showVolume(v *Volume) any {
	attachments, state := []any{}, "unattached"
	if m := c.machines.Get(v.Machine); m != nil {
		state = "attached"
		a := c.attachmentReference(m)
		delete(a, "volume")
		a["delete_volume_on_instance_delete"], a["type"] = v.GoesWith, "boot"
		a["instance"] = c.reference(m.Region, "instance", "instances", m.ID, m.Name)
		attachments = append(attachments, a)
	}
	return object{
		"id": v.ID, "name": v.Name, "crn": crn(v.Region, "volume", v.ID), "href": c.href(v.Region, "volumes", v.ID), "resource_type": "volume", "created_at": stamp(v.Created),
		"status": "available", "status_reasons": []any{}, "health_state": "ok", "health_reasons": []any{}, "user_tags": v.Tags, "capacity": v.Capacity,
		"profile": object{"name": v.Profile, "href": c.href(v.Region, "volume/profiles", v.Profile)}, "zone": c.zone(v.Region, v.Zone), "resource_group": c.resourceGroup(),
		"active": true, "busy": false, "bandwidth": 250, "iops": 3000, "encryption": "provider_managed", "attachment_state": state, "volume_attachments": attachments,
		"adjustable_capacity_states": []any{"attached"}, "adjustable_iops_states": []any{}, "software_attachments": []any{}, "storage_generation": 1,
	}
}

func (c *Cloud) interfaceReference(n *Interface) any {
	return c.reference(n.Region, "virtual_network_interface", "virtual_network_interfaces", n.ID, n.Name)
}

func (c *Cloud) showInterface(n *Interface) any {
	out := object{"id": n.ID, "name": n.Name, "href": c.href(n.Region, "virtual_network_interfaces", n.ID), "resource_type": "virtual_network_interface", "auto_delete": n.GoesWith}
	if n.Machine != "" {
		out["target"] = object{"id": "na-" + n.Machine, "name": "sky-eth0", "href": c.href(n.Region, "instances", n.Machine), "resource_type": "instance_network_attachment"}
	}
	return out
}

func (c *Cloud) addressReference(a *Address) any {
	return object{"id": a.ID, "name": a.Name, "address": a.IP, "crn": crn(a.Region, "floating-ip", a.ID), "href": c.href(a.Region, "floating_ips", a.ID)}
}

func (c *Cloud) showAddress(a *Address) any {
	out := object{
		"id": a.ID, "name": a.Name, "address": a.IP, "crn": crn(a.Region, "floating-ip", a.ID), "href": c.href(a.Region, "floating_ips", a.ID), "status": "available",
		"created_at": stamp(a.Created), "zone": c.zone(a.Region, a.Zone), "resource_group": c.resourceGroup(),
	}
	if n := c.nics.Get(a.NIC); n != nil {
		out["target"] = c.interfaceReference(n)
	}
	return out
}

func (c *Cloud) showGroup(g *SecurityGroup) any {
	rules, targets := []any{}, []any{}
	for _, r := range g.Rules {
		rules = append(rules, c.showRule(g, r))
	}
	for _, n := range c.behind(g.ID) {
		targets = append(targets, c.interfaceReference(n))
	}
	return object{
		"id": g.ID, "name": g.Name, "crn": crn(g.Region, "security-group", g.ID), "href": c.href(g.Region, "security_groups", g.ID), "created_at": stamp(g.Created),
		"resource_group": c.resourceGroup(), "rules": rules, "targets": targets, "vpc": c.vpcReference(g.Region, g.VPC),
	}
}

func (c *Cloud) showRule(g *SecurityGroup, r Rule) any {
	remote := object{"cidr_block": r.Remote.CIDR}
	switch {
	case r.Remote.ID != "":
		remote = object{"id": r.Remote.ID, "name": "group", "crn": crn(g.Region, "security-group", r.Remote.ID), "href": c.href(g.Region, "security_groups", r.Remote.ID)}
	case r.Remote.Address != "":
		remote = object{"address": r.Remote.Address}
	}
	out := object{
		"id": r.ID, "name": r.Name, "href": c.href(g.Region, "security_groups", g.ID) + "/rules/" + r.ID, "resource_type": "security_group_rule", "direction": r.Direction,
		"protocol": r.Protocol, "ip_version": "ipv4", "remote": remote, "local": object{"cidr_block": "0.0.0.0/0"},
	}
	if r.First != nil && r.Last != nil {
		out["port_min"], out["port_max"] = *r.First, *r.Last
	}
	return out
}

func (c *Cloud) showNetwork(n *Network) any {
	sub := func(kind, plural string) object { return c.reference(n.Region, kind, plural, kind+"-"+n.ID, "default") }
	return object{
		"id": n.ID, "name": n.Name, "crn": crn(n.Region, "vpc", n.ID), "href": c.href(n.Region, "vpcs", n.ID), "resource_type": "vpc", "status": n.Status, "created_at": stamp(n.Created),
		"classic_access": false, "cse_source_ips": []any{}, "default_network_acl": sub("network-acl", "network_acls"), "default_routing_table": sub("routing_table", "vpcs"),
		"default_security_group": sub("security-group", "security_groups"), "health_state": "ok", "health_reasons": []any{}, "public_address_ranges": []any{},
		"dns":            object{"enable_hub": false, "resolution_binding_count": 0, "resolver": object{"servers": []any{}, "type": "system", "configuration": "default"}},
		"resource_group": c.resourceGroup(),
	}
}

func (c *Cloud) showSubnet(s *Subnet) any {
	used := len(slices.DeleteFunc(c.nics.All(), func(n *Interface) bool { return n.Subnet != s.ID }))
	return object{
		"id": s.ID, "name": s.Name, "crn": crn(s.Region, "subnet", s.ID), "href": c.href(s.Region, "subnets", s.ID), "resource_type": "subnet", "status": s.Status,
		"created_at": stamp(s.Created), "ip_version": "ipv4", "ipv4_cidr_block": "10.240.0.0/20", "total_ipv4_address_count": s.Size, "available_ipv4_address_count": s.Size - 5 - used,
		"network_acl": c.reference(s.Region, "network-acl", "network_acls", "acl-"+s.VPC, "default"), "routing_table": c.reference(s.Region, "routing_table", "vpcs", "rt-"+s.VPC, "default"),
		"vpc": c.vpcReference(s.Region, s.VPC), "zone": c.zone(s.Region, s.Zone), "resource_group": c.resourceGroup(),
	}
}

func (c *Cloud) showImage(region string, im Image) any {
	at := stamp(time.Date(im.Year, 5, 1, 0, 0, 0, 0, time.UTC))
	return object{
		"id": im.ID, "name": im.Name, "crn": crn(region, "image", im.ID), "href": c.href(region, "images", im.ID), "resource_type": "image", "status": im.Status, "status_reasons": []any{},
		"created_at": at, "visibility": im.Visibility, "encryption": "none", "file": object{"size": 1}, "minimum_provisioned_size": im.MinGiB, "resource_group": c.resourceGroup(),
		"operating_system": object{
			"name": "ubuntu-22-04-amd64", "architecture": im.Architecture, "display_name": "Ubuntu Linux", "family": "Ubuntu Linux", "vendor": "Canonical", "version": "22.04",
			"href": c.href(region, "operating_systems", "ubuntu-22-04-amd64"), "dedicated_host_only": false, "allow_user_image_creation": true, "user_data_format": "cloud_init",
		},
		"user_data_format": "cloud_init", "zones": []any{}, "catalog_offering": object{"managed": false}, "allowed_use": object{"api_version": "2024-06-23", "bare_metal_server": "true", "instance": "true"},
	}
}
