// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	names "github.com/skybroker/terraform-provider-sky/catalogs/runpod"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// driver implements cloud.Provisioner, with what fleet makes of its calls.
type driver struct {
	*fleet.Fleet[native, resources]
	c *fleet.REST
	// patience is how long a pod may stay in a status before it is given up.
	patience map[string]time.Duration
}

func newDriver(c *fleet.REST) *driver {
	d := &driver{c: c, patience: map[string]time.Duration{statusProvisioning: 5 * time.Minute, statusStarting: 9 * time.Minute, statusRunning: 3 * time.Minute}}
	d.Fleet = fleet.New(fleet.Config[native, resources]{
		Name: Name, Capabilities: Factory{}.Capabilities(), Calls: d, SSHUser: "root",
		Poll:  retry.Policy{Initial: 2 * time.Second, Max: 10 * time.Second, Factor: 1.5, Jitter: 0.2},
		Hooks: fleet.Hooks[native, resources]{Valid: isID, Overdue: d.overdue, CheckSpec: checkSpec},
	})
	return d
}

type (
	machine = fleet.Machine[native]
	// native is what the launch is checked by.
	native struct {
		gpu   gpu
		image string
	}
)

var (
	_ cloud.Provisioner              = (*driver)(nil)
	_ fleet.Calls[native, resources] = (*driver)(nil)
)

// isID keeps what can be no pod's id, and would be another path, out of calls.
func isID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// RunPod's words for what a pod does.
const (
	statusProvisioning = "PROVISIONING"
	statusStarting     = "STARTING"
	statusRunning      = "RUNNING"
	statusExited       = "EXITED"
	statusError        = "ERROR"
	statusTerminated   = "TERMINATED"
)

// envTags is the variable that holds a pod's tags, as a JSON object: whose it is,
// its labels and notes, and what was asked for.
const envTags = "SKY_TAGS"

// Tags beside those that all clouds share. A pod does not say its region and type
// in the words of catalogs, and no place at all before it has one.
const (
	tagRegion = cloud.TagPrefix + "region"
	tagZone   = cloud.TagPrefix + "zone"
	tagType   = cloud.TagPrefix + "type"
	// tagDeadline is when an uncommitted pod is one that a launch left, for gc.
	tagDeadline = cloud.TagPrefix + "deadline"
)

// pod is a pod as the API shows it.
type pod struct {
	ID, Name, Status, Image string
	Env                     map[string]string
	GPU                     gpu
	DataCenterID            string
	Cluster                 *struct{ ID string }
	Runtime                 *struct {
		Ports []struct {
			Private uint16
			Public  *uint16
			Type    string
			IP      *string
		}
	}
	CreatedAt time.Time
}

type gpu struct {
	ID    string `json:"id"`
	Count int    `json:"count"`
}

func states() map[string]cloud.State {
	return map[string]cloud.State{
		statusProvisioning: cloud.StatePending, statusStarting: cloud.StatePending, statusRunning: cloud.StateRunning,
		statusExited: cloud.StateStopped, statusTerminated: cloud.StateTerminated,
	}
}

func newMachine(in pod) machine {
	tags := map[string]string{}
	if err := json.Unmarshal([]byte(in.Env[envTags]), &tags); err != nil || in.Cluster != nil {
		tags = map[string]string{} // another's, or of a RunPod cluster, which we make none of
	}
	m := machine{Name: in.Name, Status: in.Status, Tags: tags, Native: native{gpu: in.GPU, image: in.Image}, Instance: cloud.Instance{
		ID: in.ID, Region: tags[tagRegion], Zone: tags[tagZone], Type: tags[tagType], Market: cloud.OnDemand, State: cloud.StateUnknown,
		CreatedAt: in.CreatedAt, HostKey: tags[cloud.TagHostKey], Notes: cloud.NotesFromTags(tags), Labels: maps.Clone(tags),
	}}
	if m.Zone == "" {
		m.Zone = in.DataCenterID
	}
	if state, ok := states()[in.Status]; ok {
		m.State = state
	}
	if in.GPU.ID != "" {
		m.Native.gpu.Count = max(in.GPU.Count, 1) // which the API may leave out
	}
	if in.Status == statusError {
		m.Reason = "RunPod calls its container broken for good"
	}
	if id, ok := cloud.IdentityFromTags(tags); ok {
		m.Identity, m.Committed = id, in.Name != nameOf(id)+unrecorded
	}
	if !m.Committed {
		m.Deadline, _ = time.Parse(time.RFC3339, tags[tagDeadline]) // zero where there is none
	}
	maps.DeleteFunc(m.Labels, func(key, _ string) bool { return strings.HasPrefix(key, cloud.TagPrefix) })
	if m.State == cloud.StateRunning {
		m.ExternalIP, m.PublicPorts = addresses(in)
		m.SSHPort = int(m.PublicPorts[sshPort])
	}
	if why := misplaced(in, tags); why != "" && !m.Committed && m.State != cloud.StateTerminated {
		m.State, m.Reason = cloud.StateUnknown, why
	}
	return m
}

// nameOf is what a pod is called once it is recorded.
func nameOf(id cloud.Identity) string { return id.Name(maxName - len(unrecorded)) }

// misplaced says that RunPod put the pod elsewhere than it was asked to, since the
// data centers of a request may be a preference only; empty is that it did not.
func misplaced(in pod, tags map[string]string) string {
	at := in.DataCenterID
	if at == "" || tags[tagRegion] == "" || (names.Country(at) == tags[tagRegion] && (tags[tagZone] == "" || at == tags[tagZone])) {
		return ""
	}
	return fmt.Sprintf("RunPod put it into %s, where %s was asked for", at, cmp.Or(tags[tagZone], tags[tagRegion]))
}

// addresses are where the pod's ports are reached.
func addresses(in pod) (ip string, public map[uint16]uint16) {
	if in.Runtime == nil {
		return "", nil
	}
	public = map[uint16]uint16{}
	for _, p := range in.Runtime.Ports {
		if p.Type != "tcp" || p.Public == nil || p.IP == nil {
			continue
		}
		public[p.Private] = *p.Public
		if p.Private == sshPort {
			ip = *p.IP
		}
	}
	return ip, public
}

// List implements fleet.Calls. RunPod has one list of all, which leaves out the
// members of its clusters unless it is asked for them.
func (d *driver) List(ctx context.Context, _ cloud.ClusterRef) ([]machine, error) {
	var out struct{ Pods *[]pod }
	if err := d.c.Do(ctx, http.MethodGet, "/v2/pods", url.Values{"includeClusterPods": {"true"}}, nil, &out); err != nil {
		return nil, err
	}
	if out.Pods == nil {
		return nil, errors.New("GET /v2/pods: the answer has no pods, not even none")
	}
	machines := make([]machine, len(*out.Pods))
	for i, p := range *out.Pods {
		machines[i] = newMachine(p)
	}
	return machines, nil
}

// Get implements fleet.Calls.
func (d *driver) Get(ctx context.Context, _ cloud.ClusterRef, ids []string) ([]machine, error) {
	return fleet.GetEach(ids, func(id string) (machine, error) {
		var out pod
		err := d.c.Do(ctx, http.MethodGet, "/v2/pods/"+id, nil, nil, &out)
		return newMachine(out), err
	})
}

// StartMachine implements fleet.Calls. Somebody stopped the pod, which wiped its
// disk: what would start is another machine under the same id, without setup and
// with the host key that it was born with.
func (*driver) StartMachine(_ context.Context, m machine) error {
	return fleet.ConfigErrorf(cloud.ScopeCloud, "pod %s was stopped, which wipes its disk, so it is not started again: replace the cluster (terraform apply -replace=<its address>)", m)
}

// StopMachines implements fleet.Calls. The Capabilities say that it is not called.
func (*driver) StopMachines(context.Context, []machine) error { return errors.ErrUnsupported }

// DeleteMachines implements fleet.Calls. The container's disk goes with a pod, a
// network volume stays: it is the user's.
func (d *driver) DeleteMachines(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		err := d.c.Do(ctx, http.MethodDelete, "/v2/pods/"+m.ID, nil, nil, nil)
		if errors.Is(err, cloud.ErrNotFound) {
			return nil
		}
		return err
	})
}

// Relabel implements fleet.Calls. A pod's environment is that of its launch: to
// change it resets the pod.
func (*driver) Relabel(context.Context, machine, fleet.Relabeling) error {
	return errors.ErrUnsupported
}

// Mark implements fleet.Calls, by a name: it is all of a pod that changes without
// a reset.
func (d *driver) Mark(ctx context.Context, machines []machine) error {
	return fleet.Each(d.Parallel, machines, func(m machine) error {
		if m.Committed {
			return nil
		}
		return d.c.Do(ctx, http.MethodPatch, "/v2/pods/"+m.ID, nil, map[string]string{"name": nameOf(m.Identity)}, nil)
	})
}

// OpenPorts implements cloud.Provisioner: ports are mapped at launch.
func (d *driver) OpenPorts(context.Context, cloud.ClusterRef, cloud.RunConfig, []cloud.PortRange) error {
	return fleet.ConfigErrorf(cloud.ScopeCloud, "RunPod opens ports at a pod's launch only")
}

// overdue says why a pod that is in one status for so long is given up. The reasons
// are in the error table.
func (d *driver) overdue(m machine, since time.Duration) string {
	limit, ok := d.patience[m.Status]
	if !ok || since < limit {
		return ""
	}
	within := " within " + limit.String()
	switch m.Status {
	case statusProvisioning:
		return reasonNoHost + within
	case statusStarting:
		return fmt.Sprintf("its container did not start%s; the image %s may be too large to be pulled in that time, not there, or not to be read without a login", within, m.Native.image)
	}
	return reasonNoPorts + within
}

// Reasons for which a pod is given up, as the error table knows them.
const (
	reasonNoHost  = "RunPod found no host for it"
	reasonNoPorts = "it runs, and RunPod mapped no port to its SSH server"
)
