// SPDX-License-Identifier: MPL-2.0

package pond

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// full is what Pond says where a region has no room.
const full = "The specified size is not available in this region"

// pond is a fake of Pond that keeps state: what the API promises, and no more. It
// takes two launches of one name for two droplets, and forgets what is gone.
type pond struct {
	*fakekit.Kit
	droplets  fakekit.Table[fakeDroplet]
	firewalls fakekit.Table[firewall]
	serial    int
}

type fakeDroplet struct {
	ID        int                 `json:"id"`
	Name      string              `json:"name"`
	Status    string              `json:"status"`
	SizeSlug  string              `json:"size_slug"`
	Region    map[string]string   `json:"region"`
	CreatedAt time.Time           `json:"created_at"`
	Tags      []string            `json:"tags"`
	Networks  map[string][]fakeIP `json:"networks"`

	// StatusReason says why it is errored.
	StatusReason string `json:"status_reason,omitempty"`

	order fakeOrder
	// fails is a droplet that gets no room after all; addressed is when one that
	// runs has its addresses.
	fails     bool
	addressed time.Time
}

type fakeIP struct {
	IPAddress string `json:"ip_address"`
	Type      string `json:"type"`
}

type fakeOrder struct {
	Name     string   `json:"name"`
	Region   string   `json:"region"`
	Size     string   `json:"size"`
	Image    string   `json:"image"`
	UserData string   `json:"user_data"`
	Tags     []string `json:"tags"`
}

func startPond(t testing.TB, visibleAfter time.Duration) *pond {
	p := &pond{}
	p.Kit = fakekit.Start(t, fakekit.Options{
		Tokens: map[string]string{"good": "account-1"}, VisibleAfter: visibleAfter, Settle: p.settleAll,
		Shape: func(r fakekit.Refusal) any { return map[string]string{"id": r.Code, "message": r.Message} },
	})
	p.droplets.Kit, p.firewalls.Kit = p.Kit, p.Kit
	p.HandleFunc("GET /caller", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "127.0.0.1") })
	p.Handle("GET /v2/account", func(c *fakekit.Call) (any, error) {
		return map[string]any{"account": map[string]string{"uuid": c.Who, "email": "somebody@pond.example"}}, nil
	})
	p.serveDroplets()
	p.serveFirewalls()
	return p
}

func (p *pond) serveDroplets() {
	p.Handle("POST /v2/droplets", func(c *fakekit.Call) (any, error) {
		var in fakeOrder
		if err := c.Decode(&in); err != nil {
			return nil, err
		}
		if !slices.Contains([]string{defaultImage, "debian-13-x64"}, in.Image) {
			return nil, fakekit.Refusef(http.StatusUnprocessableEntity, "unprocessable_entity", "You specified an invalid image for Droplet creation.")
		}
		return map[string]any{"droplet": p.add(in)}, nil
	})
	p.Handle("GET /v2/droplets", func(c *fakekit.Call) (any, error) {
		all, tag := p.droplets.Listed(), c.Query.Get("tag_name")
		all = slices.DeleteFunc(all, func(d *fakeDroplet) bool { return tag != "" && !slices.Contains(d.Tags, tag) })
		items, next := fakekit.Page(all, c.Query.Get("page"), 2)
		return map[string]any{"items": items, "next": next}, nil
	})
	p.Handle("GET /v2/droplets/{id}", func(c *fakekit.Call) (any, error) {
		d, err := p.droplets.Find(c.Value("id"))
		return map[string]any{"droplet": d}, err
	})
	p.Handle("DELETE /v2/droplets/{id}", func(c *fakekit.Call) (any, error) {
		_, err := p.droplets.Find(c.Value("id"))
		p.droplets.Delete(c.Value("id"))
		return nil, err
	})
	p.Handle("POST /v2/droplets/{id}/actions", func(c *fakekit.Call) (any, error) {
		d, err := p.droplets.Find(c.Value("id"))
		if err == nil {
			d.Status = "active"
		}
		return nil, err
	})
	for method, change := range map[string]func(*fakeDroplet, string){
		"POST": func(d *fakeDroplet, tag string) { d.Tags = append(d.Tags, tag) },
		"DELETE": func(d *fakeDroplet, tag string) {
			d.Tags = slices.DeleteFunc(slices.Clone(d.Tags), func(have string) bool { return have == tag })
		},
	} {
		p.Handle(method+" /v2/tags/{tag}/resources", func(c *fakekit.Call) (any, error) {
			var in struct {
				Droplet string `json:"droplet"`
			}
			if err := c.Decode(&in); err != nil {
				return nil, err
			}
			d, err := p.droplets.Find(in.Droplet)
			if err == nil {
				change(d, c.Value("tag"))
			}
			return nil, err
		})
	}
}

func (p *pond) serveFirewalls() {
	decoded := func(c *fakekit.Call, id string) (*firewall, error) {
		f := &firewall{ID: id, CreatedAt: p.Now()}
		return f, c.Decode(f)
	}
	p.Handle("POST /v2/firewalls", func(c *fakekit.Call) (any, error) {
		p.serial++
		f, err := decoded(c, fmt.Sprint("fw-", p.serial))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(p.firewalls.All(), func(other *firewall) bool { return other.Name == f.Name }) {
			return nil, fakekit.Refusef(http.StatusConflict, "conflict", "there is a firewall of that name")
		}
		p.firewalls.Add(f.ID, f)
		return map[string]any{"firewall": f}, nil
	})
	p.Handle("GET /v2/firewalls", func(c *fakekit.Call) (any, error) {
		items, next := fakekit.Page(p.firewalls.All(), c.Query.Get("page"), 2)
		return map[string]any{"items": items, "next": next}, nil
	})
	p.Handle("PUT /v2/firewalls/{id}", func(c *fakekit.Call) (any, error) {
		have, err := p.firewalls.Find(c.Value("id"))
		if err != nil {
			return nil, err
		}
		f, err := decoded(c, have.ID)
		if err == nil {
			*have = *f
		}
		return nil, err
	})
	p.Handle("DELETE /v2/firewalls/{id}", func(c *fakekit.Call) (any, error) {
		_, err := p.firewalls.Find(c.Value("id"))
		p.firewalls.Delete(c.Value("id"))
		return nil, err
	})
}

// add makes a droplet, under the lock.
func (p *pond) add(in fakeOrder) *fakeDroplet {
	p.serial++
	d := &fakeDroplet{
		ID: p.serial, Name: in.Name, Status: "new", SizeSlug: in.Size, Region: map[string]string{"slug": in.Region},
		CreatedAt: p.Now(), Tags: in.Tags, Networks: map[string][]fakeIP{}, order: in,
	}
	p.droplets.Add(strconv.Itoa(d.ID), d)
	return d
}

// settleAll lets new droplets come up once they are a moment old.
func (p *pond) settleAll() {
	for _, d := range p.droplets.All() {
		if d.Status == "new" && p.Now().Sub(d.CreatedAt) > 2*time.Millisecond {
			d.Status = "active"
			if d.fails {
				d.Status, d.StatusReason = "errored", full
			}
		}
		if d.Status == "active" && p.Now().After(d.addressed) {
			d.Networks["v4"] = []fakeIP{{fmt.Sprintf("10.0.0.%d", d.ID%250), "private"}, {fmt.Sprintf("127.0.1.%d", d.ID%250), "public"}}
		}
	}
}

// newest is the droplet that was made last, under the lock.
func (p *pond) newest() *fakeDroplet {
	all := p.droplets.All()
	return all[len(all)-1]
}

// carries reports whether a droplet has one of the tags.
func (p *pond) carries(id string, tags []string) (has bool) {
	p.Locked(func() {
		d := p.droplets.Get(id)
		has = d != nil && slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(d.Tags, tag) })
	})
	return has
}

// rulesOf are the rules of the firewalls in front of a droplet.
func (p *pond) rulesOf(id string) (rules []inboundRule) {
	p.Locked(func() {
		d := p.droplets.Get(id)
		for _, f := range p.firewalls.All() {
			if d != nil && slices.ContainsFunc(f.Tags, func(tag string) bool { return slices.Contains(d.Tags, tag) }) {
				rules = append(rules, f.Inbound...)
			}
		}
	})
	return rules
}
