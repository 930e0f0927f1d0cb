// SPDX-License-Identifier: MPL-2.0

package ibmfake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Names of calls, for faults and counts.
const (
	CallCreate  = "POST /{region}/v1/instances"
	CallList    = "GET /{region}/v1/instances"
	CallGet     = "GET /{region}/v1/instances/{id}"
	CallDelete  = "DELETE /{region}/v1/instances/{id}"
	CallAct     = "POST /{region}/v1/instances/{id}/actions"
	CallMark    = "PATCH /{region}/v1/instances/{id}/volume_attachments/{attachment}"
	CallAddress = "POST /{region}/v1/floating_ips"
	CallVolumes = "GET /{region}/v1/volumes"
)

// Order is the body of a launch.
type Order struct {
	Name     string  `json:"name"`
	Profile  *byName `json:"profile"`
	Zone     *byName `json:"zone"`
	VPC      *byID   `json:"vpc"`
	Image    *byID   `json:"image"`
	UserData string  `json:"user_data"`
	Group    *byID   `json:"resource_group"`
	Keys     []byID  `json:"keys"`
	Boot     *struct {
		Name     string `json:"name"`
		GoesWith *bool  `json:"delete_volume_on_instance_delete"`
		Volume   struct {
			Name     string   `json:"name"`
			Capacity int      `json:"capacity"`
			Profile  *byName  `json:"profile"`
			Tags     []string `json:"user_tags"`
		} `json:"volume"`
	} `json:"boot_volume_attachment"`
	Net *struct {
		Name string `json:"name"`
		NIC  struct {
			Name     string `json:"name"`
			GoesWith *bool  `json:"auto_delete"`
			Subnet   *byID  `json:"subnet"`
			Groups   []byID `json:"security_groups"`
		} `json:"virtual_network_interface"`
	} `json:"primary_network_attachment"`
	Metadata *struct {
		Enabled  bool   `json:"enabled"`
		Protocol string `json:"protocol"`
	} `json:"metadata_service"`
	Profiled *struct {
		Target *byID `json:"target"`
		Link   bool  `json:"auto_link"`
	} `json:"default_trusted_profile"`
}

type (
	byID struct {
		ID string `json:"id"`
	}
	byName struct {
		Name string `json:"name"`
	}
)

func (c *Cloud) serveMachines() {
	c.handle("POST /instances", c.launch)
	c.handle("GET /instances", func(call *fakekit.Call, region string) (any, error) {
		all := in(c.machines.Listed(), func(m *Machine) bool {
			return m.Region == region && (call.Query.Get("name") == "" || m.Name == call.Query.Get("name"))
		})
		return page(c, call, "instances", all, c.showMachine), nil
	})
	one := func(h func(call *fakekit.Call, m *Machine) (any, error)) func(*fakekit.Call, string) (any, error) {
		return func(call *fakekit.Call, region string) (any, error) {
			m := c.machines.Get(call.Value("id"))
			if m == nil || m.Region != region {
				return nil, missing("Instance", call.Value("id"))
			}
			return h(call, m)
		}
	}
	c.handle("GET /instances/{id}", one(func(_ *fakekit.Call, m *Machine) (any, error) { return c.showMachine(m), nil }))
	c.handle("DELETE /instances/{id}", one(func(_ *fakekit.Call, m *Machine) (any, error) {
		if m.Status == "deleting" {
			return nil, notNow(m)
		}
		m.Status, m.due = "deleting", c.Now().Add(c.opts.EndTime)
		return nil, nil
	}))
	c.handle("PATCH /instances/{id}", one(c.rename))
	c.handle("POST /instances/{id}/actions", one(c.act))
	c.handle("PATCH /instances/{id}/volume_attachments/{attachment}", one(c.mark))
}

func notNow(m *Machine) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusConflict, "instance_state_conflict",
		"An action was requested on a resource which is not supported at the current status of the resource (%s).", m.Status)
}

func (c *Cloud) launch(call *fakekit.Call, region string) (any, error) {
	var o Order
	if err := call.Decode(&o); err != nil {
		return nil, err
	}
	if err := c.checkOrder(o, region); err != nil {
		return nil, err
	}
	return created(c.showMachine(c.add(o, region))), nil
}

// checkOrder refuses what the API does not take.
func (c *Cloud) checkOrder(o Order, region string) error {
	switch {
	case o.Profile == nil || o.Zone == nil || o.Image == nil || o.Net == nil || o.Boot == nil || o.Net.NIC.Subnet == nil:
		return invalid("profile, zone, image, boot_volume_attachment or the subnet is missing")
	case !slices.Contains(Profiles(), o.Profile.Name):
		return missing("Instance profile", o.Profile.Name)
	case !slices.Contains(zonesOf(region), o.Zone.Name):
		return missing("Zone", o.Zone.Name)
	case o.Boot.Volume.Capacity != 0 && (o.Boot.Volume.Capacity < 100 || o.Boot.Volume.Capacity > 250):
		return invalid("capacity: %d is not between 100 and 250", o.Boot.Volume.Capacity)
	case len(o.UserData) > 64<<10:
		return invalid("user_data: too long")
	}
	for _, name := range []string{o.Name, o.Boot.Name, o.Boot.Volume.Name, o.Net.Name, o.Net.NIC.Name} {
		if name != "" && checkName(name) != nil {
			return checkName(name)
		}
	}
	if err := checkTags(o.Boot.Volume.Tags); err != nil {
		return err
	}
	i := slices.IndexFunc(images(), func(im Image) bool { return im.ID == o.Image.ID })
	switch {
	case i < 0:
		return missing("Image", o.Image.ID)
	case images()[i].Status == "obsolete":
		return invalid("image %s is obsolete", o.Image.ID)
	case slices.ContainsFunc(c.machines.All(), func(m *Machine) bool { return m.Region == region && m.Name == o.Name }):
		return taken("instance", o.Name)
	case slices.ContainsFunc(c.volumes.All(), func(v *Volume) bool { return v.Region == region && v.Name == o.Boot.Volume.Name }):
		return taken("volume", o.Boot.Volume.Name)
	}
	return c.checkNet(o, region)
}

func (c *Cloud) checkNet(o Order, region string) error {
	s := c.subnets.Get(o.Net.NIC.Subnet.ID)
	switch {
	case s == nil || s.Region != region:
		return missing("Subnet", o.Net.NIC.Subnet.ID)
	case s.Zone != o.Zone.Name:
		return invalid("the subnet is in %s, not in %s", s.Zone, o.Zone.Name)
	case o.VPC != nil && o.VPC.ID != s.VPC:
		return invalid("the subnet is of another VPC")
	case len(o.Net.NIC.Groups) > 5:
		return invalid("security_groups: more than 5")
	}
	for _, g := range o.Net.NIC.Groups {
		if have := c.groups.Get(g.ID); have == nil || have.VPC != s.VPC {
			return missing("Security group", g.ID)
		}
	}
	return nil
}

// checkTags refuses what a tag cannot be.
func checkTags(tags []string) error {
	for _, t := range tags {
		if !tagForm.MatchString(t) {
			return invalid("user_tags: %q does not match the pattern", t)
		}
	}
	return nil
}

// lower are tags as IBM keeps them: it knows no case.
func lower(tags []string) []string {
	out := []string{}
	for _, t := range tags {
		out = append(out, strings.ToLower(t))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// add makes a machine with its disk and its interface, under the lock.
func (c *Cloud) add(o Order, region string) *Machine {
	m := &Machine{
		ID: c.id("0717_m"), Name: o.Name, Region: region, Zone: o.Zone.Name, Status: "pending", Order: o, Attachment: c.id("0717-a"), AttachmentName: o.Boot.Name,
		Created: c.Now().UTC(), due: c.Now().Add(c.opts.BootTime), Number: c.serial,
	}
	m.late = c.isFull(o.Profile.Name, o.Zone.Name)
	v := &Volume{
		ID: c.id("r006-v"), Name: o.Boot.Volume.Name, Region: region, Zone: m.Zone, Tags: lower(o.Boot.Volume.Tags), Capacity: max(o.Boot.Volume.Capacity, 100),
		Profile: "general-purpose", Machine: m.ID, GoesWith: o.Boot.GoesWith == nil || *o.Boot.GoesWith, Created: m.Created,
	}
	if o.Boot.Volume.Profile != nil {
		v.Profile = o.Boot.Volume.Profile.Name
	}
	n := &Interface{ID: c.id("0717-n"), Name: o.Net.NIC.Name, Region: region, Subnet: o.Net.NIC.Subnet.ID, Machine: m.ID, GoesWith: o.Net.NIC.GoesWith != nil && *o.Net.NIC.GoesWith}
	n.IP = fmt.Sprintf("10.240.%d.%d", c.serial/250%250, c.serial%250+4)
	for _, g := range o.Net.NIC.Groups {
		n.Groups = append(n.Groups, g.ID)
	}
	m.Boot, m.NIC = v.ID, n.ID
	c.volumes.Add(v.ID, v)
	c.nics.Add(n.ID, n)
	c.machines.Add(m.ID, m)
	return m
}

func (c *Cloud) rename(call *fakekit.Call, m *Machine) (any, error) {
	var in byName
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	m.Name = in.Name
	return c.showMachine(m), nil
}

// mark gives the attachment of a machine's disk another name.
func (c *Cloud) mark(call *fakekit.Call, m *Machine) (any, error) {
	var in byName
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	switch {
	case call.Value("attachment") != m.Attachment:
		return nil, missing("Volume attachment", call.Value("attachment"))
	case checkName(in.Name) != nil:
		return nil, checkName(in.Name)
	case c.silent > 0:
		c.silent--
	default:
		m.AttachmentName = in.Name
	}
	return c.showAttachment(m), nil
}

func (c *Cloud) act(call *fakekit.Call, m *Machine) (any, error) {
	var in struct {
		Type  string `json:"type"`
		Force bool   `json:"force"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Type == "start" && m.Status == "stopped":
		m.Status, m.due, m.Reasons, m.late = "starting", c.Now().Add(c.opts.BootTime), nil, c.isFull(m.Order.Profile.Name, m.Zone)
	case in.Type == "stop" && (m.Status == "running" || m.Status == "starting"):
		m.Status, m.due = "stopping", c.Now().Add(c.opts.EndTime)
	case in.Type == "reboot" && m.Status == "running":
	case !slices.Contains([]string{"start", "stop", "reboot"}, in.Type):
		return nil, invalid("type: %q", in.Type)
	default:
		return nil, notNow(m)
	}
	c.serial++
	return created(map[string]any{
		"id": fmt.Sprintf("act-%d", c.serial), "type": in.Type, "status": "pending", "created_at": stamp(c.Now()), "href": c.href(m.Region, "instances", m.ID) + "/actions", "force": in.Force,
	}), nil
}

// settle lets everything happen that is due.
func (c *Cloud) settle() {
	now := c.Now()
	for _, n := range c.vpcs.All() {
		if n.Status == "pending" && !now.Before(n.ready) {
			n.Status = "available"
		}
	}
	for _, m := range slices.Clone(c.machines.All()) {
		if m.due.IsZero() || now.Before(m.due) {
			continue
		}
		switch m.Status {
		case "pending", "starting":
			c.startUp(m)
		case "stopping":
			m.Status = "stopped"
			m.shutDown()
		case "deleting":
			c.bury(m)
		}
		m.due = time.Time{}
	}
}

func (c *Cloud) startUp(m *Machine) {
	if m.late {
		m.Status, m.Reasons = "stopped", []Reason{noRoom()}
		return
	}
	m.Status = "running"
	if c.opts.Boot != nil {
		address, end := c.opts.Boot(m)
		m.end = end
		if n := c.nics.Get(m.NIC); n != nil {
			n.IP = address
		}
		for _, a := range c.addresses.All() {
			if a.NIC == m.NIC {
				a.IP = address
			}
		}
	}
}

func (m *Machine) shutDown() {
	if m.end != nil {
		m.end()
		m.end = nil
	}
}

// bury takes a machine away, and what goes with it. Floating addresses stay.
func (c *Cloud) bury(m *Machine) {
	m.shutDown()
	c.machines.Delete(m.ID)
	if v := c.volumes.Get(m.Boot); v != nil {
		if v.Machine = ""; v.GoesWith {
			c.volumes.Delete(v.ID)
		}
	}
	for _, a := range c.addresses.All() {
		if a.NIC == m.NIC {
			a.NIC = ""
		}
	}
	if n := c.nics.Get(m.NIC); n != nil {
		if n.Machine = ""; n.GoesWith {
			c.nics.Delete(n.ID)
		}
	}
}

// Fill takes the room for a profile in a zone; "*" is any. IBM tells of it only
// after it took the launch.
func (c *Cloud) Fill(profile, zone string) { c.Locked(func() { c.full[profile+" "+zone] = true }) }

func (c *Cloud) isFull(profile, zone string) bool {
	return c.full[profile+" "+zone] || c.full["* "+zone] || c.full[profile+" *"] || c.full["* *"]
}
