// SPDX-License-Identifier: MPL-2.0

package runpodfake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// add makes a pod, under the lock.
func (f *Cloud) add(in Order) *Pod {
	f.serial++
	p := &Pod{
		ID: fmt.Sprintf("pod%05dxyz", f.serial), Name: in.Name, Image: in.Image, Args: in.Args, Disk: cmp.Or(in.Disk, 20), Ports: in.Ports, Env: in.Env,
		Registry: in.Registry, Status: Provisioning, Actions: []string{"stop", "terminate"}, Mounts: map[string]any{}, Cloud: in.Cloud,
		SSH: map[string]any{"proxy": nil, "direct": nil}, Cost: 0.44, GlobalNetworking: map[string]any{"enabled": false}, CreatedAt: f.Now(), Order: in, Number: f.serial,
	}
	if p.Ports == nil {
		p.Ports = []string{}
	}
	p.GPU = map[string]any{"id": "NVIDIA A40", "count": 1}
	if in.GPU != nil {
		p.GPU = map[string]any{"id": in.GPU.ID, "count": in.GPU.Count}
		if in.GPU.Count == 1 {
			delete(p.GPU, "count") // the official description requires none, and says that it is 1 then
		}
	}
	if in.Mounts != nil {
		p.Mounts["network"] = in.Mounts.Network
	}
	f.pods.Add(p.ID, p)
	return p
}

// drop takes a pod away, under the lock.
func (f *Cloud) drop(p *Pod) {
	if p.end != nil {
		p.end()
		p.end = nil
	}
	if p.Status = Terminated; !f.opts.Remembers {
		f.pods.Delete(p.ID)
	}
}

// settle lets pods come up, a step at a time.
func (f *Cloud) settle() {
	for _, p := range f.pods.All() {
		age := f.Now().Sub(p.CreatedAt)
		for _, step := range []struct {
			from, to string
			age      time.Duration
		}{{Provisioning, Starting, f.opts.Placed}, {Starting, Running, f.opts.Started}} {
			if p.Status == step.from && p.Status != p.Stays && age > step.age {
				p.Status = step.to
				f.entered(p)
			}
		}
		if p.Status == Running && p.Runtime == nil && f.Now().After(p.Mapped) && p.Stays != Running {
			f.mapPorts(p)
		}
		if p.Status == p.Goes {
			f.drop(p)
		}
	}
}

// entered is what comes with a new status.
func (f *Cloud) entered(p *Pod) {
	switch p.Status {
	case Starting:
		at := "US-KS-2"
		if i := slices.IndexFunc(p.Order.DataCenterIDs, func(at string) bool { return !f.dry[at] }); i >= 0 {
			at = p.Order.DataCenterIDs[i]
		}
		if p.DataCenterID == nil {
			p.DataCenterID = &at
		}
	case Running:
		now := f.Now()
		p.StartedAt, p.Actions = &now, []string{"stop", "restart", "terminate"}
	}
}

// mapPorts gives each port another one outside.
func (f *Cloud) mapPorts(p *Pod) {
	ip, ssh := fmt.Sprintf("127.66.%d.%d", p.Number/250%250, p.Number%250+2), uint16(40022)
	if f.opts.Boot != nil {
		var end func()
		ip, ssh, end = f.opts.Boot(p)
		p.end = end
	}
	p.Runtime = &Runtime{Uptime: 1, Ports: []Port{}}
	for i, text := range p.Ports {
		word, kind, _ := strings.Cut(text, "/")
		private, _ := strconv.Atoi(word)
		public := 41000 + i
		if private == sshPort {
			public = int(ssh)
			p.SSH["direct"] = map[string]any{"host": ip, "port": public, "username": "root", "command": fmt.Sprintf("ssh root@%s -p %d", ip, public)}
		}
		p.Runtime.Ports = append(p.Runtime.Ports, Port{Private: private, Public: &public, Type: kind, IP: &ip})
	}
}

// Newest is the pod that was made last, to be changed under the lock.
func (f *Cloud) Newest() *Pod {
	all := f.pods.All()
	return all[len(all)-1]
}

// Pods are the pods that are not gone, as they are now.
func (f *Cloud) Pods() (out []Pod) {
	f.Locked(func() {
		for _, p := range f.pods.All() {
			if p.Status != Terminated {
				out = append(out, *p)
			}
		}
	})
	return out
}

// Edit changes a pod.
func (f *Cloud) Edit(id string, change func(*Pod)) {
	f.Locked(func() {
		if p := f.pods.Get(id); p != nil {
			change(p)
		}
	})
}

// Add makes a pod that runs, behind everybody's back.
func (f *Cloud) Add(order Order) (id string) {
	f.Locked(func() {
		p := f.add(order)
		id, p.Status = p.ID, Running
	})
	return id
}

// Remove takes a pod away at once, as if its host had failed.
func (f *Cloud) Remove(id string) { f.Edit(id, f.drop) }

// Fill takes the room in data centers.
func (f *Cloud) Fill(dataCenters ...string) {
	f.Locked(func() {
		for _, at := range dataCenters {
			f.dry[at] = true
		}
	})
}
