// SPDX-License-Identifier: MPL-2.0

package ibmfake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

func (c *Cloud) serveDisks() {
	c.handle("GET /volumes", func(call *fakekit.Call, region string) (any, error) {
		tag, name := strings.ToLower(call.Query.Get("tag")), call.Query.Get("name")
		all := in(c.volumes.Listed(), func(v *Volume) bool {
			return v.Region == region && c.isProvisioned(v.ID) && (tag == "" || slices.Contains(v.Tags, tag)) && (name == "" || v.Name == name)
		})
		return page(c, call, "volumes", all, c.showVolume), nil
	})
	// What a change is made of is told in a header, which is set before the answer.
	c.Route("GET /{region}/v1/volumes/{id}", func(w http.ResponseWriter, call *fakekit.Call) {
		call.Name = "GET /{region}/v1/volumes/{id}"
		c.Locked(func() {
			if v := c.volumes.Get(call.Value("id")); v != nil {
				w.Header().Set("ETag", v.etag())
			}
		})
		c.Do(w, call, c.checked(func(call *fakekit.Call, region string) (any, error) {
			v, err := c.volume(call, region)
			if err != nil {
				return nil, err
			}
			return c.showVolume(v), nil
		}))
	})
	c.handle("PATCH /volumes/{id}", c.changeVolume)
	c.handle("DELETE /volumes/{id}", func(call *fakekit.Call, region string) (any, error) {
		v, err := c.volume(call, region)
		switch {
		case err != nil:
			return nil, err
		case v.Machine != "":
			return nil, fakekit.Refusef(http.StatusConflict, "volume_in_use", "The volume is attached to an instance.")
		}
		c.volumes.Delete(v.ID)
		return nil, nil
	})
}

func (v *Volume) etag() string { return fmt.Sprintf("W/\"%s-%d\"", v.ID, v.revision) }

func (c *Cloud) volume(call *fakekit.Call, region string) (*Volume, error) {
	if v := c.volumes.Get(call.Value("id")); v != nil && v.Region == region && c.isProvisioned(v.ID) {
		return v, nil
	}
	return nil, missing("Volume", call.Value("id"))
}

func (c *Cloud) changeVolume(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Name string    `json:"name"`
		Tags *[]string `json:"user_tags"`
	}
	v, err := c.volume(call, region)
	if err == nil {
		err = call.Decode(&in)
	}
	switch seen := call.Header("If-Match"); {
	case err != nil:
		return nil, err
	case in.Tags != nil && seen == "":
		return nil, fakekit.Refusef(http.StatusBadRequest, "missing_header", "If-Match is required for a change of user_tags.")
	case seen != "" && seen != v.etag():
		return nil, fakekit.Refusef(http.StatusPreconditionFailed, "precondition_failed", "The ETag is not the present one.")
	case in.Name != "" && checkName(in.Name) != nil:
		return nil, checkName(in.Name)
	}
	if in.Tags != nil {
		if err := checkTags(*in.Tags); err != nil {
			return nil, err
		}
		v.Tags = lower(*in.Tags)
	}
	if in.Name != "" {
		v.Name = in.Name
	}
	v.revision++
	return c.showVolume(v), nil
}

func (c *Cloud) serveAddresses() {
	c.handle("POST /floating_ips", c.createAddress)
	c.handle("GET /floating_ips", func(call *fakekit.Call, region string) (any, error) {
		all := in(c.addresses.Listed(), func(a *Address) bool { return a.Region == region })
		return page(c, call, "floating_ips", all, c.showAddress), nil
	})
	c.handle("GET /floating_ips/{id}", func(call *fakekit.Call, region string) (any, error) {
		a := c.addresses.Get(call.Value("id"))
		if a == nil || a.Region != region {
			return nil, missing("Floating IP", call.Value("id"))
		}
		return c.showAddress(a), nil
	})
	c.handle("DELETE /floating_ips/{id}", func(call *fakekit.Call, _ string) (any, error) {
		if !c.addresses.Delete(call.Value("id")) {
			return nil, missing("Floating IP", call.Value("id"))
		}
		return nil, nil
	})
	c.serveInterfaces()
}

func (c *Cloud) serveInterfaces() {
	c.handle("GET /virtual_network_interfaces/{id}", func(call *fakekit.Call, region string) (any, error) {
		n, err := c.nic(call, region)
		if err != nil {
			return nil, err
		}
		return c.showInterface(n), nil
	})
	c.handle("DELETE /virtual_network_interfaces/{id}", func(call *fakekit.Call, region string) (any, error) {
		n, err := c.nic(call, region)
		switch {
		case err != nil:
			return nil, err
		case n.Machine != "":
			return nil, fakekit.Refusef(http.StatusConflict, "virtual_network_interface_in_use", "It has a target.")
		}
		c.nics.Delete(n.ID)
		return accepted(), nil
	})
	c.handle("GET /virtual_network_interfaces/{id}/floating_ips", func(call *fakekit.Call, region string) (any, error) {
		n, err := c.nic(call, region)
		if err != nil {
			return nil, err
		}
		all := in(c.addresses.All(), func(a *Address) bool { return a.NIC == n.ID })
		return page(c, call, "floating_ips", all, c.addressReference), nil
	})
	c.handle("PUT /virtual_network_interfaces/{id}/floating_ips/{address}", func(call *fakekit.Call, region string) (any, error) {
		n, err := c.nic(call, region)
		a := c.addresses.Get(call.Value("address"))
		switch {
		case err != nil:
			return nil, err
		case a == nil:
			return nil, missing("Floating IP", call.Value("address"))
		case a.NIC != "" && a.NIC != n.ID:
			return nil, fakekit.Refusef(http.StatusConflict, "floating_ip_in_use", "It has another target.")
		}
		c.lead(a, n)
		return created(c.addressReference(a)), nil
	})
}

func (c *Cloud) nic(call *fakekit.Call, region string) (*Interface, error) {
	if n := c.nics.Get(call.Value("id")); n != nil && n.Region == region {
		return n, nil
	}
	return nil, missing("Virtual network interface", call.Value("id"))
}

// lead lets an address lead to an interface.
func (c *Cloud) lead(a *Address, n *Interface) {
	a.NIC = n.ID
	if c.opts.Boot != nil && strings.HasPrefix(n.IP, "127.") { // the machine that runs there
		a.IP = n.IP
	}
}

func (c *Cloud) createAddress(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Name   string  `json:"name"`
		Target *byID   `json:"target"`
		Zone   *byName `json:"zone"`
		Group  *byID   `json:"resource_group"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	if (in.Target == nil) == (in.Zone == nil) {
		return nil, invalid("one of target and zone is to be given")
	}
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(c.addresses.All(), func(a *Address) bool { return a.Region == region && a.Name == in.Name }) {
		return nil, taken("floating_ip", in.Name)
	}
	if in.Zone != nil {
		return created(c.showAddress(c.newAddress(in.Name, region, in.Zone.Name))), nil
	}
	n := c.nics.Get(in.Target.ID)
	switch {
	case n == nil || n.Region != region:
		return nil, missing("Virtual network interface", in.Target.ID)
	case c.Now().Before(c.addressable):
		return nil, fakekit.Refusef(http.StatusBadRequest, "bad_field", "The target is not in a state to have a floating IP.")
	case slices.ContainsFunc(c.addresses.All(), func(a *Address) bool { return a.NIC == n.ID }):
		return nil, fakekit.Refusef(http.StatusConflict, "target_in_use", "The target has a floating IP.")
	}
	zone := c.subnets.Get(n.Subnet).Zone
	if len(slices.DeleteFunc(slices.Clone(c.addresses.All()), func(a *Address) bool { return a.Zone != zone })) >= c.opts.AddressQuota {
		return nil, fakekit.Refusef(http.StatusBadRequest, "over_quota",
			"Creating a floating IP will put the user over quota. Allocated: %d, Requested: 1, Quota: %d", c.opts.AddressQuota, c.opts.AddressQuota)
	}
	a := c.newAddress(in.Name, region, zone)
	c.lead(a, n)
	return created(c.showAddress(a)), nil
}

func (c *Cloud) newAddress(name, region, zone string) *Address {
	a := &Address{ID: c.id("r006-f"), Name: name, Region: region, Zone: zone, Created: c.Now().UTC()}
	a.IP = fmt.Sprintf("169.48.%d.%d", c.serial/250%250, c.serial%250+2)
	c.addresses.Add(a.ID, a)
	return a
}

func (c *Cloud) serveGroups() {
	c.handle("GET /security_groups", func(call *fakekit.Call, region string) (any, error) {
		vpc := call.Query.Get("vpc.id")
		all := in(c.groups.Listed(), func(g *SecurityGroup) bool { return g.Region == region && (vpc == "" || g.VPC == vpc) })
		return page(c, call, "security_groups", all, c.showGroup), nil
	})
	c.handle("POST /security_groups", c.createGroup)
	c.handle("DELETE /security_groups/{id}", func(call *fakekit.Call, region string) (any, error) {
		g, err := c.group(call, region)
		switch {
		case err != nil:
			return nil, err
		case len(c.behind(g.ID)) > 0:
			return nil, fakekit.Refusef(http.StatusConflict, "security_group_in_use", "It has targets.")
		}
		c.groups.Delete(g.ID)
		return nil, nil
	})
	c.handle("GET /security_groups/{id}/targets", func(call *fakekit.Call, region string) (any, error) {
		g, err := c.group(call, region)
		if err != nil {
			return nil, err
		}
		return page(c, call, "targets", c.behind(g.ID), c.interfaceReference), nil
	})
	c.serveRules()
}

func (c *Cloud) serveRules() {
	c.handle("POST /security_groups/{id}/rules", func(call *fakekit.Call, region string) (any, error) {
		var r Rule
		g, err := c.group(call, region)
		if err == nil {
			err = call.Decode(&r)
		}
		if err == nil {
			err = c.addRule(g, &r)
		}
		if err != nil {
			return nil, err
		}
		return created(c.showRule(g, r)), nil
	})
	c.handle("DELETE /security_groups/{id}/rules/{rule}", func(call *fakekit.Call, region string) (any, error) {
		g, err := c.group(call, region)
		if err != nil {
			return nil, err
		}
		before := len(g.Rules)
		g.Rules = slices.DeleteFunc(g.Rules, func(r Rule) bool { return r.ID == call.Value("rule") })
		if len(g.Rules) == before {
			return nil, missing("Rule", call.Value("rule"))
		}
		return nil, nil
	})
}

func (c *Cloud) group(call *fakekit.Call, region string) (*SecurityGroup, error) {
	if g := c.groups.Get(call.Value("id")); g != nil && g.Region == region {
		return g, nil
	}
	return nil, missing("Security group", call.Value("id"))
}

// behind are the interfaces behind a group.
func (c *Cloud) behind(group string) []*Interface {
	return in(c.nics.All(), func(n *Interface) bool { return slices.Contains(n.Groups, group) })
}

func (c *Cloud) createGroup(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Name  string `json:"name"`
		VPC   *byID  `json:"vpc"`
		Group *byID  `json:"resource_group"`
		Rules []Rule `json:"rules"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	switch {
	case checkName(in.Name) != nil:
		return nil, checkName(in.Name)
	case in.VPC == nil || c.vpcs.Get(in.VPC.ID) == nil || c.vpcs.Get(in.VPC.ID).Status != "available":
		return nil, missing("VPC", fmt.Sprint(in.VPC))
	case slices.ContainsFunc(c.groups.All(), func(g *SecurityGroup) bool { return g.VPC == in.VPC.ID && g.Name == in.Name }):
		return nil, taken("security_group", in.Name)
	}
	g := &SecurityGroup{ID: c.id("r006-g"), Name: in.Name, Region: region, VPC: in.VPC.ID, Created: c.Now().UTC()}
	for _, r := range in.Rules {
		if err := c.addRule(g, &r); err != nil {
			return nil, err
		}
	}
	c.groups.Add(g.ID, g)
	return created(c.showGroup(g)), nil
}

// addRule adds a rule, or refuses what the API does not take.
func (c *Cloud) addRule(g *SecurityGroup, r *Rule) error {
	prefix, err := netip.ParsePrefix(r.Remote.CIDR)
	ported := r.First != nil || r.Last != nil
	switch {
	case !slices.Contains([]string{"inbound", "outbound"}, r.Direction):
		return invalid("direction: %q", r.Direction)
	case !slices.Contains([]string{"any", "icmp", "icmp_tcp_udp", "tcp", "udp"}, r.Protocol):
		return invalid("protocol: %q", r.Protocol)
	case ported && r.Protocol != "tcp" && r.Protocol != "udp":
		return invalid("port_min: not for protocol %s", r.Protocol)
	case ported && (r.First == nil || r.Last == nil || *r.First < 1 || *r.First > *r.Last):
		return invalid("port_min and port_max")
	case r.Remote.CIDR != "" && (err != nil || !prefix.Addr().Is4() || prefix.Masked() != prefix):
		return invalid("remote.cidr_block: %q", r.Remote.CIDR)
	case r.Remote.ID != "" && r.Remote.ID != g.ID && c.groups.Get(r.Remote.ID) == nil:
		return missing("Security group", r.Remote.ID)
	case len(g.Rules) >= 250:
		return fakekit.Refusef(http.StatusBadRequest, "over_quota", "The security group has 250 rules.")
	}
	if r.Remote == (Remote{}) {
		r.Remote.CIDR = "0.0.0.0/0"
	}
	r.ID = c.id("r006-r")
	r.Name = "rule-" + r.ID[len(r.ID)-6:]
	g.Rules = append(g.Rules, *r)
	return nil
}
