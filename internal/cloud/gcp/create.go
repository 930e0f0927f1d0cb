// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	_ "embed" // the dead-man timer

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
)

//go:embed deadman.sh
var deadManScript string

// deadMan is the script that ends an uncommitted machine at its deadline.
func deadMan(deadline time.Time) string {
	return strings.ReplaceAll(deadManScript, "@DEADLINE@", strconv.FormatInt(deadline.Unix(), 10))
}

// requestID is the UUID of the n-th request for a machine. Compute Engine
// answers a repeated one with the first one's operation, a failed one's too;
// only after such an answer is there a next.
func requestID(id cloud.Identity, n int) string {
	sum, _ := hex.DecodeString(id.Token()) // hexadecimal by contract
	b := [16]byte(append(sum, make([]byte, 16)...)[:16])
	b[15] ^= byte(n)
	b[6] = b[6]&0x0f | 0x80 // version 8: made of the caller's own bits
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// instance is the body of the insert that makes one machine. Equal arguments
// give equal bodies.
func (d *driver) instance(n cloud.NodeSpec, cfg cloud.RunConfig) (*compute.Instance, error) {
	offer := cfg.Placement.Offer
	s, err := d.defaults.of(cfg.Spec)
	if err != nil {
		return nil, err
	}
	shape, err := shapeOf(offer.InstanceType)
	if err != nil {
		return nil, err
	}
	labels, metadata := ownership(n.Identity.Tags())
	user, rest := userLabels(cfg.Spec.Labels)
	maps.Copy(labels, user)
	disk, err := bootDisk(n, cfg, s, shape, labels)
	if err != nil {
		return nil, err
	}
	addMetadata(metadata, n, cfg, s, rest)
	in := &compute.Instance{
		Name:              n.Identity.Name(maxNameLength),
		Description:       d.description(n.Identity),
		MachineType:       "zones/" + offer.Zone + "/machineTypes/" + offer.InstanceType.Name,
		Labels:            labels,
		Metadata:          &compute.Metadata{Items: metadataItems(metadata)},
		Tags:              &compute.Tags{Items: []string{found(cfg)[resourceTag]}},
		Disks:             []*compute.AttachedDisk{disk},
		NetworkInterfaces: []*compute.NetworkInterface{networkInterface(cfg, s)},
		Scheduling:        scheduling(offer.Market, s, shape),
	}
	if shape.accelerator != "" {
		in.GuestAccelerators = []*compute.AcceleratorConfig{{
			AcceleratorType: "zones/" + offer.Zone + "/acceleratorTypes/" + shape.accelerator, AcceleratorCount: shape.count,
		}}
	}
	if found(cfg)[resourceUEFI] == "true" {
		in.ShieldedInstanceConfig = shielded(s)
	}
	if s.serviceAccount != "" {
		in.ServiceAccounts = []*compute.ServiceAccount{{Email: s.serviceAccount, Scopes: []string{scope}}}
	}
	return in, nil
}

// description says to people whose the machine is, and who asked for it.
func (d *driver) description(id cloud.Identity) string {
	text := fmt.Sprintf("Rank %d of cluster %.100s, launched by terraform-provider-sky", id.Rank, id.Cluster)
	if d.c.identity != "" {
		text += " as " + d.c.identity
	}
	return text
}

// addMetadata adds to the ownership what the machine itself reads, and what
// the driver keeps for later. OS Login is left as the project has it.
func addMetadata(metadata map[string]string, n cloud.NodeSpec, cfg cloud.RunConfig, s settings, labels string) {
	set := func(key, value string) {
		if value != "" {
			metadata[key] = value
		}
	}
	spec := cfg.Spec
	maps.Copy(metadata, spec.Marks(n.Identity))
	set(metaLabels, labels)
	set(metaUserData, string(n.UserData))
	set(metaSSHUser, spec.SSHUser)
	set(metaBlockKeys, "TRUE")
	var keys []string
	for _, key := range spec.AuthorizedKeys {
		if key = strings.TrimSpace(key); key != "" && spec.SSHUser != "" {
			keys = append(keys, spec.SSHUser+":"+key)
		}
	}
	set(metaSSHKeys, strings.Join(keys, "\n"))
	if s.internalIPs {
		set(metaNetwork, networkPrivate)
	}
	if !spec.Deadline.IsZero() {
		set(metaDeadline, strconv.FormatInt(spec.Deadline.Unix(), 10))
		set(metaStartup, deadMan(spec.Deadline))
	}
}

// bootDisk is deleted with its machine. Compute Engine encrypts it by itself.
func bootDisk(n cloud.NodeSpec, cfg cloud.RunConfig, s settings, shape shape, labels map[string]string) (*compute.AttachedDisk, error) {
	imageGiB, err := strconv.Atoi(found(cfg)[resourceImageGiB])
	if err != nil {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "the run configuration is not Bootstrap's: it lacks the image's size")
	}
	size := cfg.Spec.DiskGiB
	if size == 0 {
		size = max(defaultDiskGiB, imageGiB)
	}
	if size > maxDiskGiB {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "disk_size is %d GiB; a disk on GCP has %d at most", size, maxDiskGiB)
	}
	tier := diskTiers()[s.diskTier]
	params := &compute.AttachedDiskInitializeParams{
		DiskName: n.Identity.Name(maxNameLength), DiskSizeGb: int64(size), SourceImage: found(cfg)[resourceImage], Labels: labels,
	}
	kind := tier.persistent
	if kind == standardDisk && shape.noStandard {
		kind = balancedDisk
	}
	if shape.hyperdisk {
		kind = hyperdiskType
		params.ProvisionedIops, params.ProvisionedThroughput = tier.iops, tier.throughput
	}
	params.DiskType = "zones/" + cfg.Placement.Offer.Zone + "/diskTypes/" + kind
	return &compute.AttachedDisk{AutoDelete: true, Boot: true, InitializeParams: params, Type: "PERSISTENT"}, nil
}

func networkInterface(cfg cloud.RunConfig, s settings) *compute.NetworkInterface {
	nic := &compute.NetworkInterface{Network: found(cfg)[resourceNetwork], Subnetwork: found(cfg)[resourceSubnet]}
	if !s.internalIPs {
		nic.AccessConfigs = []*compute.AccessConfig{{Name: "External NAT", Type: "ONE_TO_ONE_NAT"}}
	}
	return nic
}

// scheduling: what cannot move ends when its host is serviced. A limited run
// deletes the machine at its end, whatever became of it: Compute Engine lifts
// the limit of a stopped machine only, so it is no dead-man timer.
func scheduling(market cloud.Market, s settings, shape shape) *compute.Scheduling {
	restart := true
	out := &compute.Scheduling{ProvisioningModel: "STANDARD", OnHostMaintenance: "MIGRATE", AutomaticRestart: &restart}
	if !shape.migrates {
		out.OnHostMaintenance = "TERMINATE"
	}
	if market == cloud.Spot {
		restart = false
		out.ProvisioningModel, out.OnHostMaintenance, out.InstanceTerminationAction = "SPOT", "TERMINATE", "DELETE"
		if s.spotAction == "stop" {
			out.InstanceTerminationAction = "STOP"
		}
	}
	if s.maxRun > 0 {
		out.MaxRunDuration = &compute.Duration{Seconds: int64(s.maxRun / time.Second)}
		out.InstanceTerminationAction = "DELETE"
	}
	return out
}

// shielded is Secure Boot, a virtual TPM and integrity monitoring.
func shielded(s settings) *compute.ShieldedInstanceConfig {
	secure := s.secureBoot == nil || *s.secureBoot
	return &compute.ShieldedInstanceConfig{
		EnableSecureBoot: secure, EnableVtpm: true, EnableIntegrityMonitoring: true,
		ForceSendFields: []string{"EnableSecureBoot"},
	}
}
