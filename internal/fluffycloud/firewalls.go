// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
)

const maxRules = 200

func checkRules(rules []FirewallRule) error {
	if len(rules) > maxRules {
		return invalid("rules", "are %d; at most %d are allowed", len(rules), maxRules)
	}
	for i, r := range rules {
		at := "rules[" + strconv.Itoa(i) + "]"
		if r.FromPort < 1 || r.ToPort > 65535 || r.FromPort > r.ToPort {
			return invalid(at, "ports %d-%d are not an ascending range from 1 to 65535", r.FromPort, r.ToPort)
		}
		if len(r.CIDRs) == 0 {
			return invalid(at+".cidrs", "is empty")
		}
		for _, cidr := range r.CIDRs {
			if _, err := netip.ParsePrefix(cidr); err != nil {
				return invalid(at+".cidrs", "%q is not a network such as %q", cidr, "127.0.0.1/32")
			}
		}
	}
	return nil
}

func (s *Server) createFirewall(ctx context.Context, c *call) (reply, error) {
	var in struct {
		Name   string            `json:"name"`
		Region string            `json:"region"`
		Tags   map[string]string `json:"tags"`
		Rules  []FirewallRule    `json:"rules"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := checkName(in.Name); err != nil {
		return reply{}, err
	}
	if !findRegion(in.Region) {
		return reply{}, invalid("region", "there is no region %q", in.Region)
	}
	if err := checkTags(in.Tags); err != nil {
		return reply{}, err
	}
	if err := checkRules(in.Rules); err != nil {
		return reply{}, err
	}
	if err := s.suffer(ctx, c, "firewall", subject{region: in.Region, name: in.Name}); err != nil {
		return reply{}, err
	}
	fw := Firewall{ID: "fw-" + randomHex(8), Name: in.Name, Region: in.Region, CreatedAt: s.clock.Now().UTC(), Tags: orEmpty(in.Tags), Rules: in.Rules}
	if fw.Rules == nil {
		fw.Rules = []FirewallRule{}
	}
	err := s.store.update(func(t *tx) error {
		same, err := all(t, bucketFirewalls, func(f Firewall) bool { return f.Name == in.Name && f.Region == in.Region })
		if err != nil {
			return err
		}
		if len(same) > 0 {
			return conflict("there is a firewall named %q in %s already: %s", in.Name, in.Region, same[0].ID)
		}
		return put(t, bucketFirewalls, fw.ID, fw)
	})
	return reply{http.StatusCreated, map[string]any{"firewall": fw}}, err
}

func (s *Server) listFirewalls(ctx context.Context, c *call) (reply, error) {
	q := c.URL.Query()
	if err := s.suffer(ctx, c, "firewall", subject{region: q.Get("region")}); err != nil {
		return reply{}, err
	}
	tags, err := tagFilter(c)
	if err != nil {
		return reply{}, err
	}
	var fws []Firewall
	err = s.store.view(func(t *tx) (err error) {
		fws, err = all(t, bucketFirewalls, func(f Firewall) bool {
			return !c.effect.Empty && hasTags(f.Tags, tags) && matches(q.Get("region"), f.Region) && matches(q.Get("name"), f.Name)
		})
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return page(c, "firewalls", fws, func(f Firewall) string { return f.ID })
}

// loadFirewall reads the firewall of the path and lets the call's fault strike.
func (s *Server) loadFirewall(ctx context.Context, c *call) (Firewall, error) {
	var fw Firewall
	err := s.store.view(func(t *tx) (err error) {
		fw, err = fetch[Firewall](t, bucketFirewalls, "firewall", c.PathValue("id"))
		return err
	})
	if faultErr := s.suffer(ctx, c, "firewall", subject{region: fw.Region, name: fw.Name}); faultErr != nil {
		return fw, faultErr
	}
	return fw, err
}

func (s *Server) getFirewall(ctx context.Context, c *call) (reply, error) {
	fw, err := s.loadFirewall(ctx, c)
	return reply{http.StatusOK, map[string]any{"firewall": fw}}, err
}

func (s *Server) deleteFirewall(ctx context.Context, c *call) (reply, error) {
	fw, err := s.loadFirewall(ctx, c)
	if err != nil || c.effect.Silent {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{status: http.StatusNoContent}, s.store.update(func(t *tx) error {
		users, err := all(t, bucketInstances, func(i instance) bool { return i.FirewallID == fw.ID && !i.State.gone() })
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return apiErrorf(http.StatusConflict, "in_use", "firewall %s is in use by instance %s", fw.ID, users[0].ID)
		}
		return remove(t, bucketFirewalls, fw.ID)
	})
}

func (s *Server) setFirewallRules(ctx context.Context, c *call) (reply, error) {
	var in struct {
		Rules []FirewallRule `json:"rules"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	if err := checkRules(in.Rules); err != nil {
		return reply{}, err
	}
	fw, err := s.loadFirewall(ctx, c)
	if err != nil || c.effect.Silent {
		return reply{http.StatusOK, map[string]any{"firewall": fw}}, err
	}
	err = s.store.update(func(t *tx) error {
		if fw, err = fetch[Firewall](t, bucketFirewalls, "firewall", fw.ID); err != nil {
			return err
		}
		fw.Rules = in.Rules
		if fw.Rules == nil {
			fw.Rules = []FirewallRule{}
		}
		return put(t, bucketFirewalls, fw.ID, fw)
	})
	return reply{http.StatusOK, map[string]any{"firewall": fw}}, err
}
