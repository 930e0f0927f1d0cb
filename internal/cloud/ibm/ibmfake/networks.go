// SPDX-License-Identifier: MPL-2.0

package ibmfake

import (
	"slices"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

func zonesOf(region string) []string { return []string{region + "-1", region + "-2", region + "-3"} }

func (c *Cloud) serveNetworks() {
	c.handle("GET /regions", func(call *fakekit.Call, _ string) (any, error) {
		var all []any
		for _, r := range Regions() {
			all = append(all, map[string]any{"name": r, "status": "available", "endpoint": c.URL + "/" + r, "href": c.URL + call.Path + "/" + r})
		}
		return map[string]any{"regions": all}, nil
	})
	c.handle("GET /images", func(call *fakekit.Call, region string) (any, error) {
		keep := slices.DeleteFunc(images(), func(im Image) bool {
			q := call.Query
			return (q.Get("name") != "" && q.Get("name") != im.Name) || (q.Get("status") != "" && q.Get("status") != im.Status) ||
				(q.Get("visibility") != "" && q.Get("visibility") != im.Visibility)
		})
		return page(c, call, "images", keep, func(im Image) any { return c.showImage(region, im) }), nil
	})
	c.handle("GET /images/{id}", func(call *fakekit.Call, region string) (any, error) {
		i := slices.IndexFunc(images(), func(im Image) bool { return im.ID == call.Value("id") })
		if i < 0 {
			return nil, missing("Image", call.Value("id"))
		}
		return c.showImage(region, images()[i]), nil
	})
	c.handle("GET /vpcs", func(call *fakekit.Call, region string) (any, error) {
		all := in(c.vpcs.Listed(), func(n *Network) bool { return n.Region == region })
		return page(c, call, "vpcs", all, c.showNetwork), nil
	})
	c.handle("POST /vpcs", c.createNetwork)
	c.handle("GET /subnets", func(call *fakekit.Call, region string) (any, error) {
		vpc := call.Query.Get("vpc.id")
		all := in(c.subnets.Listed(), func(s *Subnet) bool { return s.Region == region && (vpc == "" || s.VPC == vpc) })
		return page(c, call, "subnets", all, c.showSubnet), nil
	})
	c.handle("POST /subnets", c.createSubnet)
}

func (c *Cloud) createNetwork(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Name  string `json:"name"`
		Group *byID  `json:"resource_group"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(c.vpcs.All(), func(n *Network) bool { return n.Region == region && n.Name == in.Name }) {
		return nil, taken("vpc", in.Name)
	}
	n := &Network{ID: c.id("r006-p"), Name: in.Name, Region: region, Status: "pending", Created: c.Now().UTC(), ready: c.Now().Add(min(c.opts.BootTime, 5*time.Second))}
	c.vpcs.Add(n.ID, n)
	return created(c.showNetwork(n)), nil
}

func (c *Cloud) createSubnet(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Name string  `json:"name"`
		VPC  *byID   `json:"vpc"`
		Zone *byName `json:"zone"`
		// Size is a power of 2.
		Size  int   `json:"total_ipv4_address_count"`
		Group *byID `json:"resource_group"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	switch {
	case checkName(in.Name) != nil:
		return nil, checkName(in.Name)
	case in.VPC == nil || in.Zone == nil || in.Size < 8 || in.Size&(in.Size-1) != 0:
		return nil, invalid("vpc, zone or total_ipv4_address_count")
	case c.vpcs.Get(in.VPC.ID) == nil || c.vpcs.Get(in.VPC.ID).Status != "available":
		return nil, missing("VPC", in.VPC.ID)
	case !slices.Contains(zonesOf(region), in.Zone.Name):
		return nil, missing("Zone", in.Zone.Name)
	case slices.ContainsFunc(c.subnets.All(), func(s *Subnet) bool { return s.VPC == in.VPC.ID && s.Name == in.Name }):
		return nil, taken("subnet", in.Name)
	}
	s := &Subnet{ID: c.id("0717-s"), Name: in.Name, Region: region, Zone: in.Zone.Name, VPC: in.VPC.ID, Status: "available", Created: c.Now().UTC(), Size: in.Size}
	c.subnets.Add(s.ID, s)
	return created(c.showSubnet(s)), nil
}
