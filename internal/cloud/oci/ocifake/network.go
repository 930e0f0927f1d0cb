// SPDX-License-Identifier: MPL-2.0

package ocifake

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Part is a part of a network: a VCN, a subnet, a gateway, a list or a group. It has
// the fields of all of them; each shows those that are set.
type Part struct {
	ID          string            `json:"id"`
	Compartment string            `json:"compartmentId"`
	Name        string            `json:"displayName"`
	State       string            `json:"lifecycleState"`
	Created     string            `json:"timeCreated"`
	Tags        map[string]string `json:"freeformTags"`
	VCN         string            `json:"vcnId,omitempty"`
	CIDR        string            `json:"cidrBlock,omitempty"`
	CIDRs       []string          `json:"cidrBlocks,omitempty"`
	RouteTable  string            `json:"defaultRouteTableId,omitempty"`
	Router      string            `json:"virtualRouterMac,omitempty"`
	Table       string            `json:"routeTableId,omitempty"`
	Lists       []string          `json:"securityListIds,omitempty"`
	Domain      string            `json:"availabilityDomain,omitempty"`
	NoPublic    bool              `json:"prohibitPublicIpOnVnic"`
	Enabled     bool              `json:"isEnabled,omitempty"`
	Egress      []map[string]any  `json:"egressSecurityRules,omitempty"`
	Ingress     []map[string]any  `json:"ingressSecurityRules,omitempty"`
	Routes      []map[string]any  `json:"routeRules,omitempty"`

	Rules  []Rule `json:"-"`
	Region string `json:"-"`
	ready  time.Time
}

// Rule is a rule of a group.
type Rule struct {
	ID              string       `json:"id,omitempty"`
	Direction       string       `json:"direction"`
	Protocol        string       `json:"protocol"`
	Description     string       `json:"description,omitempty"`
	Source          string       `json:"source,omitempty"`
	SourceType      string       `json:"sourceType,omitempty"`
	Destination     string       `json:"destination,omitempty"`
	DestinationType string       `json:"destinationType,omitempty"`
	Stateless       bool         `json:"isStateless"`
	TCP             *PortOptions `json:"tcpOptions,omitempty"`
}

// PortOptions are the ports of a rule.
type PortOptions struct {
	Destination *struct {
		Min int `json:"min"`
		Max int `json:"max"`
	} `json:"destinationPortRange,omitempty"`
}

// order is the body that makes a part.
type order struct {
	Compartment string            `json:"compartmentId"`
	Name        string            `json:"displayName"`
	Tags        map[string]string `json:"freeformTags"`
	VCN         string            `json:"vcnId"`
	CIDR        string            `json:"cidrBlock"`
	CIDRs       []string          `json:"cidrBlocks"`
	Lists       []string          `json:"securityListIds"`
	NoPublic    bool              `json:"prohibitPublicIpOnVnic"`
	Domain      string            `json:"availabilityDomain"`
	Enabled     bool              `json:"isEnabled"`
	Egress      []map[string]any  `json:"egressSecurityRules"`
	Ingress     []map[string]any  `json:"ingressSecurityRules"`
}

// vcnLimit is how many networks a region of a tenancy may have.
const vcnLimit = 50

func (c *Cloud) serveNetwork() {
	for kind, noun := range map[string]string{
		"vcns": "vcn", "subnets": "subnet", "internetGateways": "internetgateway", "securityLists": "securitylist", "routeTables": "routetable",
		"networkSecurityGroups": "networksecuritygroup",
	} {
		c.nets[kind] = &fakekit.Table[Part]{Kit: c.Kit}
		c.handle("GET /"+kind, func(call *fakekit.Call, region string) (any, error) { return c.listParts(call, kind, region) })
		c.handle("GET /"+kind+"/{id}", func(call *fakekit.Call, region string) (any, error) {
			if p := c.part(kind, call.Value("id"), region); p != nil {
				return p, nil
			}
			return nil, missing(kind)
		})
		if kind != "routeTables" {
			c.handle("POST /"+kind, func(call *fakekit.Call, region string) (any, error) { return c.makePart(call, kind, noun, region) })
		}
		c.handle("DELETE /"+kind+"/{id}", func(call *fakekit.Call, region string) (any, error) { return c.deletePart(call, kind, region) })
	}
	c.handle("PUT /routeTables/{id}", func(call *fakekit.Call, region string) (any, error) {
		p := c.part("routeTables", call.Value("id"), region)
		if p == nil {
			return nil, missing("route table")
		}
		var in struct {
			Rules []map[string]any `json:"routeRules"`
		}
		if err := call.Decode(&in); err != nil {
			return nil, err
		}
		p.Routes = in.Rules
		return p, nil
	})
	c.handle("GET /networkSecurityGroups/{id}/securityRules", func(call *fakekit.Call, region string) (any, error) {
		g := c.part("networkSecurityGroups", call.Value("id"), region)
		if g == nil {
			return nil, missing("group")
		}
		return page(c, call, g.Rules)
	})
	c.handle("POST /networkSecurityGroups/{id}/actions/addSecurityRules", c.addRules)
	c.handle("POST /networkSecurityGroups/{id}/actions/removeSecurityRules", c.removeRules)
}

// part is one that is there.
func (c *Cloud) part(kind, id, region string) *Part {
	if p := c.nets[kind].Get(id); p != nil && p.Region == region {
		return p
	}
	return nil
}

func (c *Cloud) listParts(call *fakekit.Call, kind, region string) (any, error) {
	in, err := c.compartment(call)
	if err != nil {
		return nil, err
	}
	vcn := call.Query.Get("vcnId")
	return page(c, call, slices.DeleteFunc(c.nets[kind].Listed(), func(p *Part) bool {
		return p.Region != region || p.Compartment != in || (vcn != "" && p.VCN != vcn)
	}))
}

func (c *Cloud) makePart(call *fakekit.Call, kind, noun, region string) (any, error) {
	var in order
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	id, err := c.once(call, func(id string) bool { return c.nets[kind].Get(id) != nil })
	if err != nil {
		return nil, err
	}
	if id != "" {
		return c.nets[kind].Get(id), nil
	}
	if err := c.checkPart(in, kind, region); err != nil {
		return nil, err
	}
	p := &Part{
		ID: c.ocid(noun, region), Compartment: in.Compartment, Name: in.Name, State: "PROVISIONING", Created: c.Now().UTC().Format(time.RFC3339Nano), Tags: in.Tags,
		VCN: in.VCN, CIDR: in.CIDR, CIDRs: in.CIDRs, Lists: in.Lists, Domain: in.Domain, NoPublic: in.NoPublic, Enabled: in.Enabled, Egress: in.Egress, Ingress: in.Ingress,
		Region: region, ready: c.Now().Add(c.opts.MakeTime),
	}
	switch kind {
	case "vcns":
		p.CIDR = p.CIDRs[0]
		p.RouteTable = c.ocid("routetable", region)
		c.nets["routeTables"].Add(p.RouteTable, &Part{ID: p.RouteTable, Compartment: in.Compartment, Name: "Default", State: "AVAILABLE", VCN: p.ID, Region: region, Created: p.Created})
	case "subnets":
		p.Router, p.Table = "00:00:17:B6:4D:DD", c.nets["vcns"].Get(in.VCN).RouteTable
	}
	c.nets[kind].Add(p.ID, p)
	c.remember(call, p.ID)
	return p, nil
}

func (c *Cloud) checkPart(in order, kind, region string) error {
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{Tenancy, Compartment, Below, Other}, in.Compartment):
		return missing("compartment")
	case kind == "vcns" && len(in.CIDRs) == 0:
		return invalid("cidrBlocks")
	case kind == "vcns" && len(c.nets[kind].All()) >= vcnLimit:
		return fakekit.Refusef(http.StatusBadRequest, "LimitExceeded", "The limit for this tenancy has been exceeded: vcn-count.")
	case kind != "vcns" && c.part("vcns", in.VCN, region) == nil:
		return missing("vcn " + in.VCN)
	case kind == "internetGateways" && slices.ContainsFunc(c.nets[kind].All(), func(p *Part) bool { return p.VCN == in.VCN }):
		return fakekit.Refusef(http.StatusConflict, "Conflict", "the VCN has an internet gateway")
	case kind == "subnets" && slices.ContainsFunc(c.nets[kind].All(), func(p *Part) bool { return p.VCN == in.VCN && p.CIDR == in.CIDR }):
		return invalid("the CIDR block overlaps another subnet's")
	}
	return nil
}

func (c *Cloud) deletePart(call *fakekit.Call, kind, region string) (any, error) {
	p := c.part(kind, call.Value("id"), region)
	if p == nil {
		return nil, missing(kind)
	}
	for _, m := range c.machines.All() {
		if m.State != "TERMINATED" && slices.Contains(m.Order.Interface.Groups, p.ID) {
			return nil, incorrect("the network security group has VNICs")
		}
	}
	c.nets[kind].Delete(p.ID)
	return nil, nil
}

func (c *Cloud) settleNetwork(now time.Time) {
	for _, table := range c.nets {
		for _, p := range table.All() {
			if p.State == "PROVISIONING" && !now.Before(p.ready) {
				p.State = "AVAILABLE"
			}
		}
	}
}

func (c *Cloud) addRules(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Rules []Rule `json:"securityRules"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	g := c.part("networkSecurityGroups", call.Value("id"), region)
	switch {
	case g == nil:
		return nil, missing("group")
	case g.State != "AVAILABLE":
		return nil, incorrect("the group is %s", g.State)
	case len(in.Rules) == 0 || len(in.Rules) > 25:
		return nil, invalid("%d rules; 1 to 25 a call", len(in.Rules))
	}
	for i, rule := range in.Rules {
		if err := c.checkRule(rule, region); err != nil {
			return nil, err
		}
		c.serial++
		in.Rules[i].ID = fmt.Sprintf("%06X", c.serial)
	}
	g.Rules = append(slices.Clone(g.Rules), in.Rules...)
	return map[string]any{"securityRules": in.Rules}, nil
}

func (c *Cloud) checkRule(r Rule, region string) error {
	where, kind := r.Source, r.SourceType
	if r.Direction == "EGRESS" {
		where, kind = r.Destination, r.DestinationType
	}
	prefix, err := netip.ParsePrefix(where)
	switch {
	case r.Direction != "INGRESS" && r.Direction != "EGRESS":
		return invalid("direction %q", r.Direction)
	case kind == "NETWORK_SECURITY_GROUP":
		if c.part("networkSecurityGroups", where, region) == nil {
			return missing("group " + where)
		}
	case kind != "CIDR_BLOCK" || err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked():
		return invalid("%s %q", kind, where)
	case r.TCP != nil && r.Protocol != "6":
		return invalid("tcpOptions of protocol %s", r.Protocol)
	}
	return nil
}

func (c *Cloud) removeRules(call *fakekit.Call, region string) (any, error) {
	var in struct {
		IDs []string `json:"securityRuleIds"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	g := c.part("networkSecurityGroups", call.Value("id"), region)
	if g == nil {
		return nil, missing("group")
	}
	if len(in.IDs) == 0 || len(in.IDs) > 25 {
		return nil, invalid("%d rules; 1 to 25 a call", len(in.IDs))
	}
	g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r Rule) bool { return slices.Contains(in.IDs, r.ID) })
	return nil, nil
}

// Parts are those of a kind that are there, such as "vcns".
func (c *Cloud) Parts(kind string) (out []Part) {
	c.Locked(func() {
		for _, p := range c.nets[kind].All() {
			one := *p
			one.Rules, one.Tags = slices.Clone(p.Rules), maps.Clone(p.Tags)
			out = append(out, one)
		}
	})
	return out
}

// AddSubnet makes a subnet of somebody's, in a VCN of his.
func (c *Cloud) AddSubnet(region, domain string, noPublic bool) (id string) {
	c.Locked(func() {
		vcn := &Part{ID: c.ocid("vcn", region), Compartment: Compartment, Name: "theirs", State: "AVAILABLE", Created: c.Now().UTC().Format(time.RFC3339Nano), Region: region}
		subnet := &Part{ID: c.ocid("subnet", region), Compartment: Compartment, Name: "theirs", State: "AVAILABLE", Created: vcn.Created, Region: region, VCN: vcn.ID, Domain: domain, NoPublic: noPublic}
		c.nets["vcns"].Add(vcn.ID, vcn)
		c.nets["subnets"].Add(subnet.ID, subnet)
		id = subnet.ID
	})
	return id
}
