// SPDX-License-Identifier: MPL-2.0

package gcp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	_ "embed" // the dead-man timer

	"google.golang.org/api/compute/v1"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cloud/fleet"
	"github.com/skybroker/terraform-provider-sky/internal/retry"
)

// resources are what Bootstrap finds.
type resources struct {
	image image
	network
}

// Bootstrap implements cloud.Provisioner: it finds the image and the network,
// and finds or makes the cluster's firewall rules.
func (d *driver) Bootstrap(ctx context.Context, spec cloud.ClusterSpec, at cloud.Placement) (cloud.RunConfig, error) {
	if err := d.Check(spec, at); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what is wrong
	}
	s, err := d.defaults.of(spec)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	res := resources{}
	if res.image, err = d.image(ctx, spec.Image, at.Offer.InstanceType); err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.DiskGiB != 0 && int64(spec.DiskGiB) < res.image.diskGiB {
		return cloud.RunConfig{}, fleet.ConfigErrorf(cloud.ScopeRegion, "disk_size is %d GiB, and image %s needs %d", spec.DiskGiB, lastPart(res.image.link), res.image.diskGiB)
	}
	if res.network, err = d.network(ctx, at.Offer.Region, s); err != nil {
		return cloud.RunConfig{}, err
	}
	fw, err := d.firewall(ctx, spec.Ref, res.network.network)
	if err != nil {
		return cloud.RunConfig{}, err
	}
	if spec.AllowedCIDRs, err = d.AllowedCIDRs(ctx, spec, fw); err != nil {
		return cloud.RunConfig{}, err //nolint:wrapcheck // it says what would help
	}
	return cloud.RunConfig{Spec: spec, Placement: at, Resources: res}, d.OpenFirewall(ctx, spec, fw)
}

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

// replays is how many operations of earlier failures may come before a new one.
const replays = 8

// Create implements fleet.Calls. The request id makes it safe to ask again.
func (d *driver) Create(ctx context.Context, o fleet.Order[resources]) (machine, error) {
	zone := o.Placement.Offer.Zone
	in, err := d.instance(o)
	if err != nil {
		return machine{}, err
	}
	for try := 0; ; try++ {
		asked := machine{Name: in.Name}
		op, err := call(ctx, d.c, "insert "+in.Name, func(ctx context.Context) (*compute.Operation, error) {
			return d.c.api.insertInstance(ctx, zone, in, requestID(o.Node.Identity, try))
		})
		answered := op != nil && op.Status == "DONE"
		if err == nil {
			asked.Native.operation = op.Name
			err = d.c.await(ctx, op)
		}
		var failed *operationError
		switch {
		case err == nil:
			return d.launched(ctx, asked, zone, op)
		case errors.As(err, &failed) && answered && try < replays:
			continue // that was an earlier failure, told again
		case table().HasCode(err, codeExists, codeExistsOp):
			return d.existing(ctx, asked, zone, o.Node.Identity)
		case asked.Native.operation != "" && failed == nil:
			return asked, &doubtError{err}
		}
		return asked, err
	}
}

// launched finds the machine that an insert made. One that is gone already was
// made by an earlier request for the same machine.
func (d *driver) launched(ctx context.Context, asked machine, zone string, op *compute.Operation) (machine, error) {
	looks := d.Poll
	looks.Attempts = d.MissingLooks
	m := asked
	err := retry.Poll(ctx, looks, func(ctx context.Context) (bool, error) {
		var err error
		m, err = d.get(ctx, zone, strconv.FormatUint(op.TargetId, 10))
		return err == nil, err
	})
	switch {
	case errors.Is(err, cloud.ErrNotFound) && ctx.Err() == nil:
		return asked, fmt.Errorf("machine %d was there and is gone: %w", op.TargetId, cloud.ErrSpent)
	case err != nil:
		return asked, &doubtError{err}
	}
	return m, nil
}

// existing takes a machine that somebody else made of the same identity.
func (d *driver) existing(ctx context.Context, asked machine, zone string, id cloud.Identity) (machine, error) {
	m, err := d.get(ctx, zone, asked.Name)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return asked, &fleet.MachineError{ID: asked.Name, Rank: id.Rank, State: cloud.StateTerminating, Reason: "one of its name is being removed", Want: cloud.StateRunning}
	case err != nil:
		return asked, &doubtError{err}
	case m.Identity != id:
		return asked, fleet.ConfigErrorf(cloud.ScopeZone, "machine %s has the name of rank %d and is somebody else's", m, id.Rank)
	}
	return m, nil
}

// doubtError is how a look at a launch failed that Compute Engine had accepted,
// or that met a machine of its name: there may be one.
type doubtError struct{ error }

// Unwrap returns the look's own error.
func (e *doubtError) Unwrap() error { return e.error }

// isRefused reports that a launch definitely made nothing. Once it was accepted
// only the operation's own failure says so.
func isRefused(err error) bool {
	var (
		doubt  *doubtError
		op     *operationError
		config *fleet.ConfigError
		taken  *fleet.MachineError
	)
	if errors.As(err, &doubt) {
		return false
	}
	status := statusOf(err)
	return errors.As(err, &op) || errors.As(err, &config) || errors.As(err, &taken) || (status >= 400 && status < 500 && status != http.StatusRequestTimeout)
}

// instance is the body of the insert that makes one machine. Equal orders give
// equal bodies.
func (d *driver) instance(o fleet.Order[resources]) (*compute.Instance, error) {
	n, offer := o.Node, o.Placement.Offer
	s, err := d.defaults.of(o.Spec)
	if err != nil {
		return nil, err
	}
	shape, err := shapeOf(offer.InstanceType)
	if err != nil {
		return nil, err
	}
	labels, metadata := codec().Encode(n.Identity.Tags())
	user, rest := userLabels(o.Spec.Labels)
	maps.Copy(labels, user)
	disk, err := bootDisk(o, s, shape, labels)
	if err != nil {
		return nil, err
	}
	addMetadata(metadata, n, o.Spec, s, rest)
	in := &compute.Instance{
		Name:              o.Name,
		Description:       d.description(n.Identity),
		MachineType:       "zones/" + offer.Zone + "/machineTypes/" + offer.InstanceType.Name,
		Labels:            labels,
		Metadata:          &compute.Metadata{Items: metadataItems(metadata)},
		Tags:              &compute.Tags{Items: []string{groupName(o.Spec.Ref)}},
		Disks:             []*compute.AttachedDisk{disk},
		NetworkInterfaces: []*compute.NetworkInterface{networkInterface(o.Resources, s)},
		Scheduling:        scheduling(offer.Market, s, shape),
	}
	if shape.accelerator != "" {
		in.GuestAccelerators = []*compute.AcceleratorConfig{{
			AcceleratorType: "zones/" + offer.Zone + "/acceleratorTypes/" + shape.accelerator, AcceleratorCount: shape.count,
		}}
	}
	if o.Resources.image.uefi {
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
func addMetadata(metadata map[string]string, n cloud.NodeSpec, spec cloud.ClusterSpec, s settings, labels string) {
	set := func(key, value string) {
		if value != "" {
			metadata[key] = value
		}
	}
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
func bootDisk(o fleet.Order[resources], s settings, shape shape, labels map[string]string) (*compute.AttachedDisk, error) {
	size := int64(o.Spec.DiskGiB)
	if size == 0 {
		size = max(defaultDiskGiB, o.Resources.image.diskGiB)
	}
	if size > maxDiskGiB {
		return nil, fleet.ConfigErrorf(cloud.ScopeCloud, "disk_size is %d GiB; a disk on GCP has %d at most", size, maxDiskGiB)
	}
	tier := diskTiers()[s.diskTier]
	params := &compute.AttachedDiskInitializeParams{
		DiskName: o.Name, DiskSizeGb: size, SourceImage: o.Resources.image.link, Labels: labels,
	}
	kind := tier.persistent
	if kind == standardDisk && shape.noStandard {
		kind = balancedDisk
	}
	if shape.hyperdisk {
		kind = hyperdiskType
		params.ProvisionedIops, params.ProvisionedThroughput = tier.iops, tier.throughput
	}
	params.DiskType = "zones/" + o.Placement.Offer.Zone + "/diskTypes/" + kind
	return &compute.AttachedDisk{AutoDelete: true, Boot: true, InitializeParams: params, Type: "PERSISTENT"}, nil
}

func networkInterface(res resources, s settings) *compute.NetworkInterface {
	nic := &compute.NetworkInterface{Network: res.network.network, Subnetwork: res.network.subnetwork}
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
