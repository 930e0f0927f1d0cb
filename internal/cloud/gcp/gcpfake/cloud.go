// SPDX-License-Identifier: MPL-2.0

// Package gcpfake is a Compute Engine of its own for tests: it speaks the API
// over HTTP, keeps machines, disks, firewall rules and operations, and holds
// every request against Google's discovery document. A request that the
// document does not allow fails the test that made it.
package gcpfake

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// What every fake has.
const (
	Project = "acme-weather"
	Token   = "token-canary"
	// Deleter is a service account that may delete machines; other accounts may not.
	Deleter = "deleter@acme-weather.iam.gserviceaccount.com"
	// MachineToken is what a machine with that account has from the metadata server.
	MachineToken = "token-of-a-machine"
	// CallerPath is where the fake tells callers their address.
	CallerPath = "/caller"
	// RefreshToken is what somebody has who logged in, here or elsewhere.
	RefreshToken = "refresh-canary"
)

// Options say how the cloud behaves. The zero value is prompt and honest.
type Options struct {
	// OperationTime is how long an operation takes; 0 is 2 ms.
	OperationTime time.Duration
	// VisibleAfter is how long listings do not show a new machine.
	VisibleAfter time.Duration
	// Permissions are what the holder of Token may do; nil is everything.
	Permissions []string
	// OnViolation is told of what the document does not allow; by default that is
	// an error of the test.
	OnViolation func(error)
	// Boot runs a machine for real: it returns the address of the machine and
	// what ends it.
	Boot func(in *compute.Instance) (address string, end func())
}

// Cloud is one account. The kit's lock guards it.
type Cloud struct {
	*fakekit.Kit

	opts Options
	doc  *document

	serial     uint64
	instances  []*instance
	disks      []*compute.Disk
	firewalls  []*compute.Firewall
	operations []*operation
	requests   map[string]*operation
	quotas     map[string]int64
	// begun is the operation that the call under way began, if any.
	begun *operation
	// used and refused are permissions.
	used, refused map[string]bool
}

// instance is a machine as the API shows it, and what it does not show.
type instance struct {
	*compute.Instance
	at      time.Time // of creation
	started time.Time
	boots   int
	end     func()
	// addressed is when it gets its external address; zero is at once.
	addressed time.Time
	// previous is its metadata before the last change.
	previous []*compute.MetadataItems
}

type operation struct {
	*compute.Operation
	began  time.Time
	ends   time.Time
	finish func() *compute.OperationError
}

// Start runs a cloud until the end of the test.
func Start(t testing.TB, opts Options) *Cloud {
	t.Helper()
	doc, err := loadDocument()
	if err != nil {
		t.Fatalf("the fake needs the official discovery document: %v", err)
	}
	c := &Cloud{
		opts: opts, doc: doc, serial: 1000, requests: map[string]*operation{}, quotas: map[string]int64{},
		used: map[string]bool{}, refused: map[string]bool{},
	}
	if c.opts.OperationTime == 0 {
		c.opts.OperationTime = 2 * time.Millisecond
	}
	c.Kit = fakekit.Start(t, fakekit.Options{
		Tokens: map[string]string{Token: "", MachineToken: MachineToken}, VisibleAfter: opts.VisibleAfter,
		Shape: shape, Settle: c.letHappen, OnViolation: opts.OnViolation,
	})
	c.Route("/compute/v1/", c.serve)
	c.HandleFunc("GET "+CallerPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("203.0.113.9\n")) })
	c.HandleFunc("POST /token", c.token)
	c.HandleFunc("POST /v1/token", c.token)
	c.HandleFunc("POST /nowhere", http.NotFound) // gives no token
	c.HandleFunc("GET /computeMetadata/v1/{path...}", c.metadata)
	c.HandleFunc("POST /v1/projects/-/serviceAccounts/{who}", c.impersonate)
	return c
}

// SetQuota limits a metric, such as CPUS in a region, or GPUS_ALL_REGIONS in "".
func (c *Cloud) SetQuota(metric, region string, limit int64) {
	c.Lock()
	defer c.Unlock()
	c.quotas[metric+"/"+region] = limit
}

// Instances are the machines, however little of them there is yet.
func (c *Cloud) Instances() (out []compute.Instance) {
	c.Locked(func() {
		for _, in := range c.instances {
			out = append(out, *in.Instance)
		}
	})
	return out
}

// Disks are the disks.
func (c *Cloud) Disks() (out []compute.Disk) {
	c.Locked(func() {
		for _, d := range c.disks {
			out = append(out, *d)
		}
	})
	return out
}

// Firewalls are the firewall rules.
func (c *Cloud) Firewalls() (out []compute.Firewall) {
	c.Locked(func() {
		for _, f := range c.firewalls {
			out = append(out, *f)
		}
	})
	return out
}

// AddInstance makes a machine that runs, behind everybody's back. It has a disk.
func (c *Cloud) AddInstance(in compute.Instance, zone string) string {
	c.Lock()
	defer c.Unlock()
	made := c.newInstance(&in, zone)
	c.boot(made)
	return strconv.FormatUint(made.Id, 10)
}

// AddDisk makes a disk that belongs to no machine.
func (c *Cloud) AddDisk(d compute.Disk, zone string) {
	c.Lock()
	defer c.Unlock()
	d.Zone = c.zoneLink(zone)
	c.disks = append(c.disks, &d)
}

// AddFirewall makes a firewall rule.
func (c *Cloud) AddFirewall(f compute.Firewall) {
	c.Lock()
	defer c.Unlock()
	c.firewalls = append(c.firewalls, &f)
}

// Remove takes a machine away at once, with the disks that go with it, as if
// nothing of it had ever been; unknown ids are an error.
func (c *Cloud) Remove(id string) error {
	c.Lock()
	defer c.Unlock()
	in := c.byID(id)
	if in == nil {
		return fmt.Errorf("no machine %s", id)
	}
	c.erase(in)
	return nil
}

// Edit changes the cloud's machines while calls are under way.
func (c *Cloud) Edit(id string, change func(*compute.Instance)) {
	c.Lock()
	defer c.Unlock()
	if in := c.byID(id); in != nil {
		change(in.Instance)
	}
}

func (c *Cloud) byID(which string) *instance {
	for _, in := range c.instances {
		if strconv.FormatUint(in.Id, 10) == which {
			return in
		}
	}
	return nil
}

// erase removes a machine and the disks that go with it.
func (c *Cloud) erase(in *instance) {
	in.shutDown()
	c.instances = slices.DeleteFunc(c.instances, func(have *instance) bool { return have == in })
	for _, attached := range in.Disks {
		c.disks = slices.DeleteFunc(c.disks, func(d *compute.Disk) bool { return attached.AutoDelete && d.SelfLink == attached.Source })
		for _, d := range c.disks {
			d.Users = slices.DeleteFunc(d.Users, func(u string) bool { return u == in.SelfLink })
		}
	}
}

// shutDown ends what runs of a machine.
func (in *instance) shutDown() {
	if in.end != nil {
		in.end()
		in.end = nil
	}
}

// boot lets a machine run.
func (c *Cloud) boot(in *instance) {
	in.Status, in.started = "RUNNING", c.Now()
	in.boots++
	in.LastStartTimestamp = in.started.Format(time.RFC3339)
	c.address(in)
}

// address gives a machine that runs its addresses.
func (c *Cloud) address(in *instance) {
	for i, nic := range in.NetworkInterfaces {
		if nic.NetworkIP == "" {
			nic.NetworkIP = fmt.Sprintf("10.128.%d.%d", in.Id/250%250, in.Id%250+2)
		}
		for _, access := range nic.AccessConfigs {
			if access.NatIP == "" && !c.Now().Before(in.addressed) { // another one after every stop
				access.NatIP = fmt.Sprintf("34.%d.%d.%d", 1+in.boots%200, in.Id/250%250, int(in.Id%250)+2+i)
				if c.opts.Boot != nil {
					access.NatIP, in.end = c.opts.Boot(in.Instance)
				}
			}
		}
	}
}

// halt stops a machine; its disk stays, its external address does not.
func (c *Cloud) halt(in *instance) {
	in.shutDown()
	in.Status, in.LastStopTimestamp = "TERMINATED", c.Now().Format(time.RFC3339)
	for _, nic := range in.NetworkInterfaces {
		for _, access := range nic.AccessConfigs {
			access.NatIP = ""
		}
	}
}

// endBySchedule does what the machine's scheduling says of its end.
func (c *Cloud) endBySchedule(in *instance) {
	if in.Scheduling != nil && in.Scheduling.InstanceTerminationAction == "DELETE" {
		c.erase(in)
		return
	}
	c.halt(in)
}

// letHappen lets everything happen that is due: operations end, machines end
// themselves or are ended.
func (c *Cloud) letHappen() {
	now := c.Now()
	for _, op := range slices.Clone(c.operations) {
		if op.Status == "DONE" || now.Before(op.ends) {
			continue
		}
		op.Status, op.Progress, op.EndTime = "DONE", 100, now.Format(time.RFC3339)
		if op.finish != nil {
			op.Error = op.finish()
		}
		if op.Error != nil {
			op.HttpErrorStatusCode, op.HttpErrorMessage = http.StatusServiceUnavailable, "SERVICE UNAVAILABLE"
		}
	}
	for _, in := range slices.Clone(c.instances) {
		if in.Status != "RUNNING" {
			continue
		}
		if !in.addressed.IsZero() && !now.Before(in.addressed) {
			in.addressed = time.Time{}
			c.address(in)
		}
		if s := in.Scheduling; s != nil && s.MaxRunDuration != nil && !now.Before(in.started.Add(time.Duration(s.MaxRunDuration.Seconds)*time.Second)) {
			c.endBySchedule(in)
			continue
		}
		c.live(in, now)
	}
}

var deadline = regexp.MustCompile(`-ge ([0-9]+) \]`)

// live is what a machine does by itself: Google's guest agent runs its startup
// script, whose timer looks at the machine's own metadata. A script that was
// armed at boot stays armed when the metadata goes; the mark disarms it.
func (c *Cloud) live(in *instance, now time.Time) {
	values := map[string]string{}
	for _, item := range in.Metadata.Items {
		values[item.Key] = *item.Value
	}
	at := deadline.FindStringSubmatch(values["startup-script"])
	if at == nil || values["sky-committed"] != "" || values["sky-deadline"] == "" {
		return
	}
	if seconds, _ := strconv.ParseInt(at[1], 10, 64); now.Unix() < seconds {
		return
	}
	if slices.ContainsFunc(in.ServiceAccounts, func(s *compute.ServiceAccount) bool { return s.Email == Deleter }) {
		c.event(in, "delete", Deleter)
		c.erase(in)
		return
	}
	c.event(in, "compute.instances.guestTerminate", "system")
	c.halt(in)
}

func (c *Cloud) nextID() uint64 {
	c.serial++
	return c.serial
}

func (c *Cloud) fingerprint() string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.FormatUint(c.nextID(), 36)))
}

func (c *Cloud) link(path string) string {
	return "https://www.googleapis.com/compute/v1/projects/" + Project + "/" + path
}

func (c *Cloud) zoneLink(zone string) string { return c.link("zones/" + zone) }

// newOperation starts an operation, whose effect comes when it ends. A zone of
// "" makes it a global one.
func (c *Cloud) newOperation(kind, zone, target string, targetID uint64, finish func() *compute.OperationError) *operation {
	now := c.Now()
	op := &operation{
		Operation: &compute.Operation{
			Id: c.nextID(), Kind: "compute#operation", OperationType: kind, Zone: zone, TargetLink: target, TargetId: targetID,
			Status: "RUNNING", InsertTime: now.Format(time.RFC3339Nano), User: "somebody@acme-weather.iam.gserviceaccount.com",
		},
		began: now, ends: now.Add(c.opts.OperationTime), finish: finish,
	}
	op.Name = fmt.Sprintf("operation-%d", op.Id)
	op.SelfLink = c.link("global/operations/" + op.Name)
	if zone != "" {
		op.SelfLink = zone + "/operations/" + op.Name
	}
	c.operations, c.begun = append(c.operations, op), op
	return op
}

// waitFor blocks until an operation ends, or for as long as Google would.
func (c *Cloud) waitFor(ctx context.Context, op *operation) {
	c.Lock()
	left := op.ends.Sub(c.Now())
	c.Unlock()
	timer := time.NewTimer(min(left, 2*time.Minute))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
