// SPDX-License-Identifier: MPL-2.0

package gcpfake

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud/cloudtest/fakekit"
)

var (
	uuid       = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	labelKey   = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
	metaKey    = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
)

// remembers is for how long a request id is known.
const remembers = time.Hour

// replay returns the operation that a request id began.
func (c *Cloud) replay(req checked) (*operation, error) {
	id := req.query.Get("requestId")
	if id == "" {
		return nil, nil
	}
	if !uuid.MatchString(id) || strings.Trim(id, "0-") == "" {
		return nil, invalid("'requestId': '%s'. Must be a valid UUID", id)
	}
	op := c.requests[req.method.ID+"/"+id]
	if op == nil {
		return nil, nil
	}
	if c.Now().Sub(op.began) > remembers {
		delete(c.requests, req.method.ID+"/"+id)
		return nil, nil
	}
	return op, nil
}

func (c *Cloud) remember(req checked, op *operation) {
	if id := req.query.Get("requestId"); id != "" {
		c.requests[req.method.ID+"/"+id] = op
	}
}

func (c *Cloud) insertInstance(req checked) (any, error) {
	if op, refusal := c.replay(req); op != nil || refusal != nil {
		return op, refusal
	}
	zone := req.path["zone"]
	var in compute.Instance
	if refusal := decode(req, &in); refusal != nil {
		return nil, refusal
	}
	if refusal := c.checkInstance(&in, zone); refusal != nil {
		return nil, refusal
	}
	made := c.newInstance(&in, zone)
	op := c.newOperation("insert", made.Zone, made.SelfLink, made.Id, func() *compute.OperationError {
		if c.byID(strconv.FormatUint(made.Id, 10)) == nil {
			return nil // deleted meanwhile
		}
		if failed := c.overQuota(made); failed != nil {
			c.erase(made)
			return failed
		}
		c.boot(made)
		return nil
	})
	c.remember(req, op)
	return op, nil
}

// spoil makes an operation fail, or last. What an insert began is then undone.
func (c *Cloud) spoil(op *operation, f *Fault) {
	op.ends = op.ends.Add(f.Slow)
	if in := c.byID(strconv.FormatUint(op.TargetId, 10)); in != nil && f.Unaddressed > 0 {
		in.addressed = op.ends.Add(f.Unaddressed)
	} else if in != nil && f.Silent {
		in.Metadata.Items = in.previous
	}
	if f.Code == "" {
		return
	}
	finish := op.finish
	op.finish = func() *compute.OperationError {
		cause := &compute.OperationErrorErrors{Code: f.Code, Message: f.Message}
		if f.Hint != "" {
			cause.ErrorDetails = []*compute.OperationErrorErrorsErrorDetails{{LocalizedMessage: &compute.LocalizedMessage{Locale: "en-US", Message: f.Hint}}}
		}
		in := c.byID(strconv.FormatUint(op.TargetId, 10))
		switch {
		case in == nil:
		case op.OperationType == "insert":
			c.erase(in)
		case op.OperationType == "start" || op.OperationType == "resume":
			c.halt(in)
		case op.OperationType == "delete" || op.OperationType == "stop":
			in.Status = "RUNNING"
		case finish != nil:
			finish()
		}
		return &compute.OperationError{Errors: []*compute.OperationErrorErrors{cause}}
	}
}

// newInstance puts a machine and its boot disk in place; it does not run yet.
func (c *Cloud) newInstance(in *compute.Instance, zone string) *instance {
	now := c.Now()
	in.Id, in.Zone, in.Status, in.CreationTimestamp = c.nextID(), c.zoneLink(zone), "PROVISIONING", now.Format(time.RFC3339Nano)
	in.SelfLink = in.Zone + "/instances/" + in.Name
	in.MachineType = in.Zone + "/machineTypes/" + last(in.MachineType)
	in.LabelFingerprint = c.fingerprint()
	if in.Metadata == nil {
		in.Metadata = &compute.Metadata{}
	}
	in.Metadata.Fingerprint = c.fingerprint()
	if len(in.Disks) == 0 {
		in.Disks = []*compute.AttachedDisk{{AutoDelete: true, Boot: true}}
	}
	for _, attached := range in.Disks {
		name, labels, size, image := in.Name, map[string]string(nil), int64(10), ""
		if p := attached.InitializeParams; p != nil {
			labels, size, image = p.Labels, p.DiskSizeGb, p.SourceImage
			if p.DiskName != "" {
				name = p.DiskName
			}
		}
		disk := &compute.Disk{
			Id: c.nextID(), Name: name, Zone: in.Zone, SelfLink: in.Zone + "/disks/" + name, Labels: labels, SizeGb: size, SourceImage: image,
			LabelFingerprint: c.fingerprint(), Users: []string{in.SelfLink}, Status: "READY",
		}
		c.disks = append(c.disks, disk)
		attached.Source, attached.InitializeParams = disk.SelfLink, nil
	}
	made := &instance{Instance: in, at: now}
	c.instances = append(c.instances, made)
	return made
}

// overQuota counts CPUs of the region and GPUs of all regions.
func (c *Cloud) overQuota(made *instance) *compute.OperationError {
	region := regionOf(last(made.Zone))
	var cpus, gpus int64
	for _, in := range c.instances {
		if in.Status == "TERMINATED" {
			continue
		}
		t := types()[last(in.MachineType)]
		gpus += t.gpus
		for _, a := range in.GuestAccelerators {
			gpus += a.AcceleratorCount
		}
		if regionOf(last(in.Zone)) == region {
			cpus += t.cpus
		}
	}
	for _, q := range []struct {
		metric, region, where string
		used                  int64
	}{{"CPUS", region, "in region " + region, cpus}, {"GPUS_ALL_REGIONS", "", "globally", gpus}} {
		if limit, set := c.quotas[q.metric+"/"+q.region]; set && q.used > limit {
			return &compute.OperationError{Errors: []*compute.OperationErrorErrors{{
				Code: "QUOTA_EXCEEDED", Message: fmt.Sprintf("Quota '%s' exceeded.  Limit: %d.0 %s.", q.metric, limit, q.where),
			}}}
		}
	}
	return nil
}

func last(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

func regionOf(zone string) string { return zone[:max(strings.LastIndexByte(zone, '-'), 0)] }

// find returns the machine that a path names, by name or number.
func (c *Cloud) find(req checked) (*instance, error) {
	which, zone := req.path["instance"], req.path["zone"]
	if !slices.Contains(zones(), zone) {
		return nil, invalid("'zone': '%s'. Unknown zone.", zone)
	}
	for _, in := range c.instances {
		if last(in.Zone) == zone && (in.Name == which || strconv.FormatUint(in.Id, 10) == which) {
			return in, nil
		}
	}
	return nil, notFound(fmt.Sprintf("projects/%s/zones/%s/instances/%s", Project, zone, which))
}

func (c *Cloud) getInstance(req checked) (any, error) {
	in, refusal := c.find(req)
	if refusal != nil {
		return nil, refusal
	}
	return in.Instance, nil
}

func (c *Cloud) deleteInstance(req checked) (any, error) {
	in, refusal := c.find(req)
	if refusal != nil {
		return nil, refusal
	}
	in.Status = "STOPPING"
	return c.newOperation("delete", in.Zone, in.SelfLink, in.Id, func() *compute.OperationError {
		c.erase(in)
		return nil
	}), nil
}

func (c *Cloud) stopInstance(req checked) (any, error) {
	in, refusal := c.find(req)
	if refusal != nil {
		return nil, refusal
	}
	if in.Status == "TERMINATED" {
		return c.newOperation("stop", in.Zone, in.SelfLink, in.Id, nil), nil
	}
	in.Status = "STOPPING"
	return c.newOperation("stop", in.Zone, in.SelfLink, in.Id, func() *compute.OperationError {
		c.halt(in)
		return nil
	}), nil
}

func (c *Cloud) startInstance(req checked) (any, error) {
	return c.begin(req, "start", "TERMINATED")
}

func (c *Cloud) resumeInstance(req checked) (any, error) {
	return c.begin(req, "resume", "SUSPENDED")
}

// begin lets a machine run again that is in the one state from which this verb does.
func (c *Cloud) begin(req checked, verb, from string) (any, error) {
	in, refusal := c.find(req)
	switch {
	case refusal != nil:
		return nil, refusal
	case in.Status == "RUNNING":
		return c.newOperation(verb, in.Zone, in.SelfLink, in.Id, nil), nil
	case in.Status != from:
		return nil, refuse(http.StatusBadRequest, "resourceNotReady", "The resource '%s' is not ready", in.Name)
	}
	in.Status = "PROVISIONING"
	return c.newOperation(verb, in.Zone, in.SelfLink, in.Id, func() *compute.OperationError {
		if failed := c.overQuota(in); failed != nil {
			c.halt(in)
			return failed
		}
		c.boot(in)
		return nil
	}), nil
}

func (c *Cloud) setMetadata(req checked) (any, error) {
	in, refusal := c.find(req)
	var want compute.Metadata
	if refusal == nil {
		refusal = decode(req, &want)
	}
	if refusal == nil {
		refusal = checkMetadata(&want)
	}
	if refusal != nil {
		return nil, refusal
	}
	if want.Fingerprint != in.Metadata.Fingerprint {
		return nil, refuse(http.StatusPreconditionFailed, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")
	}
	in.previous = in.Metadata.Items
	in.Metadata.Items, in.Metadata.Fingerprint = want.Items, c.fingerprint()
	return c.newOperation("setMetadata", in.Zone, in.SelfLink, in.Id, nil), nil
}

func (c *Cloud) setLabels(req checked) (any, error) {
	in, refusal := c.find(req)
	var want compute.InstancesSetLabelsRequest
	if refusal == nil {
		refusal = decode(req, &want)
	}
	if refusal == nil {
		refusal = checkLabels(want.Labels)
	}
	if refusal != nil {
		return nil, refusal
	}
	if want.LabelFingerprint != in.LabelFingerprint {
		return nil, refuse(http.StatusPreconditionFailed, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed")
	}
	in.Labels, in.LabelFingerprint = want.Labels, c.fingerprint()
	return c.newOperation("setLabels", in.Zone, in.SelfLink, in.Id, nil), nil
}

func (c *Cloud) setScheduling(req checked) (any, error) {
	in, refusal := c.find(req)
	var want compute.Scheduling
	if refusal == nil {
		refusal = decode(req, &want)
	}
	if refusal != nil {
		return nil, refusal
	}
	if in.Status != "TERMINATED" {
		return nil, invalid("'scheduling': the instance must be stopped")
	}
	in.Scheduling = &want
	return c.newOperation("setScheduling", in.Zone, in.SelfLink, in.Id, nil), nil
}

// listed are the machines that listings show by now.
func (c *Cloud) listed(req checked) ([]*compute.Instance, error) {
	match, refusal := parseFilter(req.query.Get("filter"))
	if refusal != nil {
		return nil, refusal
	}
	var out []*compute.Instance
	for _, in := range c.instances {
		if c.Shown(in.at) && match(map[string]string{"id": strconv.FormatUint(in.Id, 10), "name": in.Name, "status": in.Status}, in.Labels) {
			out = append(out, in.Instance)
		}
	}
	return out, nil
}

// page cuts a listing into pages that are small, so that whoever forgets the
// next page is found out.
func page[T any](req checked, all []T) (items []T, next string) {
	return fakekit.Page(all, req.query.Get("pageToken"), 2)
}

func (c *Cloud) listInstances(req checked) (any, error) {
	zone := req.path["zone"]
	if !slices.Contains(zones(), zone) {
		return nil, invalid("'zone': '%s'. Unknown zone.", zone)
	}
	all, refusal := c.listed(req)
	if refusal != nil {
		return nil, refusal
	}
	all = slices.DeleteFunc(all, func(in *compute.Instance) bool { return last(in.Zone) != zone })
	items, next := page(req, all)
	return &compute.InstanceList{Items: items, NextPageToken: next}, nil
}

func (c *Cloud) aggregatedInstances(req checked) (any, error) {
	all, refusal := c.listed(req)
	if refusal != nil {
		return nil, refusal
	}
	items, next := page(req, all)
	out := &compute.InstanceAggregatedList{Items: map[string]compute.InstancesScopedList{}, NextPageToken: next}
	for _, z := range zones() {
		list := compute.InstancesScopedList{}
		for _, in := range items {
			if last(in.Zone) == z {
				list.Instances = append(list.Instances, in)
			}
		}
		if len(list.Instances) == 0 {
			list.Warning = &compute.InstancesScopedListWarning{Code: "NO_RESULTS_ON_PAGE", Message: "There are no results for scope 'zones/" + z + "' on this page."}
		}
		out.Items["zones/"+z] = list
	}
	return out, nil
}
