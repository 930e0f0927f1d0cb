// SPDX-License-Identifier: MPL-2.0

package ocifake

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// launch makes a machine, once a retry token.
func (c *Cloud) launch(call *fakekit.Call, region string) (any, error) {
	var in Order
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	id, err := c.once(call, func(id string) bool {
		m := c.machines.Get(id)
		return m != nil && m.State != "TERMINATED" && m.State != "TERMINATING"
	})
	if err != nil {
		return nil, err
	}
	if id == "" {
		if err := c.check(in, region); err != nil {
			return nil, err
		}
		if c.isFull(in.Shape, in.Domain) {
			return nil, NoRoom()
		}
		id = c.add(in, region).ID
		c.remember(call, id)
	}
	m := c.machines.Get(id)
	return fakekit.Reply{Body: m, Header: map[string]string{"opc-work-request-id": m.workRequest, "etag": m.etag()}}, nil
}

// check refuses what Oracle refuses.
func (c *Cloud) check(in Order, region string) error {
	switch {
	case !slices.Contains(Domains(region), in.Domain):
		return invalid("availabilityDomain %q", in.Domain)
	case !slices.Contains([]string{Tenancy, Compartment, Below, Other}, in.Compartment):
		return missing("compartment")
	case !slices.Contains(shapes(), in.Shape):
		return missing("shape " + in.Shape)
	case in.Name == "" || len(in.Name) > 255:
		return invalid("displayName has %d characters", len(in.Name))
	case in.Preemptible != nil && strings.HasPrefix(in.Shape, "BM."):
		return invalid("preemptible capacity is not supported for %s", in.Shape)
	case in.Preemptible != nil && in.Preemptible.Action.Type != "TERMINATE":
		return invalid("preemptionAction %q", in.Preemptible.Action.Type)
	}
	if err := checkSize(in); err != nil {
		return err
	}
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if err := checkSource(in, region); err != nil {
		return err
	}
	return c.checkInterface(in, region)
}

func checkSize(in Order) error {
	flexible := strings.HasSuffix(in.Shape, ".Flex")
	switch s := in.ShapeConfig; {
	case flexible != (s != nil):
		return invalid("shapeConfig is for flexible shapes, and only for them")
	case s != nil && (s.OCPUs < 1 || s.Memory < s.OCPUs || s.Memory > 64*s.OCPUs):
		return invalid("%v OCPUs with %v GB", s.OCPUs, s.Memory)
	}
	size := 0
	for key, value := range in.Metadata {
		size += len(key) + len(value)
	}
	if _, err := base64.StdEncoding.DecodeString(in.Metadata["user_data"]); err != nil || size > 32000 {
		return invalid("metadata of %d bytes: %v", size, err)
	}
	return nil
}

func checkSource(in Order, region string) error {
	if in.Source == nil || in.Source.Type != "image" {
		return invalid("sourceDetails")
	}
	im, err := image(in.Source.Image, region)
	switch {
	case err != nil:
		return err
	case !im.fits(in.Shape):
		return invalid("image %s is not compatible with shape %s", im.Name, in.Shape)
	case in.Source.Size < 50 || in.Source.Size*1024 < im.SizeMB:
		return invalid("bootVolumeSizeInGBs %d", in.Source.Size)
	case in.Source.VPUs%10 != 0 || in.Source.VPUs < 10 || in.Source.VPUs > 120:
		return invalid("bootVolumeVpusPerGB %d", in.Source.VPUs)
	}
	return nil
}

func (c *Cloud) checkInterface(in Order, region string) error {
	if in.Interface == nil {
		return invalid("createVnicDetails")
	}
	subnet := c.part("subnets", in.Interface.Subnet, region)
	switch {
	case subnet == nil:
		return missing("subnet " + in.Interface.Subnet)
	case subnet.Domain != "" && subnet.Domain != in.Domain:
		return invalid("the subnet is in %s", subnet.Domain)
	case subnet.NoPublic && (in.Interface.Public == nil || *in.Interface.Public):
		return invalid("the subnet prohibits public addresses")
	case len(in.Interface.Groups) > 5:
		return invalid("%d groups", len(in.Interface.Groups))
	}
	for _, id := range in.Interface.Groups {
		if g := c.part("networkSecurityGroups", id, region); g == nil || g.VCN != subnet.VCN {
			return missing("network security group " + id)
		}
	}
	return nil
}

// add makes a machine, with a volume and the work request behind it.
func (c *Cloud) add(in Order, region string) *Machine {
	now := c.Now()
	m := &Machine{
		ID: c.ocid("instance", region), Domain: in.Domain, Compartment: in.Compartment, Name: in.Name, State: "PROVISIONING", Abbreviation: Regions()[region],
		Shape: in.Shape, ShapeConfig: in.ShapeConfig, Created: now.UTC().Format(time.RFC3339Nano), Tags: in.Tags, DefinedTags: map[string]any{}, Source: in.Source,
		Preemptible: in.Preemptible, Metadata: in.Metadata, FaultDomain: "FAULT-DOMAIN-1", LaunchOptions: in.Options,
		Order: in, Region: region, Boot: true, runs: now.Add(c.opts.BootTime),
	}
	if in.Source != nil {
		m.Image = in.Source.Image
	}
	if m.Order.Interface == nil {
		m.Order.Interface = &Interface{}
	}
	m.Vnic = c.ocid("vnic", region)
	w := &WorkRequest{ID: c.ocid("coreservicesworkrequest", region), Compartment: in.Compartment, Type: "LaunchInstance", Status: "IN_PROGRESS", Accepted: now.UTC().Format(time.RFC3339), resource: m.ID, region: region}
	c.work.Add(w.ID, w)
	m.workRequest = w.ID
	c.machines.Add(m.ID, m)
	return m
}

// settle lets everything happen that is due.
func (c *Cloud) settle() {
	now := c.Now()
	for _, m := range c.machines.All() {
		if m.fail != nil {
			m.fail(m)
		}
		switch {
		case (m.State == "PROVISIONING" || m.State == "STARTING") && !m.runs.IsZero() && !now.Before(m.runs):
			m.State = "RUNNING"
			c.work.Get(m.workRequest).Status = "SUCCEEDED"
		case m.State == "STOPPING" && !now.Before(m.stops):
			m.State = "STOPPED"
			m.shutDown()
		case m.State == "TERMINATING" && !now.Before(m.ends):
			m.State, m.gone = "TERMINATED", now
			m.shutDown()
		case m.State == "TERMINATED" && now.After(m.gone.Add(c.opts.Remembered)):
			c.machines.Delete(m.ID)
		}
		if m.State == "RUNNING" && !now.Before(m.address) {
			c.addressed(m)
		}
	}
	c.settleNetwork(now)
}

// addressed gives a machine that runs its addresses, and runs it for real.
func (c *Cloud) addressed(m *Machine) {
	var n int
	_, _ = fmt.Sscanf(m.ID[strings.LastIndex(m.ID, ".")+1:], "a%d", &n) // as ocid wrote it
	if m.PrivateIP == "" {
		m.PrivateIP = fmt.Sprintf("10.200.%d.%d", n/250%250, n%250+2)
	}
	public := m.Order.Interface.Public == nil || *m.Order.Interface.Public
	if c.opts.Boot != nil && m.end == nil {
		m.PrivateIP, m.end = c.opts.Boot(m)
		m.PublicIP = m.PrivateIP
	}
	if public && m.PublicIP == "" {
		m.PublicIP = fmt.Sprintf("198.51.%d.%d", n/250%250, n%250+2)
	}
}

func (m *Machine) shutDown() {
	if m.end != nil {
		m.end()
		m.end = nil
	}
}

func (c *Cloud) serveWork() {
	c.handle("GET /workRequests", func(call *fakekit.Call, region string) (any, error) {
		in, err := c.compartment(call)
		if err != nil {
			return nil, err
		}
		resource := call.Query.Get("resourceId")
		return page(c, call, slices.DeleteFunc(c.work.All(), func(w *WorkRequest) bool {
			return w.region != region || w.Compartment != in || (resource != "" && w.resource != resource)
		}))
	})
	c.handle("GET /workRequests/{id}/errors", func(call *fakekit.Call, region string) (any, error) {
		w := c.work.Get(call.Value("id"))
		if w == nil || w.region != region {
			return nil, missing("work request")
		}
		return page(c, call, w.errors)
	})
}

// Number is that of a machine, in the order in which they were made.
func (m *Machine) Number() (n int) {
	_, _ = fmt.Sscanf(m.ID[strings.LastIndex(m.ID, ".")+1:], "a%d", &n) // as ocid wrote it
	return n
}

// Fill takes the room for a shape in a domain, or in all with "*". Quietly is that
// the report does not know.
func (c *Cloud) Fill(shape, domain string, quietly bool) {
	c.Locked(func() { c.full[shape+" "+domain], c.quiet[shape] = true, quietly })
}

func (c *Cloud) isFull(shape, domain string) bool {
	return c.full[shape+" "+domain] || c.full[shape+" *"]
}

// Machines are those that are not gone, Volumes how many volumes there are.
func (c *Cloud) Machines() (out []Machine) {
	c.Locked(func() {
		for _, m := range c.machines.All() {
			if m.State != "TERMINATED" {
				out = append(out, *m)
			}
		}
	})
	return out
}

// Volumes is how many volumes there are, of machines that are gone too.
func (c *Cloud) Volumes() (n int) {
	c.Locked(func() {
		for _, m := range c.machines.All() {
			for _, there := range []bool{m.Boot, m.Data} {
				if there {
					n++
				}
			}
		}
	})
	return n
}

// Edit changes a machine behind everybody's back.
func (c *Cloud) Edit(id string, change func(*Machine)) {
	c.Locked(func() {
		if m := c.machines.Get(id); m != nil {
			change(m)
			m.version++
		}
	})
}

// Add makes a machine that runs, behind everybody's back.
func (c *Cloud) Add(in Order, region string) (id string) {
	c.Locked(func() {
		m := c.add(in, region)
		m.State = "RUNNING"
		id = m.ID
	})
	return id
}

// Remove takes a machine away at once, with its volumes.
func (c *Cloud) Remove(id string) {
	c.Edit(id, func(m *Machine) {
		m.shutDown()
		m.State, m.gone, m.Boot, m.Data = "TERMINATED", c.Now(), false, false
	})
}

// LateCapacity is a fault: the launch that was just answered fails for lack of room.
// The machine ends, or where stuck is set stays as it is.
func (c *Cloud) LateCapacity(stuck bool) func() {
	return func() {
		all := c.machines.All()
		all[len(all)-1].fail = func(m *Machine) { c.failLaunch(m, stuck) } // the answer is good still
	}
}

func (c *Cloud) failLaunch(m *Machine, stuck bool) {
	w := c.work.Get(m.workRequest)
	w.Status, w.errors = "FAILED", []map[string]string{{"code": "InternalError", "message": "Out of host capacity.", "timestamp": w.Accepted}}
	m.runs, m.fail = time.Time{}, nil
	if !stuck {
		m.State, m.ends, m.Boot = "TERMINATING", c.Now(), false
	}
}

// LateAddress is a fault: the machine runs so long before it has its address.
func (c *Cloud) LateAddress(by time.Duration) func() {
	return func() {
		all := c.machines.All()
		m := all[len(all)-1]
		m.address = m.runs.Add(by)
	}
}

// LoseRenaming lets the next renaming do nothing, until it is taken back.
func (c *Cloud) LoseRenaming(times int) (remove func()) {
	c.Locked(func() { c.silent = times })
	return func() { c.Locked(func() { c.silent = 0 }) }
}

// TooMany is what is answered to too many calls.
func TooMany() *fakekit.Refusal {
	return fakekit.Refusef(http.StatusTooManyRequests, "TooManyRequests", "Too many requests for the user.")
}
