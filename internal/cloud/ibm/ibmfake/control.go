// SPDX-License-Identifier: MPL-2.0

package ibmfake

import (
	"slices"
	"time"
)

// all copies what is there.
func all[T any](c *Cloud, of func() []*T) (out []T) {
	c.Locked(func() {
		for _, t := range of() {
			out = append(out, *t)
		}
	})
	return out
}

// Machines are the machines that are there.
func (c *Cloud) Machines() []Machine { return all(c, c.machines.All) }

// Volumes are the disks that are there.
func (c *Cloud) Volumes() []Volume { return all(c, c.volumes.All) }

// Addresses are the floating addresses that are there.
func (c *Cloud) Addresses() []Address { return all(c, c.addresses.All) }

// SecurityGroups are the firewalls that are there.
func (c *Cloud) SecurityGroups() []SecurityGroup { return all(c, c.groups.All) }

// Interfaces are the network interfaces that are there.
func (c *Cloud) Interfaces() []Interface { return all(c, c.nics.All) }

// Networks are the VPCs that are there.
func (c *Cloud) Networks() []Network { return all(c, c.vpcs.All) }

// Subnets are the subnets that are there.
func (c *Cloud) Subnets() []Subnet { return all(c, c.subnets.All) }

// Edit changes a machine.
func (c *Cloud) Edit(id string, change func(*Machine)) {
	c.Locked(func() {
		if m := c.machines.Get(id); m != nil {
			change(m)
		}
	})
}

// Add makes a machine that runs, behind everybody's back, with what it needs. Its
// disk carries the tags.
func (c *Cloud) Add(name, region, zone, profile string, tags []string) (id string) {
	c.Locked(func() {
		n := &Network{ID: c.id("r006-p"), Name: c.id("theirs"), Region: region, Status: "available", Created: c.Now().UTC()}
		c.vpcs.Add(n.ID, n)
		s := &Subnet{ID: c.id("0717-s"), Name: c.id("theirs"), Region: region, Zone: zone, VPC: n.ID, Status: "available", Created: c.Now().UTC(), Size: 256}
		c.subnets.Add(s.ID, s)
		var o Order
		o.Name, o.Profile, o.Zone, o.Image = name, &byName{profile}, &byName{zone}, &byID{Ubuntu22}
		o.VPC = &byID{n.ID}
		grow(&o.Boot)
		grow(&o.Net)
		goes := true
		o.Boot.Name, o.Boot.Volume.Name, o.Boot.Volume.Tags, o.Boot.GoesWith = "theirs", name+"-boot", tags, &goes
		o.Net.NIC.Subnet, o.Net.NIC.GoesWith, o.Net.NIC.Name = &byID{s.ID}, &goes, name+"-nic"
		m := c.add(o, region)
		m.Status, m.due, m.Created = "running", time.Time{}, c.Now().UTC().Add(-time.Hour)
		id = m.ID
	})
	return id
}

func grow[T any](p **T) { *p = new(T) }

// AddAddress makes a floating address that leads nowhere.
func (c *Cloud) AddAddress(name, zone string) (id string) {
	c.Locked(func() {
		a := c.newAddress(name, zone[:len(zone)-2], zone)
		id = a.ID
	})
	return id
}

// AddVolume makes a disk that is attached to nothing.
func (c *Cloud) AddVolume(name, zone string, tags []string) (id string) {
	c.Locked(func() {
		v := &Volume{ID: c.id("r006-v"), Name: name, Region: zone[:len(zone)-2], Zone: zone, Tags: lower(tags), Capacity: 100, Profile: "general-purpose", Created: c.Now().UTC()}
		c.volumes.Add(v.ID, v)
		id = v.ID
	})
	return id
}

// RemoveAddress takes a floating address away.
func (c *Cloud) RemoveAddress(id string) { c.Locked(func() { c.addresses.Delete(id) }) }

// Kill takes a machine away at once, as if its host had failed. Its address stays.
func (c *Cloud) Kill(id string) {
	c.Locked(func() {
		if m := c.machines.Get(id); m != nil {
			c.bury(m)
		}
	})
}

// LateAddress is a fault: for so long no address is given to what is new.
func (c *Cloud) LateAddress(by time.Duration) func() {
	return func() { c.addressable = c.Now().Add(by) }
}

// LateCapacity is a fault: the newest machine gets no room after all.
func (c *Cloud) LateCapacity() func() {
	return func() { m := c.newest(); m.late, m.due = true, c.Now().Add(5*time.Second) }
}

// Fail is a fault: the newest machine fails for this reason while it starts.
func (c *Cloud) Fail(status string, reason Reason) func() {
	return func() {
		m := c.newest()
		m.Status, m.Reasons, m.due = status, []Reason{reason}, time.Time{}
	}
}

// newest is the machine that was made last, to be changed under the lock.
func (c *Cloud) newest() *Machine { return slices.Clone(c.machines.All())[len(c.machines.All())-1] }

// LoseMark lets the next change of an attachment do nothing, until it is taken back.
func (c *Cloud) LoseMark() (remove func()) {
	c.Locked(func() { c.silent = 1 })
	return func() { c.Locked(func() { c.silent = 0 }) }
}

// Strand takes a machine away and leaves its disk and its interface, as a launch does
// that fails halfway.
func (c *Cloud) Strand(id string) {
	c.Locked(func() {
		m := c.machines.Get(id)
		c.volumes.Get(m.Boot).GoesWith, c.nics.Get(m.NIC).GoesWith = false, false
		tied := in(c.addresses.All(), func(a *Address) bool { return a.NIC == m.NIC })
		c.bury(m)
		for _, a := range tied {
			a.NIC = m.NIC
		}
	})
}

// Provision is a fault: the disk of the newest machine is made so much later.
func (c *Cloud) Provision(later time.Duration) func() {
	return func() { c.newest().provisioned = c.Now().Add(later) }
}

// isProvisioned reports whether a disk is shown yet.
func (c *Cloud) isProvisioned(volume string) bool {
	return !slices.ContainsFunc(c.machines.All(), func(m *Machine) bool { return m.Boot == volume && c.Now().Before(m.provisioned) })
}

// DropTags is a fault: the newest machine's disk keeps none of the tags that it was made with.
func (c *Cloud) DropTags() func() { return func() { c.volumes.Get(c.newest().Boot).Tags = []string{} } }

// AddInterface makes an interface of a name behind a security group, of no machine.
func (c *Cloud) AddInterface(name, group, region string) {
	c.Locked(func() {
		n := &Interface{ID: c.id("0717-n"), Name: name, Region: region, Groups: []string{group}}
		c.nics.Add(n.ID, n)
	})
}

// RemoveInterface takes an interface away.
func (c *Cloud) RemoveInterface(name string) {
	c.Locked(func() {
		for _, n := range in(c.nics.All(), func(n *Interface) bool { return n.Name == name }) {
			c.nics.Delete(n.ID)
		}
	})
}

// EditVolume changes a disk.
func (c *Cloud) EditVolume(id string, change func(*Volume)) {
	c.Locked(func() {
		if v := c.volumes.Get(id); v != nil {
			change(v)
			v.revision++
		}
	})
}

// IsName and IsTag say what the API takes.
func IsName(name string) bool { return checkName(name) == nil }

// IsTag says whether the API takes a tag.
func IsTag(tag string) bool { return checkTags([]string{tag}) == nil }
