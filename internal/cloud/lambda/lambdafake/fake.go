// SPDX-License-Identifier: MPL-2.0

// Package lambdafake is a Lambda Cloud of its own for tests: it speaks the API
// over HTTP, keeps machines, keys and rulesets, holds the API's limits, and takes
// nothing that the official OpenAPI file does not allow. Its facts are written
// down here; where SKY_SPECS names the folder of that file, every call and answer
// is held against it as well.
package lambdafake

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Key is the API key that every fake takes, and another one that it takes.
const (
	Key      = "secret_lambda_canary"
	OtherKey = "secret_lambda_other"
)

// Options say how the cloud behaves. The zero value is prompt and honest.
type Options struct {
	// InMemory serves no port, for bubbles of testing/synctest.
	InMemory bool
	// Limits holds the API's limits: a call a second, a launch in twelve.
	Limits bool
	// BootTime is how long a machine of a type boots, EndTime how long one ends;
	// Remembered is how long one that is gone is still listed.
	BootTime            func(instanceType string) time.Duration
	EndTime, Remembered time.Duration
	// VisibleAfter is how long lists do not show a new machine.
	VisibleAfter time.Duration
	// DropTags makes a cloud that keeps no tags.
	DropTags bool
	// KeepPreempted lets machines that were taken back be there until somebody
	// terminates them.
	KeepPreempted bool
	// Boot runs a machine for real: it returns its address and what ends it.
	Boot func(m *Machine) (address string, end func())
	// OnViolation is told of what the API does not allow; by default that is an
	// error of the test.
	OnViolation func(error)
}

// Cloud is one account. The kit's lock guards it.
type Cloud struct {
	*fakekit.Kit

	opts     Options
	machines fakekit.Table[Machine]
	keys     fakekit.Table[SSHKey]
	rulesets fakekit.Table[Ruleset]
	serial   int
	// full are places without room, as "type region", "type *" or "* *".
	full map[string]bool
	// silent renamings are answered well and do nothing.
	silent int
}

// Machine is a machine as the API shows it, and what it was launched with.
type Machine struct {
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	IP        string            `json:"ip,omitempty"`
	PrivateIP string            `json:"private_ip,omitempty"`
	Status    string            `json:"status"`
	Keys      []string          `json:"ssh_key_names"`
	Files     []string          `json:"file_system_names"`
	Region    Region            `json:"region"`
	Type      Type              `json:"instance_type"`
	Hostname  string            `json:"hostname,omitempty"`
	Token     string            `json:"jupyter_token,omitempty"`
	Actions   map[string]Action `json:"actions"`
	Tags      []Tag             `json:"tags,omitempty"`
	Rulesets  []Reference       `json:"firewall_rulesets,omitempty"`

	Order Order `json:"-"`

	born, ends, gone time.Time
	// addressed is when it gets its address, late that it gets no room after all.
	addressed time.Time
	preempt   time.Time
	end       func()
}

// The shapes of the API, as its OpenAPI file has them.
type (
	// Region is one of the API.
	Region struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	// Type is one of the API.
	Type struct {
		Name           string `json:"name"`
		Description    string `json:"description"`
		GPUDescription string `json:"gpu_description"`
		Cents          int    `json:"price_cents_per_hour"`
		Specs          Specs  `json:"specs"`
	}
	// Specs is one of the API.
	Specs struct {
		VCPUs   int `json:"vcpus"`
		Memory  int `json:"memory_gib"`
		Storage int `json:"storage_gib"`
		GPUs    int `json:"gpus"`
	}
	// Action is one of the API.
	Action struct {
		Available bool   `json:"available"`
		Reason    string `json:"reason_code,omitempty"`
	}
	// Tag is one of the API.
	Tag struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	// Reference is one of the API.
	Reference struct {
		ID string `json:"id"`
	}
	// Image is one of the API.
	Image struct {
		ID           string    `json:"id"`
		Created      time.Time `json:"created_time"`
		Updated      time.Time `json:"updated_time"`
		Name         string    `json:"name"`
		Description  string    `json:"description"`
		Family       string    `json:"family"`
		Version      string    `json:"version"`
		Architecture string    `json:"architecture"`
		Region       Region    `json:"region"`
	}
	// SSHKey is one of the API.
	SSHKey struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Public string `json:"public_key"`
	}
	// Ruleset is one of the API.
	Ruleset struct {
		ID        string    `json:"id"`
		Name      string    `json:"name"`
		Region    Region    `json:"region"`
		Rules     []Rule    `json:"rules"`
		Created   time.Time `json:"created"`
		Instances []string  `json:"instance_ids"`
	}
	// Rule is one of the API.
	Rule struct {
		Protocol    string `json:"protocol"`
		Ports       []int  `json:"port_range,omitempty"`
		Source      string `json:"source_network"`
		Description string `json:"description"`
	}
)

// Order is the body of a launch.
type Order struct {
	Region   string      `json:"region_name"`
	Type     string      `json:"instance_type_name"`
	Keys     []string    `json:"ssh_key_names"`
	Name     string      `json:"name"`
	Hostname string      `json:"hostname"`
	Image    *ImageOrder `json:"image"`
	UserData string      `json:"user_data"`
	Tags     []Tag       `json:"tags"`
	Rulesets []Reference `json:"firewall_rulesets"`
	Files    []string    `json:"file_system_names"`
}

// ImageOrder names an image by its id or its family.
type ImageOrder struct {
	ID     string `json:"id,omitempty"`
	Family string `json:"family,omitempty"`
}

// Spec is the official OpenAPI file that the fake is held against.
const Spec = "lambda-1.10.0.openapi.json"

// Regions are the regions, of which the one that has no rules comes last.
func Regions() []string { return []string{"us-east-1", "us-west-2", "europe-central-1", "us-south-1"} }

// types are some of Lambda's, all sold in all regions.
func types() []Type {
	return []Type{
		{"gpu_1x_a10", "1x A10 (24 GB PCIe)", "A10 (24 GB PCIe)", 129, Specs{30, 226, 1400, 1}},
		{"gpu_1x_gh200", "1x GH200 (96 GB)", "GH200 (96 GB)", 229, Specs{64, 432, 4096, 1}},
		{"gpu_1x_a6000", "1x A6000 (48 GB)", "A6000 (48 GB)", 109, Specs{14, 100, 512, 1}},
		{"gpu_8x_h100_sxm5", "8x H100 (80 GB SXM5)", "H100 (80 GB SXM5)", 3192, Specs{208, 1800, 22528, 8}},
	}
}

// The images there are in each region, beside one that is old.
const (
	Stack22  = "img-stack-22-04"
	Stack24  = "img-stack-24-04"
	StackArm = "img-stack-arm64"
	Base     = "img-gpu-base"
)

func images(region string) []Image {
	at := func(id, family, arch string, year int) Image {
		when := time.Date(year, 5, 1, 0, 0, 0, 0, time.UTC)
		return Image{id, when, when, family, "of " + family, family, "1", arch, Region{region, region}}
	}
	return []Image{
		at(Stack22, "lambda-stack-22-04", "x86_64", 2025), at(Stack24, "lambda-stack-24-04", "x86_64", 2026),
		at(StackArm, "lambda-stack-22-04", "arm64", 2026), at(Base, "gpu-base-24-04", "x86_64", 2026),
	}
}

// Start runs a cloud until the end of the test.
func Start(t testing.TB, opts Options) *Cloud {
	t.Helper()
	if opts.BootTime == nil {
		opts.BootTime = func(string) time.Duration { return 0 }
	}
	c := &Cloud{opts: opts, full: map[string]bool{}}
	c.Kit = fakekit.Start(t, fakekit.Options{
		Tokens: map[string]string{Key: "me", OtherKey: "other"}, VisibleAfter: opts.VisibleAfter, GoneAfter: opts.Remembered, Settle: c.settle,
		Shape: shape, OnViolation: opts.OnViolation, InMemory: opts.InMemory, Audit: fakekit.AuditBySpec(t, Spec, silent()...),
	})
	c.machines.Kit, c.keys.Kit, c.rulesets.Kit = c.Kit, c.Kit, c.Kit
	if opts.Limits {
		c.Limit("*", 1, time.Second)
		c.Limit(CallLaunch, 1, 12*time.Second)
	}
	c.serveMachines()
	c.serveThings()
	return c
}

// shape is how Lambda refuses. Too many calls have no documented body.
func shape(r fakekit.Refusal) any {
	switch r.Status {
	case http.StatusUnauthorized:
		r.Code = "global/invalid-api-key"
	case http.StatusTooManyRequests:
		return "Too many requests"
	}
	return map[string]any{"error": map[string]string{"code": r.Code, "message": r.Message, "suggestion": "Look again."}}
}

// silent are the answers that the file says nothing of, though its text does: too
// many calls, and trouble of Lambda's own.
func silent() []int {
	return []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
}

func invalid(format string, args ...any) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusBadRequest, "global/invalid-parameters", format, args...)
}

func missing(what string) *fakekit.Refusal {
	return fakekit.Refusef(http.StatusNotFound, "global/object-does-not-exist", "%s does not exist.", what)
}

// NoRoom is what a launch without capacity is answered with.
func NoRoom() *fakekit.Refusal {
	return fakekit.Refusef(http.StatusBadRequest, "instance-operations/launch/insufficient-capacity", "Not enough capacity to fulfill launch request.")
}

func data(v any) map[string]any { return map[string]any{"data": v} }

func (c *Cloud) id() string {
	c.serial++
	return fmt.Sprintf("%032x", 0xfab0+c.serial)
}

// Fill takes the room for a type in a region; "*" is any.
func (c *Cloud) Fill(instanceType, region string) {
	c.Locked(func() { c.full[instanceType+" "+region] = true })
}

func (c *Cloud) isFull(instanceType, region string) bool {
	for _, t := range []string{instanceType, "*"} {
		if c.full[t+" "+region] || c.full[t+" *"] {
			return true
		}
	}
	return false
}

// Machines are the machines that are not gone.
func (c *Cloud) Machines() (out []Machine) {
	c.Locked(func() {
		for _, m := range c.machines.All() {
			if m.Status != "terminated" && (m.Status != "preempted" || c.opts.KeepPreempted) {
				out = append(out, *m)
			}
		}
	})
	return out
}

// Keys and Rulesets are what the account has of them.
func (c *Cloud) Keys() (out []SSHKey) {
	c.Locked(func() {
		for _, k := range c.keys.All() {
			out = append(out, *k)
		}
	})
	return out
}

// Rulesets are those of the account, the global one aside.
func (c *Cloud) Rulesets() (out []Ruleset) {
	c.Locked(func() {
		for _, r := range c.rulesets.All() {
			out = append(out, *r)
		}
	})
	return out
}

// Edit changes a machine.
func (c *Cloud) Edit(id string, change func(*Machine)) {
	c.Locked(func() {
		if m := c.machines.Get(id); m != nil {
			change(m)
		}
	})
}

// Add makes a machine that runs, behind everybody's back.
func (c *Cloud) Add(order Order) (id string) {
	c.Locked(func() {
		m := c.add(order)
		m.born = c.Now().Add(-time.Hour)
		id = m.ID
	})
	return id
}

// AddKey makes a key of somebody's.
func (c *Cloud) AddKey(name string) {
	c.Locked(func() { k := &SSHKey{c.id(), name, "ssh-ed25519 AAAA somebody"}; c.keys.Add(k.ID, k) })
}

// Remove takes a machine away at once, as if its host had failed.
func (c *Cloud) Remove(id string) {
	c.Locked(func() {
		if m := c.machines.Get(id); m != nil {
			m.shutDown()
			m.Status = "terminated"
			c.machines.Delete(id)
		}
	})
}

// Newest is the machine that was made last, to be changed under the lock.
func (c *Cloud) newest() *Machine {
	all := c.machines.All()
	return all[len(all)-1]
}

// LateAddress is a fault: the machine runs so long before it has an address.
func (c *Cloud) LateAddress(by time.Duration) func() {
	return func() { c.newest().addressed = c.Now().Add(c.opts.BootTime(c.newest().Type.Name) + by) }
}

// LateCapacity is a fault: the machine is taken back while it boots.
func (c *Cloud) LateCapacity() func() {
	return func() { c.newest().preempt = c.Now() }
}

// LoseRenaming lets the next renaming do nothing, until it is taken back.
func (c *Cloud) LoseRenaming() (remove func()) {
	c.Locked(func() { c.silent = 1 })
	return func() { c.Locked(func() { c.silent = 0 }) }
}

func (m *Machine) shutDown() {
	if m.end != nil {
		m.end()
		m.end = nil
	}
}

// settle lets everything happen that is due.
func (c *Cloud) settle() {
	now := c.Now()
	for _, m := range slices.Clone(c.machines.All()) {
		switch {
		case !m.preempt.IsZero() && m.Status != "preempted" && m.Status != "terminating" && !now.Before(m.preempt):
			m.shutDown()
			m.Status = "preempted"
		case m.Status == "terminating" && !now.Before(m.ends):
			m.Status, m.gone = "terminated", now
			m.shutDown()
			c.machines.Delete(m.ID)
		case m.Status == "booting" && !now.Before(m.born.Add(c.opts.BootTime(m.Type.Name))):
			m.Status = "active"
		}
		if m.Status == "active" && m.IP == "" && !now.Before(m.addressed) {
			n, _ := strconv.ParseInt(m.ID, 16, 32)
			m.IP, m.PrivateIP = fmt.Sprintf("198.51.%d.%d", n/250%250, n%250+2), fmt.Sprintf("10.19.%d.%d", n/250%250, n%250+2)
			if m.Region.Name == "us-south-1" { // as reported of its A6000
				m.PrivateIP = ""
			}
			if c.opts.Boot != nil {
				m.IP, m.end = c.opts.Boot(m)
				m.PrivateIP = m.IP
			}
		}
		if m.Actions = actions(m.Status); m.Status == "preempted" && c.opts.KeepPreempted {
			m.Actions = actions("active")
		}
	}
}

// actions are what may be done with a machine.
func actions(status string) map[string]Action {
	a := Action{Available: true}
	switch status {
	case "terminating", "terminated", "preempted":
		a = Action{Reason: "vm-is-terminating"}
	}
	return map[string]Action{"migrate": a, "rebuild": a, "restart": a, "cold_reboot": a, "terminate": a}
}

var (
	tagForm  = regexp.MustCompile(`^[a-z][a-z0-9-:]+$`)
	hostForm = regexp.MustCompile(`^[a-z0-9][0-9a-z-]{0,62}$`)
)
