// SPDX-License-Identifier: MPL-2.0

package lambdafake

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

func (c *Cloud) serveThings() {
	c.serveKeys()
	c.serveRulesets()
}

func (c *Cloud) serveKeys() {
	c.Handle("GET /api/v1/ssh-keys", func(*fakekit.Call) (any, error) { return data(c.keys.All()), nil })
	c.Handle("POST /api/v1/ssh-keys", func(call *fakekit.Call) (any, error) {
		var in SSHKey
		if err := decode(call, &in); err != nil {
			return nil, err
		}
		switch {
		case in.Name == "" || len(in.Name) > 64 || in.Public == "" || len(in.Public) > 4096:
			return nil, invalid("name or public_key")
		case slices.ContainsFunc(c.keys.All(), func(k *SSHKey) bool { return k.Name == in.Name || k.Public == in.Public }):
			return nil, invalid("the SSH key %q exists already", in.Name)
		}
		in.ID = c.id()
		c.keys.Add(in.ID, &in)
		return data(in), nil
	})
	c.Handle("DELETE /api/v1/ssh-keys/{id}", func(call *fakekit.Call) (any, error) {
		if !c.keys.Delete(call.Value("id")) {
			return nil, fakekit.Refusef(http.StatusNotFound, "global/not-found", "There is no such SSH key.")
		}
		return data(struct{}{}), nil
	})
}

func (c *Cloud) serveRulesets() {
	c.Handle("GET /api/v1/firewall-rulesets", func(*fakekit.Call) (any, error) {
		for _, r := range c.rulesets.All() {
			r.Instances = c.users(r.ID)
		}
		return data(c.rulesets.All()), nil
	})
	c.Handle("POST /api/v1/firewall-rulesets", c.createRuleset)
	c.Handle("PATCH /api/v1/firewall-rulesets/{id}", func(call *fakekit.Call) (any, error) {
		var in struct {
			Name  string  `json:"name"`
			Rules *[]Rule `json:"rules"`
		}
		if err := decode(call, &in); err != nil {
			return nil, err
		}
		r := c.rulesets.Get(call.Value("id"))
		if r == nil {
			return nil, missing("Firewall ruleset")
		}
		if in.Rules != nil {
			if err := checkRules(*in.Rules); err != nil {
				return nil, err
			}
			r.Rules = *in.Rules
		}
		return data(r), nil
	})
	c.Handle("DELETE /api/v1/firewall-rulesets/{id}", func(call *fakekit.Call) (any, error) {
		id := call.Value("id")
		switch {
		case c.rulesets.Get(id) == nil:
			return nil, missing("Firewall ruleset")
		case len(c.users(id)) > 0:
			return nil, fakekit.Refusef(http.StatusBadRequest, "firewall-rulesets/firewall-ruleset-in-use", "It is in use.")
		}
		c.rulesets.Delete(id)
		return data(struct{}{}), nil
	})
}

func (c *Cloud) createRuleset(call *fakekit.Call) (any, error) {
	var in struct {
		Name   string `json:"name"`
		Region string `json:"region"`
		Rules  []Rule `json:"rules"`
	}
	if err := decode(call, &in); err != nil {
		return nil, err
	}
	if in.Name == "" || len(in.Name) > 64 || !slices.Contains(Regions(), in.Region) || in.Rules == nil {
		return nil, invalid("name %q, region %q or rules", in.Name, in.Region)
	}
	if err := checkRules(in.Rules); err != nil {
		return nil, err
	}
	r := &Ruleset{ID: c.id(), Name: in.Name, Region: Region{in.Region, in.Region}, Rules: in.Rules, Created: c.Now().UTC(), Instances: []string{}}
	c.rulesets.Add(r.ID, r)
	return data(r), nil
}

// users are the machines behind a ruleset.
func (c *Cloud) users(id string) []string {
	out := []string{}
	for _, m := range c.machines.All() {
		if m.Status != "preempted" && slices.Contains(m.Rulesets, Reference{id}) {
			out = append(out, m.ID)
		}
	}
	return out
}

// checkRules refuses what the API does not take.
func checkRules(rules []Rule) error {
	for _, r := range rules {
		_, perr := netip.ParsePrefix(r.Source)
		a, aerr := netip.ParseAddr(r.Source)
		p, _ := netip.ParsePrefix(r.Source)
		four := (perr == nil && p.Addr().Is4()) || (aerr == nil && a.Is4())
		bounded := len(r.Ports) == 2 && r.Ports[0] >= 1 && r.Ports[0] <= r.Ports[1] && r.Ports[1] <= 65535
		switch {
		case !slices.Contains([]string{"tcp", "udp", "icmp", "all"}, r.Protocol):
			return invalid("protocol %q", r.Protocol)
		case !four:
			return invalid("source_network %q", r.Source)
		case (r.Protocol == "icmp") == (r.Ports != nil) || (r.Protocol != "icmp" && !bounded):
			return invalid("port_range %v of %s", r.Ports, r.Protocol)
		case len(r.Description) > 128:
			return invalid("description: %d characters", len(r.Description))
		}
	}
	return nil
}
