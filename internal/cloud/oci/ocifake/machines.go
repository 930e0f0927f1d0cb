// SPDX-License-Identifier: MPL-2.0

package ocifake

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

// Machine is a machine as the API shows it, and what it was launched with.
type Machine struct {
	ID            string            `json:"id"`
	Domain        string            `json:"availabilityDomain"`
	Compartment   string            `json:"compartmentId"`
	Name          string            `json:"displayName"`
	State         string            `json:"lifecycleState"`
	Abbreviation  string            `json:"region"`
	Shape         string            `json:"shape"`
	ShapeConfig   *ShapeConfig      `json:"shapeConfig,omitempty"`
	Created       string            `json:"timeCreated"`
	Tags          map[string]string `json:"freeformTags"`
	DefinedTags   map[string]any    `json:"definedTags"`
	Image         string            `json:"imageId"`
	Source        *Source           `json:"sourceDetails"`
	Preemptible   *Preemptible      `json:"preemptibleInstanceConfig,omitempty"`
	Metadata      map[string]string `json:"metadata"`
	FaultDomain   string            `json:"faultDomain"`
	LaunchOptions map[string]any    `json:"instanceOptions,omitempty"`

	Order  Order  `json:"-"`
	Region string `json:"-"`
	// PrivateIP and PublicIP are those of its interface, of which Vnic is the id.
	PrivateIP, PublicIP, Vnic string `json:"-"`
	// Boot and Data are its volumes that are there.
	Boot, Data bool `json:"-"`

	version                          int
	runs, stops, ends, gone, address time.Time
	workRequest                      string
	end                              func()
	fail                             func(*Machine)
}

// The shapes of the API.
type (
	// ShapeConfig is the size of a flexible shape.
	ShapeConfig struct {
		OCPUs  float64 `json:"ocpus"`
		Memory float64 `json:"memoryInGBs"`
	}
	// Source is the image and the boot volume.
	Source struct {
		Type  string `json:"sourceType"`
		Image string `json:"imageId"`
		Size  int64  `json:"bootVolumeSizeInGBs"`
		VPUs  int64  `json:"bootVolumeVpusPerGB"`
	}
	// Preemptible says that a machine may be taken back.
	Preemptible struct {
		Action struct {
			Type     string `json:"type"`
			Preserve bool   `json:"preserveBootVolume"`
		} `json:"preemptionAction"`
	}
	// Interface is what is asked for of the primary one.
	Interface struct {
		Subnet   string   `json:"subnetId"`
		Groups   []string `json:"nsgIds"`
		Public   *bool    `json:"assignPublicIp"`
		Name     string   `json:"displayName"`
		Hostname string   `json:"hostnameLabel"`
	}
	// WorkRequest is what is behind a launch.
	WorkRequest struct {
		ID          string  `json:"id"`
		Compartment string  `json:"compartmentId"`
		Type        string  `json:"operationType"`
		Status      string  `json:"status"`
		Percent     float32 `json:"percentComplete"`
		Accepted    string  `json:"timeAccepted"`

		resource, region string
		errors           []map[string]string
	}
)

// Order is the body of a launch.
type Order struct {
	Domain      string            `json:"availabilityDomain"`
	Compartment string            `json:"compartmentId"`
	Name        string            `json:"displayName"`
	Tags        map[string]string `json:"freeformTags"`
	Shape       string            `json:"shape"`
	ShapeConfig *ShapeConfig      `json:"shapeConfig"`
	Source      *Source           `json:"sourceDetails"`
	Interface   *Interface        `json:"createVnicDetails"`
	Metadata    map[string]string `json:"metadata"`
	Preemptible *Preemptible      `json:"preemptibleInstanceConfig"`
	Options     map[string]any    `json:"instanceOptions"`
}

// UserData is what the machine runs at its first boot.
func (m *Machine) UserData() string {
	text, _ := base64.StdEncoding.DecodeString(m.Metadata["user_data"]) // a launch checks it
	return string(text)
}

// Image is an image of a region.
type Image struct {
	ID, Name, System, Version string
	Created                   time.Time
	SizeMB                    int64
	// Fits are beginnings of the shapes that it is for.
	Fits []string
}

// ImageID is the OCID that an image has in a region.
func ImageID(name, region string) string { return "ocid1.image.oc1." + Regions()[region] + "." + name }

// images are some of Oracle's.
func images(region string) []Image {
	x86 := []string{"VM.Standard.E", "VM.Standard3", "VM.GPU", "BM.GPU"}
	at := func(id, name, system, version string, year int, fits ...string) Image {
		return Image{ImageID(id, region), name, system, version, time.Date(year, 5, 1, 0, 0, 0, 0, time.UTC), 47694, fits}
	}
	return []Image{
		at("ubuntu2204old", "Canonical-Ubuntu-22.04-2025.05.20-0", "Canonical Ubuntu", "22.04", 2025, x86...),
		at("ubuntu2204", "Canonical-Ubuntu-22.04-2026.05.20-0", "Canonical Ubuntu", "22.04", 2026, x86...),
		at("ubuntu2204min", "Canonical-Ubuntu-22.04-Minimal-2026.07.20-0", "Canonical Ubuntu", "22.04", 2027, x86...),
		at("ubuntu2204arm", "Canonical-Ubuntu-22.04-aarch64-2026.05.20-0", "Canonical Ubuntu", "22.04", 2026, "VM.Standard.A"),
		at("ubuntu2404", "Canonical-Ubuntu-24.04-2026.05.20-0", "Canonical Ubuntu", "24.04", 2026, x86...),
		at("linux8", "Oracle-Linux-8.10-2026.05.20-0", "Oracle Linux", "8", 2026, x86...),
		at("linux8gpu", "Oracle-Linux-8.10-Gen2-GPU-2026.05.20-0", "Oracle Linux", "8", 2026, "VM.GPU", "BM.GPU"),
	}
}

// shapes are those that are sold, those that are flexible first.
func shapes() []string {
	return []string{"VM.Standard.E4.Flex", "VM.Standard.E5.Flex", "VM.Standard.A1.Flex", "VM.GPU.A10.1", "VM.GPU.A10.2", "BM.GPU.A100-v2.8"}
}

func (im Image) fits(shape string) bool {
	return slices.ContainsFunc(im.Fits, func(begin string) bool { return strings.HasPrefix(shape, begin) })
}

func (im Image) shown() map[string]any {
	return map[string]any{
		"id": im.ID, "compartmentId": nil, "createImageAllowed": true, "displayName": im.Name, "lifecycleState": "AVAILABLE",
		"operatingSystem": im.System, "operatingSystemVersion": im.Version, "timeCreated": im.Created.Format(time.RFC3339), "sizeInMBs": im.SizeMB,
	}
}

func (c *Cloud) serveMachines() {
	c.handle("POST /instances", c.launch)
	c.handle("GET /instances", func(call *fakekit.Call, region string) (any, error) {
		in, err := c.compartment(call)
		if err != nil {
			return nil, err
		}
		return page(c, call, slices.DeleteFunc(c.machines.Listed(), func(m *Machine) bool { return m.Region != region || m.Compartment != in }))
	})
	c.handle("GET /instances/{id}", func(call *fakekit.Call, region string) (any, error) {
		m, err := c.find(call.Value("id"), region)
		if err != nil {
			return nil, err
		}
		return fakekit.Reply{Body: m, Header: map[string]string{"etag": m.etag()}}, nil
	})
	c.handle("PUT /instances/{id}", c.change)
	c.handle("POST /instances/{id}", c.act)
	c.handle("DELETE /instances/{id}", c.terminate)
	c.handle("GET /images", c.listImages)
	c.handle("GET /images/{id}", func(call *fakekit.Call, region string) (any, error) {
		im, err := image(call.Value("id"), region)
		if err != nil {
			return nil, err
		}
		return im.shown(), nil
	})
	c.handle("POST /computeCapacityReports", c.report)
	c.handle("GET /vnicAttachments", c.listAttachments)
	c.handle("GET /vnics/{id}", func(call *fakekit.Call, region string) (any, error) {
		for _, m := range c.machines.All() {
			if m.Vnic == call.Value("id") && m.Region == region && m.State != "TERMINATED" {
				return map[string]any{
					"id": m.Vnic, "availabilityDomain": m.Domain, "compartmentId": m.Compartment, "lifecycleState": "AVAILABLE", "timeCreated": m.Created,
					"isPrimary": true, "privateIp": m.PrivateIP, "publicIp": nullable(m.PublicIP), "subnetId": m.Order.Interface.Subnet, "nsgIds": m.Order.Interface.Groups,
				}, nil
			}
		}
		return nil, missing("vnic")
	})
	c.serveWork()
}

func nullable(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (m *Machine) etag() string { return fmt.Sprintf("etag-%s-%d", m.ID, m.version) }

func (c *Cloud) find(id, region string) (*Machine, error) {
	m := c.machines.Get(id)
	if m == nil || m.Region != region {
		return nil, missing("instance " + id)
	}
	return m, nil
}

func image(id, region string) (Image, error) {
	all := images(region)
	i := slices.IndexFunc(all, func(im Image) bool { return im.ID == id })
	if i < 0 {
		return Image{}, missing("image " + id)
	}
	return all[i], nil
}

func (c *Cloud) listImages(call *fakekit.Call, region string) (any, error) {
	if _, err := c.compartment(call); err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, im := range images(region) {
		asked := func(name, have string) bool { want := call.Query.Get(name); return want == "" || want == have }
		shape := call.Query.Get("shape")
		if asked("displayName", im.Name) && asked("operatingSystem", im.System) && asked("operatingSystemVersion", im.Version) && (shape == "" || im.fits(shape)) {
			out = append(out, im.shown())
		}
	}
	return page(c, call, out)
}

// report answers which shapes have room in a domain.
func (c *Cloud) report(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Compartment string `json:"compartmentId"`
		Domain      string `json:"availabilityDomain"`
		Shapes      []struct {
			Shape  string       `json:"instanceShape"`
			Config *ShapeConfig `json:"instanceShapeConfig"`
			Fault  string       `json:"faultDomain"`
		} `json:"shapeAvailabilities"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	switch {
	case c.opts.NoReports:
		return nil, missing("report")
	case in.Compartment != Tenancy:
		return nil, invalid("capacity reports are made in the root compartment")
	case !slices.Contains(Domains(region), in.Domain):
		return nil, missing("domain " + in.Domain)
	case len(in.Shapes) == 0 || len(in.Shapes) > 10:
		return nil, invalid("%d shapes", len(in.Shapes))
	}
	var out []map[string]any
	for _, s := range in.Shapes {
		status := "AVAILABLE"
		if !slices.Contains(shapes(), s.Shape) {
			status = "HARDWARE_NOT_SUPPORTED"
		} else if c.isFull(s.Shape, in.Domain) && !c.quiet[s.Shape] {
			status = "OUT_OF_HOST_CAPACITY"
		}
		out = append(out, map[string]any{"instanceShape": s.Shape, "availabilityStatus": status})
	}
	return map[string]any{"compartmentId": in.Compartment, "availabilityDomain": in.Domain, "shapeAvailabilities": out, "timeCreated": c.Now().Format(time.RFC3339)}, nil
}

func (c *Cloud) listAttachments(call *fakekit.Call, region string) (any, error) {
	in, err := c.compartment(call)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, m := range c.machines.All() {
		if m.Region != region || m.Compartment != in || (call.Query.Has("instanceId") && call.Query.Get("instanceId") != m.ID) {
			continue
		}
		state := map[string]string{"PROVISIONING": "ATTACHING", "TERMINATED": "DETACHED"}[m.State]
		if state == "" {
			state = "ATTACHED"
		}
		out = append(out, map[string]any{
			"id": "ocid1.vnicattachment.oc1.." + m.ID[strings.LastIndex(m.ID, ".")+1:], "availabilityDomain": m.Domain, "compartmentId": m.Compartment,
			"instanceId": m.ID, "lifecycleState": state, "timeCreated": m.Created, "subnetId": m.Order.Interface.Subnet, "vnicId": m.Vnic,
		})
	}
	return page(c, call, out)
}

// act starts or stops a machine.
func (c *Cloud) act(call *fakekit.Call, region string) (any, error) {
	m, err := c.find(call.Value("id"), region)
	if err != nil {
		return nil, err
	}
	now := c.Now()
	switch action := call.Query.Get("action"); {
	case m.Preemptible != nil:
		return nil, incorrect("preemptible instances cannot be stopped or started")
	case (action == "STOP" || action == "SOFTSTOP") && m.State == "RUNNING":
		m.State, m.stops = "STOPPING", now.Add(c.opts.StopTime)
	case action == "START" && m.State == "STOPPED":
		m.State, m.runs = "STARTING", now.Add(c.opts.BootTime)
	case action == "START" || action == "STOP" || action == "SOFTSTOP":
		return nil, incorrect("the instance is %s", m.State)
	default:
		return nil, invalid("action %q", action)
	}
	m.version++
	return m, nil
}

// change is a rename or a change of tags; of preemptible machines only the name may
// be edited.
func (c *Cloud) change(call *fakekit.Call, region string) (any, error) {
	var in struct {
		Name *string           `json:"displayName"`
		Tags map[string]string `json:"freeformTags"`
	}
	if err := call.Decode(&in); err != nil {
		return nil, err
	}
	m, err := c.find(call.Value("id"), region)
	switch {
	case err != nil:
		return nil, err
	case m.State == "TERMINATING" || m.State == "TERMINATED":
		return nil, incorrect("the instance is %s", m.State)
	case call.Header("if-match") != "" && call.Header("if-match") != m.etag():
		return nil, fakekit.Refusef(http.StatusPreconditionFailed, "NoEtagMatch", "The instance has changed since.")
	case m.Preemptible != nil && in.Tags != nil:
		return nil, invalid("only the name of a preemptible instance can be edited")
	case in.Name != nil && (*in.Name == "" || len(*in.Name) > 255):
		return nil, invalid("displayName has %d characters", len(*in.Name))
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if in.Name != nil && c.silent > 0 {
		c.silent--
		return m, nil
	}
	if in.Name != nil {
		m.Name = *in.Name
	}
	if in.Tags != nil {
		m.Tags = in.Tags
	}
	m.version++
	return m, nil
}

// terminate ends a machine; by default its volumes of data stay, and cost.
func (c *Cloud) terminate(call *fakekit.Call, region string) (any, error) {
	m, err := c.find(call.Value("id"), region)
	if err != nil {
		return nil, err
	}
	if m.State == "TERMINATING" || m.State == "TERMINATED" {
		return nil, incorrect("the instance is %s", m.State)
	}
	keepBoot, _ := strconv.ParseBool(call.Query.Get("preserveBootVolume")) // absent is false
	dropData := call.Query.Get("preserveDataVolumesCreatedAtLaunch") == "false"
	m.Boot, m.Data = m.Boot && keepBoot, m.Data && !dropData
	m.State, m.ends = "TERMINATING", c.Now().Add(c.opts.EndTime)
	m.version++
	return nil, nil
}
