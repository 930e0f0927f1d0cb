// SPDX-License-Identifier: MPL-2.0

// Package runpodfake is a RunPod of its own for tests: it speaks the API v2 over
// HTTP, keeps pods, and takes nothing that the official OpenAPI file does not allow.
// The facts of it that are needed are in facts.json, against which every call and
// answer is held; where SKY_SPECS names the folder of that file, against the file as
// well.
package runpodfake

import (
	"cmp"
	_ "embed"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	names "github.com/skybroker/terraform-provider-sky/catalogs/runpod"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Spec is the name of the official OpenAPI file, and facts what is used of it.
const Spec = "runpod-v2.openapi.json"

//go:embed facts.json
var facts []byte

// Full is what RunPod says where there is no room.
const Full = "There are no longer any instances available with the requested specifications. Please refresh and try again."

// Key is an API key that every fake takes, and OtherKey that of another account.
const (
	Key      = "rpa_GOODKEY0123456789"
	OtherKey = "rpa_OTHERKEY012345678"
)

// Names of calls, for faults and counts.
const (
	CallCatalog = "GET /v2/catalog/gpus"
	CallCreate  = "POST /v2/pods"
	CallList    = "GET /v2/pods"
	CallGet     = "GET /v2/pods/{id}"
	CallRename  = "PATCH /v2/pods/{id}"
	CallDelete  = "DELETE /v2/pods/{id}"
)

// RunPod's words for what a pod does.
const (
	Provisioning = "PROVISIONING"
	Starting     = "STARTING"
	Running      = "RUNNING"
	Exited       = "EXITED"
	Broken       = "ERROR"
	Terminated   = "TERMINATED"
)

// sshPort is the port that is mapped to the pod's SSH server.
const sshPort = 22

// Options say how the cloud behaves. The zero value is prompt and honest.
type Options struct {
	// InMemory serves no port, for bubbles of testing/synctest.
	InMemory bool
	// Limits holds the API's limit of calls.
	Limits bool
	// Placed is how old a pod is when it has a host, Started when it runs; a prompt
	// cloud takes a few milliseconds.
	Placed, Started time.Duration
	// VisibleAfter is how long lists do not show a new pod.
	VisibleAfter time.Duration
	// Remembers keeps those that are gone on the lists, as terminated.
	Remembers bool
	// Boot starts what listens on a pod that begins to run, and returns its address
	// and its port there; nil is that nothing does. The other function ends it.
	Boot func(*Pod) (ip string, port uint16, end func())
	// OnViolation is told of what the API does not allow; by default that is an
	// error of the test.
	OnViolation func(error)
}

// Cloud is one account: what the API promises, and no more. It has no token for
// launches, takes one name twice, and forgets what is gone. The kit's lock guards it.
type Cloud struct {
	*fakekit.Kit

	opts   Options
	pods   fakekit.Table[Pod]
	serial int
	// dry are data centers that have no room.
	dry map[string]bool
}

// Pod is a pod as the API answers. Its fields are those that the official
// description requires.
type Pod struct {
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
	Runtime          *Runtime          `json:"runtime"`
	CreatedAt        time.Time         `json:"createdAt"`
	StartedAt        *time.Time        `json:"startedAt"`

	Order Order `json:"-"`
	// Number counts the pods of the cloud.
	Number int `json:"-"`
	// Stays keeps it from leaving a status, Goes makes it vanish once it is there.
	Stays string `json:"-"`
	Goes  string `json:"-"`
	// Mapped is when a pod that runs has its ports.
	Mapped time.Time `json:"-"`

	end func()
}

// Runtime is what runs of a pod.
type Runtime struct {
	Uptime int    `json:"uptime"`
	Ports  []Port `json:"ports"`
}

// Port is a mapped one.
type Port struct {
	Private int     `json:"private"`
	Public  *int    `json:"public"`
	Type    string  `json:"type"`
	IP      *string `json:"ip"`
}

// Order is all that a launch may say of what this driver uses; a field that
// RunPod does not have is refused, as RunPod does.
type Order struct {
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

// device is one of the catalog.
type device struct {
	id, name     string
	memory, most int
	price        float64
	centers      []string
}

func devices() []device {
	return []device{
		{"NVIDIA A40", "A40", 48, 8, 0.44, []string{"US-KS-2", "US-TX-3", "CA-MTL-1", "EU-RO-1"}},
		{"NVIDIA H100 80GB HBM3", "H100 SXM", 80, 8, 3.99, []string{"US-KS-2", "EUR-IS-1"}},
		{"NVIDIA A100 80GB PCIe", "A100 PCIe", 80, 8, 1.79, []string{"US-KS-2"}},
	}
}

// Start runs a cloud until the end of the test.
func Start(t testing.TB, opts Options) *Cloud {
	t.Helper()
	opts.Placed, opts.Started = cmp.Or(opts.Placed, 2*time.Millisecond), cmp.Or(opts.Started, 4*time.Millisecond)
	f := &Cloud{opts: opts, dry: map[string]bool{}}
	f.Kit = fakekit.Start(t, fakekit.Options{
		Tokens: map[string]string{Key: "somebody", OtherKey: "another"}, VisibleAfter: opts.VisibleAfter, Settle: f.settle,
		InMemory: opts.InMemory, OnViolation: opts.OnViolation, Audit: fakekit.AuditBySpec(t, facts, Spec),
		Shape: func(r fakekit.Refusal) any {
			return map[string]any{"title": http.StatusText(r.Status), "status": r.Status, "detail": r.Message}
		},
	})
	if opts.Limits {
		f.Limit("*", 60, time.Minute)
	}
	f.pods.Kit = f.Kit
	f.Handle(CallCatalog, f.catalog)
	f.Handle(CallCreate, f.create)
	f.Handle(CallDelete, f.remove)
	f.Handle(CallRename, f.rename)
	f.Handle(CallList, func(c *fakekit.Call) (any, error) {
		all := f.pods.Listed()
		if c.Query.Get("includeClusterPods") != "true" {
			all = slices.DeleteFunc(all, func(p *Pod) bool { return p.Cluster != nil })
		}
		return map[string]any{"pods": all}, nil
	})
	f.Handle(CallGet, func(c *fakekit.Call) (any, error) {
		p, err := f.pods.Find(c.Value("id"))
		return p, err
	})
	return f
}

func (f *Cloud) rename(c *fakekit.Call) (any, error) {
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
}

func (f *Cloud) remove(c *fakekit.Call) (any, error) {
	p, err := f.pods.Find(c.Value("id"))
	if err == nil && p.Cluster != nil {
		err = fakekit.Refusef(http.StatusConflict, "", "pod belongs to a cluster")
	}
	if err != nil {
		return nil, err
	}
	f.drop(p)
	return nil, nil
}

func (f *Cloud) catalog(c *fakekit.Call) (any, error) {
	if c.Query.Get("include") == "AVAILABILITY" && c.Query.Get("product") == "" {
		return nil, fakekit.Refusef(http.StatusBadRequest, "", "include=AVAILABILITY requires product")
	}
	count := 1
	if n := c.Query.Get("count"); n != "" {
		count, _ = strconv.Atoi(n)
	}
	countries := c.Query.Get("countryCodes")
	gpus := []any{}
	for _, g := range devices() {
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

func (f *Cloud) create(c *fakekit.Call) (any, error) {
	var in Order
	if err := c.Decode(&in); err != nil {
		return nil, fakekit.Refusef(http.StatusUnprocessableEntity, "", "Request validation failed: %v", err)
	}
	switch {
	case in.Name == "" || in.Image == "":
		return nil, fakekit.Refusef(http.StatusUnprocessableEntity, "", "Request validation failed.")
	case in.GPU == nil:
		return nil, fakekit.Refusef(http.StatusBadRequest, "", "exactly one of gpu and cpu must be set")
	case !slices.ContainsFunc(in.DataCenterIDs, func(at string) bool { return !f.dry[at] }):
		return nil, fakekit.Refusef(http.StatusBadRequest, "", "%s", Full)
	}
	return fakekit.Reply{Status: http.StatusCreated, Body: f.add(in)}, nil
}
