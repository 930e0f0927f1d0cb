// SPDX-License-Identifier: MPL-2.0

package runpod

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet/tags"
)

const (
	// defaultImage runs where nothing else is asked for. It asks nothing of the
	// host's driver.
	defaultImage   = "runpod/base:1.0.2-ubuntu2204"
	defaultDiskGiB = 50
	sshPort        = 22
	// maxPorts bounds the ports of a pod, each of which is mapped by itself.
	maxPorts = 100
)

// resources are what a template says of a pod.
type resources struct {
	// image and registry are what to run, and the id of the login that reads it.
	image, registry string
	// volume is the id of a network volume of the user's, and mount where it goes.
	volume, mount string
	// minCUDA is the least version of CUDA that the host must have.
	minCUDA string
}

// Bootstrap implements cloud.Provisioner. A pod needs nothing beside it. Whether
// there is room is asked at its launch, since one that is there needs none.
func (d *driver) Bootstrap(_ context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := d.Check(spec, at); err != nil {
		return cloud.RunConfig{}, err
	}
	res := resources{image: strings.TrimPrefix(cmp.Or(spec.Image, defaultImage), "docker:"), mount: "/workspace"}
	config := fleet.NodeConfig{
		"registry": fleet.Into(&res.registry), "min_cuda_version": fleet.Into(&res.minCUDA),
		"network_volume": fleet.Into(&res.volume), "network_volume_path": fleet.Into(&res.mount),
	}
	if err := config.Decode("RunPod", spec.NodeConfig); err != nil {
		return cloud.RunConfig{}, err
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, nil
}

// checkSpec refuses what no pod can be.
func checkSpec(spec cloud.ClusterSpec, at cloud.Placement) error {
	if _, _, ok := parseType(at.Offer.InstanceType.Name); !ok {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "%q is no type of RunPod's; they read like \"1x_A40_SECURE\"", at.Offer.InstanceType.Name)
	}
	if len(spec.Nodes) > 1 {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "a cluster on RunPod is one pod; %d nodes were asked for", len(spec.Nodes))
	}
	if at.Offer.Market == cloud.Spot {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "RunPod's API has no spot pods")
	}
	n := 1
	for _, r := range spec.Ports {
		n += int(r.Last) - int(r.First) + 1
	}
	if n > maxPorts {
		return fleet.ConfigErrorf(cloud.ScopeCloud, "%d ports are asked for, SSH among them; a pod gets at most %d, each mapped by itself", n, maxPorts)
	}
	return nil
}

// order is a pod to be made.
type order struct {
	Name        string            `json:"name"`
	Image       string            `json:"image"`
	Args        string            `json:"args"`
	Disk        int               `json:"disk"`
	Ports       []string          `json:"ports"`
	Env         map[string]string `json:"env"`
	Cloud       string            `json:"cloud"`
	DataCenters []string          `json:"dataCenterIds"`
	GPU         orderGPU          `json:"gpu"`
	Registry    string            `json:"registry,omitempty"`
	Mounts      *orderMounts      `json:"mounts,omitempty"`
}

type orderGPU struct {
	gpu
	MinCUDA string `json:"minCudaVersion,omitempty"`
}

type orderMounts struct {
	Network []orderVolume `json:"network"`
}

type orderVolume struct {
	ID   string `json:"volumeId"`
	Path string `json:"path"`
}

// Create implements fleet.Calls. RunPod is asked for room first: a launch goes to
// where it says that there is some.
func (d *driver) Create(ctx context.Context, o fleet.Order[resources]) (machine, error) {
	at, err := d.find(ctx, o.Placement.Offer)
	if err != nil {
		return machine{}, err
	}
	in, err := orderOf(o, at)
	if err != nil {
		return machine{}, err
	}
	var out pod
	if err := d.c.Do(ctx, http.MethodPost, "/v2/pods", nil, in, &out); err != nil {
		return machine{}, fmt.Errorf("%w (its catalog shows room in %s)", err, strings.Join(at.dataCenters, ", "))
	}
	m := newMachine(out)
	if m.Native.gpu != at.gpu {
		err = fleet.ConfigErrorf(cloud.ScopeRegion, "RunPod made pod %s with %d %q, where %d %q were asked for", m, m.Native.gpu.Count, m.Native.gpu.ID, at.gpu.Count, at.gpu.ID)
	}
	return m, err
}

// orderOf is the pod of an order, at a place with room.
func orderOf(o fleet.Order[resources], at spot) (order, error) {
	spec, id, offer := o.Spec, o.Node.Identity, o.Placement.Offer
	tags := tags.Merge(spec.Labels, spec.Marks(id), id.Tags(), map[string]string{tagRegion: offer.Region, tagType: offer.InstanceType.Name})
	if offer.Zone != "" {
		tags[tagZone] = offer.Zone
	}
	if !spec.Deadline.IsZero() {
		tags[tagDeadline] = spec.Deadline.UTC().Format(time.RFC3339)
	}
	text, err := json.Marshal(tags)
	if err != nil {
		return order{}, fmt.Errorf("encode the tags of a pod: %w", err)
	}
	in := order{
		Name: nameOf(id) + unrecorded, Image: o.Resources.image, Args: startCommand(o.Node.UserData), Disk: cmp.Or(spec.DiskGiB, defaultDiskGiB),
		Env: map[string]string{envTags: string(text)}, Cloud: cloudSecure, DataCenters: at.dataCenters,
		GPU: orderGPU{at.gpu, o.Resources.minCUDA}, Registry: o.Resources.registry,
		Ports: []string{fmt.Sprintf("%d/tcp", sshPort)},
	}
	for _, r := range spec.Ports {
		for p := int(r.First); p <= int(r.Last); p++ {
			if p != sshPort {
				in.Ports = append(in.Ports, fmt.Sprintf("%d/tcp", p))
			}
		}
	}
	if o.Resources.volume != "" {
		in.Mounts = &orderMounts{Network: []orderVolume{{o.Resources.volume, o.Resources.mount}}}
	}
	return in, nil
}

// startCommand is the command of a container that runs a script. RunPod splits it
// into words, so that the script travels in letters that need no quotes.
func startCommand(script []byte) string {
	if len(script) == 0 {
		return ""
	}
	return "sh -c 'umask 077 && echo " + base64.StdEncoding.EncodeToString(script) + " | base64 -d >/tmp/sky-start && exec sh /tmp/sky-start'"
}
