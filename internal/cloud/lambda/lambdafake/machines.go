// SPDX-License-Identifier: MPL-2.0

package lambdafake

import (
	"net/http"
	"slices"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Names of calls, for faults and counts.
const (
	CallLaunch    = "POST /api/v1/instance-operations/launch"
	CallTerminate = "POST /api/v1/instance-operations/terminate"
	CallList      = "GET /api/v1/instances"
	CallGet       = "GET /api/v1/instances/{id}"
	CallRename    = "POST /api/v1/instances/{id}"
	CallTypes     = "GET /api/v1/instance-types"
)

func (c *Cloud) serveMachines() {
	c.Handle(CallTypes, func(*fakekit.Call) (any, error) {
		out := map[string]any{}
		for _, t := range types() {
			free := []Region{}
			for _, r := range Regions() {
				if !c.isFull(t.Name, r) {
					free = append(free, Region{r, r})
				}
			}
			out[t.Name] = map[string]any{"instance_type": t, "regions_with_capacity_available": free}
		}
		return data(out), nil
	})
	c.Handle("GET /api/v1/images", func(*fakekit.Call) (any, error) {
		var all []Image
		for _, r := range Regions() {
			all = append(all, images(r)...)
		}
		return data(all), nil
	})
	c.Handle(CallLaunch, c.launch)
	c.Handle(CallList, func(*fakekit.Call) (any, error) { return data(c.machines.Listed()), nil })
	c.Handle(CallGet, func(call *fakekit.Call) (any, error) {
		m, err := c.machine(call.Value("id"))
		return data(m), err
	})
	c.Handle(CallRename, func(call *fakekit.Call) (any, error) {
		var in struct {
			Name *string `json:"name"`
		}
		if err := decode(call, &in); err != nil {
			return nil, err
		}
		m, err := c.machine(call.Value("id"))
		switch {
		case err != nil:
			return nil, err
		case in.Name != nil && len(*in.Name) > 64:
			return nil, invalid("name: %d characters", len(*in.Name))
		case c.silent > 0:
			c.silent--
		case in.Name != nil:
			m.Name = *in.Name
		}
		return data(m), nil
	})
	c.Handle(CallTerminate, c.terminate)
}

// decode reads a body; what the API does not know is an error of the caller's.
func decode(call *fakekit.Call, into any) error {
	if err := call.Decode(into); err != nil {
		return invalid("%v", err)
	}
	return nil
}

func (c *Cloud) machine(id string) (*Machine, error) {
	if m := c.machines.Get(id); m != nil {
		return m, nil
	}
	return nil, missing("Instance " + id)
}

func (c *Cloud) launch(call *fakekit.Call) (any, error) {
	var in Order
	if err := decode(call, &in); err != nil {
		return nil, err
	}
	if err := c.checkOrder(in); err != nil {
		return nil, err
	}
	if c.isFull(in.Type, in.Region) {
		return nil, NoRoom()
	}
	return data(map[string]any{"instance_ids": []string{c.add(in).ID}}), nil
}

// checkOrder refuses what the API does not take.
func (c *Cloud) checkOrder(in Order) error {
	switch {
	case !slices.Contains(Regions(), in.Region):
		return invalid("region_name: there is no %q", in.Region)
	case !slices.ContainsFunc(types(), func(t Type) bool { return t.Name == in.Type }):
		return invalid("instance_type_name: there is no %q", in.Type)
	case len(in.Keys) != 1:
		return invalid("ssh_key_names: exactly one is to be named")
	case !slices.ContainsFunc(c.keys.All(), func(k *SSHKey) bool { return k.Name == in.Keys[0] }):
		return missing("SSH key " + in.Keys[0])
	case len(in.Name) > 64 || (in.Hostname != "" && !hostForm.MatchString(in.Hostname)):
		return invalid("name %q or hostname %q", in.Name, in.Hostname)
	case len(in.UserData) > 1<<20:
		return invalid("user_data: more than 1 MB")
	}
	if in.Image != nil && !slices.ContainsFunc(images(in.Region), in.fits) {
		return missing("Image " + in.Image.ID + in.Image.Family)
	}
	for _, t := range in.Tags {
		if !tagForm.MatchString(t.Key) || len(t.Key) > 55 || len(t.Value) > 128 {
			return invalid("tags: %q = %q", t.Key, t.Value)
		}
	}
	for _, ref := range in.Rulesets {
		r := c.rulesets.Get(ref.ID)
		switch {
		case r == nil:
			return missing("Firewall ruleset " + ref.ID)
		case r.Region.Name != in.Region:
			return invalid("firewall_rulesets: %s is in %s", r.ID, r.Region.Name)
		}
	}
	return nil
}

// fits reports whether an image is the one asked for, and runs on the machine.
func (in Order) fits(im Image) bool {
	arm := in.Type == "gpu_1x_gh200"
	return (im.ID == in.Image.ID || (in.Image.Family != "" && im.Family == in.Image.Family)) && (im.Architecture == "arm64") == arm
}

// add makes a machine, under the lock.
func (c *Cloud) add(in Order) *Machine {
	i := slices.IndexFunc(types(), func(t Type) bool { return t.Name == in.Type })
	m := &Machine{
		ID: c.id(), Name: in.Name, Hostname: in.Hostname, Status: "booting", Keys: append([]string{}, in.Keys...), Files: append([]string{}, in.Files...),
		Region: Region{in.Region, in.Region}, Type: types()[i], Tags: in.Tags, Rulesets: in.Rulesets, Token: "jupyter-secret", Order: in,
		born: c.Now(), Actions: actions("booting"),
	}
	if c.opts.DropTags {
		m.Tags = nil
	}
	c.machines.Add(m.ID, m)
	return m
}

func (c *Cloud) terminate(call *fakekit.Call) (any, error) {
	var in struct {
		IDs []string `json:"instance_ids"`
	}
	if err := decode(call, &in); err != nil {
		return nil, err
	}
	var ending []*Machine
	for _, id := range in.IDs {
		m, err := c.machine(id)
		switch {
		case err != nil:
			return nil, err // for all of them
		case m.Status == "terminating" || m.Status == "terminated":
			return nil, fakekit.Refusef(http.StatusInternalServerError, "global/unknown", "An unknown error occurred.")
		}
		ending = append(ending, m)
	}
	for _, m := range ending {
		m.Status, m.ends, m.Actions = "terminating", c.Now().Add(c.opts.EndTime), actions("terminating")
	}
	return data(map[string]any{"terminated_instances": ending}), nil
}
