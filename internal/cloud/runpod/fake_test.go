// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	names "github.com/skybroker/terraform-provider-sky/catalogs/runpod"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// full is what RunPod says where there is no room.
const full = "There are no longer any instances available with the requested specifications. Please refresh and try again."

// fakeKey is an API key that the fake lets in.
const fakeKey = "rpa_GOODKEY0123456789"

// fake is a RunPod that keeps state: what the API promises, and no more. It has no
// token for launches, takes one name twice, and forgets what is gone.
type fake struct {
	*fakekit.Kit
	pods   fakekit.Table[fakePod]
	serial int
	// remembers keeps those that are gone on the lists, as terminated.
	remembers bool
	// dry are data centers that have no room.
	dry map[string]bool
	// boot starts what listens on a pod that begins to run, and returns its address
	// and its port there; nil is that nothing does. The other function ends it.
	boot func(*fakePod) (ip string, port uint16, end func())
}

// fakePod is a pod as the API answers. Its fields are those that the official
// description requires.
type fakePod struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	Image            string            `json:"image"`
	Args             string            `json:"args"`
	Disk             int               `json:"disk"`
	Ports            []string          `json:"ports"`
	Env              map[string]string `json:"env"`
	Registry         *string           `json:"registry"`
	Status           string            `json:"status"`
	Actions          []string          `json:"actions"`
	Mounts           map[string]any    `json:"mounts"`
	GPU              map[string]any    `json:"gpu"`
	Cloud            string            `json:"cloud"`
	DataCenterID     *string           `json:"dataCenterId"`
	CudaVersion      *string           `json:"cudaVersion"`
	SSH              map[string]any    `json:"ssh"`
	Cluster          map[string]any    `json:"cluster,omitempty"`
	Template         *string           `json:"template"`
	Cost             float64           `json:"cost"`
	Locked           bool              `json:"locked"`
	GlobalNetworking map[string]any    `json:"globalNetworking"`
	Runtime          *fakeRuntime      `json:"runtime"`
	CreatedAt        time.Time         `json:"createdAt"`
	StartedAt        *time.Time        `json:"startedAt"`

	order  fakeOrder
	number int
	// stays keeps it from leaving a status, goes makes it vanish once it is there.
	stays, goes string
	// mapped is when a pod that runs has its ports.
	mapped time.Time
	end    func()
}

type fakeRuntime struct {
	Uptime int        `json:"uptime"`
	Ports  []fakePort `json:"ports"`
}

type fakePort struct {
	Private int     `json:"private"`
	Public  *int    `json:"public"`
	Type    string  `json:"type"`
	IP      *string `json:"ip"`
}

// fakeOrder is all that a launch may say of what this driver uses; a field that
// RunPod does not have is refused, as RunPod does.
type fakeOrder struct {
	Name          string            `json:"name"`
	Image         string            `json:"image"`
	Args          string            `json:"args"`
	Disk          int               `json:"disk"`
	Ports         []string          `json:"ports"`
	Env           map[string]string `json:"env"`
	Cloud         string            `json:"cloud"`
	DataCenterIDs []string          `json:"dataCenterIds"`
	Registry      *string           `json:"registry"`
	GPU           *struct {
		ID             string `json:"id"`
		Count          int    `json:"count"`
		MinCudaVersion string `json:"minCudaVersion"`
	} `json:"gpu"`
	Mounts *struct {
		Network []struct {
			VolumeID string `json:"volumeId"`
			Path     string `json:"path"`
		} `json:"network"`
	} `json:"mounts"`
}

// fakeGPU is a device of the fake's catalog.
type fakeGPU struct {
	id, name     string
	memory, most int
	price        float64
	centers      []string
}

func fakeGPUs() []fakeGPU {
	return []fakeGPU{
		{"NVIDIA A40", "A40", 48, 8, 0.44, []string{"US-KS-2", "US-TX-3", "CA-MTL-1", "EU-RO-1"}},
		{"NVIDIA H100 80GB HBM3", "H100 SXM", 80, 8, 3.99, []string{"US-KS-2", "EUR-IS-1"}},
		{"NVIDIA A100 80GB PCIe", "A100 PCIe", 80, 8, 1.79, []string{"US-KS-2"}},
	}
}

func startFake(t testing.TB, visibleAfter time.Duration) *fake {
	f := &fake{dry: map[string]bool{}}
	f.Kit = fakekit.Start(t, fakekit.Options{
		Tokens: map[string]string{fakeKey: "somebody", fakeKey + "-2": "another"}, VisibleAfter: visibleAfter, Settle: f.settleAll,
		Audit: fakekit.AuditBySpec(t, "runpod-v2.openapi.json"),
		Shape: func(r fakekit.Refusal) any {
			return map[string]any{"title": http.StatusText(r.Status), "status": r.Status, "detail": r.Message}
		},
	})
	f.pods.Kit = f.Kit
	f.Handle("GET /v2/catalog/gpus", f.catalog)
	f.Handle("POST /v2/pods", f.create)
	f.Handle("GET /v2/pods", func(c *fakekit.Call) (any, error) {
		all := f.pods.Listed()
		if c.Query.Get("includeClusterPods") != "true" {
			all = slices.DeleteFunc(all, func(p *fakePod) bool { return p.Cluster != nil })
		}
		return map[string]any{"pods": all}, nil
	})
	f.Handle("GET /v2/pods/{id}", func(c *fakekit.Call) (any, error) {
		p, err := f.pods.Find(c.Value("id"))
		return p, err
	})
	f.Handle("PATCH /v2/pods/{id}", func(c *fakekit.Call) (any, error) {
		var in struct {
			Name string `json:"name"`
		}
		p, err := f.pods.Find(c.Value("id"))
		if err == nil {
			err = c.Decode(&in)
		}
		if err != nil {
			return nil, err
		}
		p.Name = in.Name
		return p, nil
	})
	f.Handle("DELETE /v2/pods/{id}", func(c *fakekit.Call) (any, error) {
		p, err := f.pods.Find(c.Value("id"))
		if err == nil && p.Cluster != nil {
			err = fakekit.Refusef(http.StatusConflict, "", "pod belongs to a cluster")
		}
		if err != nil {
			return nil, err
		}
		f.drop(p)
		return nil, nil
	})
	return f
}

func (f *fake) catalog(c *fakekit.Call) (any, error) {
	if c.Query.Get("include") == "AVAILABILITY" && c.Query.Get("product") == "" {
		return nil, fakekit.Refusef(http.StatusBadRequest, "", "include=AVAILABILITY requires product")
	}
	count := 1
	if n := c.Query.Get("count"); n != "" {
		count, _ = strconv.Atoi(n)
	}
	countries := c.Query.Get("countryCodes")
	gpus := []any{}
	for _, g := range fakeGPUs() {
		centers, best := []any{}, "NONE"
		for i, at := range g.centers {
			if countries != "" && !slices.Contains(strings.Split(countries, ","), names.Country(at)) {
				continue
			}
			level := []string{"LOW", "HIGH", "MEDIUM"}[i%3]
			if f.dry[at] || count > g.most {
				level = "NONE"
			} else {
				best = "HIGH"
			}
			centers = append(centers, map[string]any{"id": at, "name": at, "availability": level})
		}
		if len(centers) == 0 {
			continue
		}
		out := map[string]any{
			"id": g.id, "name": g.name, "pool": nil, "manufacturer": "NVIDIA", "memory": g.memory, "secure": true, "community": false,
			"price": map[string]any{"secure": g.price, "community": 0}, "maxCount": map[string]any{"secure": g.most, "community": 0},
		}
		if c.Query.Get("include") == "AVAILABILITY" {
			out["availability"] = best
			if best != "NONE" {
				out["dataCenters"] = centers
			}
		}
		gpus = append(gpus, out)
	}
	return map[string]any{"gpus": gpus}, nil
}

func (f *fake) create(c *fakekit.Call) (any, error) {
	var in fakeOrder
	if err := c.Decode(&in); err != nil {
		return nil, fakekit.Refusef(http.StatusUnprocessableEntity, "", "Request validation failed: %v", err)
	}
	switch {
	case in.Name == "" || in.Image == "":
		return nil, fakekit.Refusef(http.StatusUnprocessableEntity, "", "Request validation failed.")
	case in.GPU == nil:
		return nil, fakekit.Refusef(http.StatusBadRequest, "", "exactly one of gpu and cpu must be set")
	case !slices.ContainsFunc(in.DataCenterIDs, func(at string) bool { return !f.dry[at] }):
		return nil, fakekit.Refusef(http.StatusBadRequest, "", "%s", full)
	}
	return fakekit.Reply{Status: http.StatusCreated, Body: f.add(in)}, nil
}

// add makes a pod, under the lock.
func (f *fake) add(in fakeOrder) *fakePod {
	f.serial++
	p := &fakePod{
		ID: fmt.Sprintf("pod%05dxyz", f.serial), Name: in.Name, Image: in.Image, Args: in.Args, Disk: cmp.Or(in.Disk, 20), Ports: in.Ports, Env: in.Env,
		Registry: in.Registry, Status: statusProvisioning, Actions: []string{"stop", "terminate"}, Mounts: map[string]any{}, Cloud: in.Cloud,
		SSH: map[string]any{"proxy": nil, "direct": nil}, Cost: 0.44, GlobalNetworking: map[string]any{"enabled": false}, CreatedAt: f.Now(), order: in, number: f.serial,
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
func (f *fake) drop(p *fakePod) {
	if p.end != nil {
		p.end()
		p.end = nil
	}
	if p.Status = statusTerminated; !f.remembers {
		f.pods.Delete(p.ID)
	}
}

// settleAll lets pods come up, a step at a time.
func (f *fake) settleAll() {
	for _, p := range f.pods.All() {
		age := f.Now().Sub(p.CreatedAt)
		for _, step := range []struct {
			from, to string
			age      time.Duration
		}{{statusProvisioning, statusStarting, 2 * time.Millisecond}, {statusStarting, statusRunning, 4 * time.Millisecond}} {
			if p.Status == step.from && p.Status != p.stays && age > step.age {
				p.Status = step.to
				f.entered(p)
			}
		}
		if p.Status == statusRunning && p.Runtime == nil && f.Now().After(p.mapped) && p.stays != statusRunning {
			f.mapPorts(p)
		}
		if p.Status == p.goes {
			f.drop(p)
		}
	}
}

// entered is what comes with a new status.
func (f *fake) entered(p *fakePod) {
	switch p.Status {
	case statusStarting:
		at := "US-KS-2"
		if i := slices.IndexFunc(p.order.DataCenterIDs, func(at string) bool { return !f.dry[at] }); i >= 0 {
			at = p.order.DataCenterIDs[i]
		}
		if p.DataCenterID == nil {
			p.DataCenterID = &at
		}
	case statusRunning:
		now := f.Now()
		p.StartedAt, p.Actions = &now, []string{"stop", "restart", "terminate"}
	}
}

// mapPorts gives each port another one outside.
func (f *fake) mapPorts(p *fakePod) {
	ip, ssh := fmt.Sprintf("127.66.%d.%d", f.serial/250%250, f.serial%250+2), uint16(40022)
	if f.boot != nil {
		var end func()
		ip, ssh, end = f.boot(p)
		p.end = end
	}
	p.Runtime = &fakeRuntime{Uptime: 1, Ports: []fakePort{}}
	for i, text := range p.Ports {
		word, kind, _ := strings.Cut(text, "/")
		private, _ := strconv.Atoi(word)
		public := 41000 + i
		if private == sshPort {
			public = int(ssh)
			p.SSH["direct"] = map[string]any{"host": ip, "port": public, "username": "root", "command": fmt.Sprintf("ssh root@%s -p %d", ip, public)}
		}
		p.Runtime.Ports = append(p.Runtime.Ports, fakePort{Private: private, Public: &public, Type: kind, IP: &ip})
	}
}

// newest is the pod that was made last, under the lock.
func (f *fake) newest() *fakePod {
	all := f.pods.All()
	return all[len(all)-1]
}

// started is the inverse of startCommand.
func started(command string) []byte {
	_, rest, _ := strings.Cut(command, "echo ")
	text, _, _ := strings.Cut(rest, " | ")
	script, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return script
}

// tagged is the environment of a pod with these tags.
func tagged(tags map[string]string) map[string]string {
	text, err := json.Marshal(tags)
	if err != nil {
		panic(err) // a map of texts
	}
	return map[string]string{envTags: string(text)}
}
