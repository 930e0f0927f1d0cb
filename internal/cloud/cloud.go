// SPDX-License-Identifier: MPL-2.0

// Package cloud is the vocabulary of the project and the contract of a cloud:
// what an offer, a placement, a cluster and a machine are, and what a driver
// must do to launch, list and remove them. It imports the standard library
// only, so that every other room may import it.
package cloud

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"
)

// Market says how a machine is bought.
type Market string

// The markets an offer may belong to.
const (
	OnDemand Market = "on_demand"
	Spot     Market = "spot"
)

// Accelerator is a number of devices of one kind on one machine. Count may be
// a fraction where a cloud sells slices of a device.
type Accelerator struct {
	Name  string
	Count float64
}

// IsZero reports whether a names no device.
func (a Accelerator) IsZero() bool { return a.Name == "" }

// IsTPU reports whether a is a Google TPU, as catalogs name them: "tpu-v3-8".
func (a Accelerator) IsTPU() bool {
	return len(a.Name) > 4 && strings.EqualFold(a.Name[:4], "tpu-")
}

// String returns the form users write, "A100:8".
func (a Accelerator) String() string {
	if a.IsZero() {
		return ""
	}
	return a.Name + ":" + strconv.FormatFloat(a.Count, 'f', -1, 64)
}

// InstanceType is what one machine consists of.
type InstanceType struct {
	Name        string
	VCPUs       float64
	MemoryGiB   float64
	Accelerator Accelerator
	// AcceleratorMemoryGiB is the memory of one device; 0 where the catalog is silent.
	AcceleratorMemoryGiB float64
	// Arch is "x86_64", "arm64" or "i386"; empty where the catalog is silent.
	Arch   string
	Traits Traits
}

// Offer is a priced instance type in a place. Zone is empty where a cloud has
// no zones or sells the type region-wide.
type Offer struct {
	Cloud        string
	Region       string
	Zone         string
	InstanceType InstanceType
	Market       Market
	// HourlyUSD is the price of one machine in US dollars an hour.
	HourlyUSD float64
	// RegionOrder is how far back the region is among those that most users expect:
	// of two offers of one price the lower is the better. Area is where it lies.
	RegionOrder uint16
	Area        Area
}

// Place returns "cloud/region/zone", without the zone where there is none.
func (o Offer) Place() string {
	if o.Zone == "" {
		return o.Cloud + "/" + o.Region
	}
	return o.Cloud + "/" + o.Region + "/" + o.Zone
}

// CompareOffers orders offers by price, by the regions that most users expect, and
// by cloud, region, zone and type; market and accelerator decide where those are equal.
func CompareOffers(a, b *Offer) int {
	return cmp.Or(
		cmp.Compare(a.HourlyUSD, b.HourlyUSD),
		cmp.Compare(a.RegionOrder, b.RegionOrder),
		strings.Compare(a.Cloud, b.Cloud),
		strings.Compare(a.Region, b.Region),
		strings.Compare(a.Zone, b.Zone),
		strings.Compare(a.InstanceType.Name, b.InstanceType.Name),
		strings.Compare(string(a.Market), string(b.Market)),
		strings.Compare(a.InstanceType.Accelerator.Name, b.InstanceType.Accelerator.Name),
		cmp.Compare(a.InstanceType.Accelerator.Count, b.InstanceType.Accelerator.Count),
	)
}

// Placement is an offer and how many machines of it make the cluster.
type Placement struct {
	Offer Offer
	Nodes int
}

// HourlyUSD is the price of the whole placement in US dollars an hour.
func (p Placement) HourlyUSD() float64 { return p.Offer.HourlyUSD * float64(p.Nodes) }

// String names the placement in errors and logs.
func (p Placement) String() string {
	market := ""
	if p.Offer.Market == Spot {
		market = "[spot]"
	}
	return fmt.Sprintf("%dx %s%s in %s", p.Nodes, p.Offer.InstanceType.Name, market, p.Offer.Place())
}

// Quantity is a wanted amount: absent, exact, or a lower bound.
type Quantity struct {
	// Value is the amount; with PerVCPU it is GiB for each vCPU.
	Value float64
	// AtLeast makes Value a lower bound ("8+"); PerVCPU implies it ("4x").
	AtLeast bool
	PerVCPU bool
}

// IsZero reports whether nothing was asked for.
func (q Quantity) IsZero() bool { return q == Quantity{} }

// String returns the form users write: "8", "8+" or "4x".
func (q Quantity) String() string {
	switch s := strconv.FormatFloat(q.Value, 'f', -1, 64); {
	case q.IsZero():
		return ""
	case q.PerVCPU:
		return s + "x"
	case q.AtLeast:
		return s + "+"
	default:
		return s
	}
}

// Holds reports whether got satisfies q on a machine with vcpus virtual CPUs. An
// amount of 0 is one that no catalog tells, and satisfies nothing but no wish.
func (q Quantity) Holds(got, vcpus float64) bool {
	const slack = 1e-9
	switch {
	case q.IsZero():
		return true
	case got <= 0, q.PerVCPU && vcpus <= 0:
		return false
	case q.PerVCPU:
		return got+slack >= q.Value*vcpus
	case q.AtLeast:
		return got+slack >= q.Value
	default:
		return math.Abs(got-q.Value) < slack
	}
}

// Requirement is what one node must be, as one alternative of a request. Zero
// fields ask for nothing.
type Requirement struct {
	Cloud        string
	Region       string
	Zone         string
	InstanceType string
	// Accelerators are alternatives; any one of them will do.
	Accelerators []Accelerator
	// AcceleratorsOrdered makes an earlier accelerator win over a cheaper later one.
	AcceleratorsOrdered bool
	// Arch is ArchX86, ArchARM or ArchAny; empty leaves it to Defaults.
	Arch string
	// Families are the families or types that are taken, as patterns with "*", and
	// ExcludedTypes those that are not. Empty Families are any.
	Families, ExcludedTypes []string
	// Burstable allows burstable machines beside others.
	Burstable bool
	CPUs      Quantity
	Memory    Quantity
	// Markets are the markets allowed; empty means on-demand only.
	Markets []Market
	// MarketsOrdered makes an earlier market win over a cheaper later one.
	MarketsOrdered bool
	// MaxHourlyUSD bounds the price of the whole cluster; 0 is no bound.
	MaxHourlyUSD float64
	// EstimatedHours is how long the work runs on this alternative, for the
	// objective time; 0 means one hour.
	EstimatedHours float64
	// DiskGiB is the size of the boot disk; 0 is the cloud's default.
	DiskGiB int
	// DiskTier is a class of disks by a name that Capabilities.DiskTiers has;
	// empty is the cloud's default.
	DiskTier string
	// Image is a catalog tag ("skypilot:gpu-ubuntu-2204") or a cloud's own id.
	Image string
	Ports []PortRange
	// Labels are set on every machine and disk that can carry them.
	Labels map[string]string
}

// PortRange is an inclusive range of TCP ports.
type PortRange struct {
	First, Last uint16
}

// String returns "80" or "8000-8010".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// Identity names one machine of one attempt, on every cloud and in the journal.
// Two calls with one Identity are one machine.
type Identity struct {
	Owner      string
	Cluster    string
	Generation string
	Attempt    int
	Rank       int
}

// ClusterRef is all a driver needs to find the machines of a cluster again. It
// is serializable. Empty fields of Cluster, Generation, Region and Zone match
// anything; Owner and Cloud are always set.
type ClusterRef struct {
	Owner      string `json:"owner"`
	Cluster    string `json:"cluster,omitempty"`
	Generation string `json:"generation,omitempty"`
	Cloud      string `json:"cloud"`
	Region     string `json:"region,omitempty"`
	Zone       string `json:"zone,omitempty"`
	// Instances narrows every call but Run and the port calls to these ids; nil
	// means all that match, an empty slice means none. A caller that knows the
	// ids should give them: a driver then never mistakes a lagging list for death.
	Instances []string `json:"instances,omitzero"`
}

// ClusterSpec is what the broker asks of Bootstrap and, through it, of Run.
type ClusterSpec struct {
	Ref     ClusterRef
	Attempt int
	// Image is resolved from the catalog or the cloud's own id; empty is the
	// cloud's default for the instance type.
	Image   string
	DiskGiB int
	// DiskTier is one of Capabilities.DiskTiers, or empty. It beats NodeConfig.
	DiskTier string
	// Ports are opened at launch on clouds that cannot do it later.
	Ports []PortRange
	// AllowedCIDRs may reach SSH and Ports.
	AllowedCIDRs []netip.Prefix
	Labels       map[string]string
	// Notes stand on every machine under the reserved keys TagRuntime and
	// TagAccelerators. A key that is absent leaves what is there.
	Notes map[string]string
	// MaxMachineUSD bounds the price of one machine, in US dollars an hour, on
	// clouds whose spot prices move after the offer was made; 0 is no bound.
	MaxMachineUSD float64
	SSHUser       string
	// AuthorizedKeys are public keys in authorized_keys form.
	AuthorizedKeys []string
	// Nodes holds one entry a rank, in rank order.
	Nodes []NodeSpec
	// NodeConfig is the cloud's own part of the cluster template.
	NodeConfig map[string]any
	// Deadline is the dead-man timer: a machine not committed by then removes
	// itself, on clouds whose Capabilities promise it. Zero is no timer.
	Deadline time.Time
	// OnShutdown is what a committed machine's own power-off must do, on clouds
	// where that decides how a machine ends itself; it matters to nobody else.
	// Empty leaves a machine as it is, and is a stop for a new one where it can
	// stop. Before Commit a power-off under a Deadline removes the machine.
	OnShutdown Shutdown
	// LeaveStopped makes Run bring stopped machines up to date and leave them
	// stopped; it takes them for adopted.
	LeaveStopped bool
}

// Shutdown is a way for a machine to end by itself.
type Shutdown string

// The ways. A stopped machine keeps its disk, a terminated one does not.
const (
	ShutdownStop      Shutdown = "stop"
	ShutdownTerminate Shutdown = "terminate"
)

// NodeSpec is one machine to be.
type NodeSpec struct {
	Identity Identity
	// UserData is run at first boot, or at every start of a container; it may hold
	// the node's host key and is never logged.
	UserData []byte
	// HostKey is the public SSH host key that the machine is born with, in
	// authorized_keys form. It stands on the machine, under TagHostKey, so that
	// every computer can check it. Empty leaves what is there; it is empty where the
	// machine makes another one (Capabilities.BirthShown).
	HostKey string
}

// RunConfig is a spec with what Bootstrap found or made for it.
type RunConfig struct {
	Spec      ClusterSpec
	Placement Placement
	// Resources are networks, keys, images and the like, in a type of the driver's
	// own; nobody else looks inside.
	Resources any
}

// RunRecord says what Run did.
type RunRecord struct {
	Created []string
	Resumed []string
	// Adopted were there already, running, with the identity asked for.
	Adopted []string
}

// State is what a machine does, in the words all clouds share.
type State string

// The states of a machine. StateTerminating may still be billed but can only
// end terminated. StateUnknown is neither alive nor gone.
const (
	StatePending     State = "pending"
	StateRunning     State = "running"
	StateStopping    State = "stopping"
	StateStopped     State = "stopped"
	StateTerminating State = "terminating"
	StateTerminated  State = "terminated"
	StateUnknown     State = "unknown"
)

// Instance is one machine as the cloud lists it.
type Instance struct {
	ID       string
	Identity Identity
	Region   string
	Zone     string
	Type     string
	Market   Market
	State    State
	// Reason says why the machine is in State, where the cloud knows.
	Reason string
	// Ending says who ended a machine that Chronicler.Ended lists.
	Ending Ending
	// Committed is set once the cluster was recorded; see Provisioner.Commit.
	Committed bool
	// Deadline is the machine's dead-man timer; zero where there is none.
	Deadline   time.Time
	CreatedAt  time.Time
	InternalIP string
	// ExternalIP is where the caller reaches the machine; empty until it has one.
	ExternalIP string
	SSHPort    int
	// PublicPorts are the ports at which ExternalIP answers for those of the machine,
	// on clouds that map them. Nil is that each answers under its own number; one
	// that is not among them is not reached.
	PublicPorts map[uint16]uint16
	Labels      map[string]string
	// HostKey and Notes are what its launch, or a later Run, left on the machine;
	// empty where it has none.
	HostKey string
	Notes   map[string]string
}

// Ending says who ended a machine.
type Ending string

// The endings; the zero value is unknown.
const (
	EndedItself    Ending = "itself"    // it asked for it, or shut down
	EndedByUser    Ending = "user"      // somebody with credentials asked for it
	EndedPreempted Ending = "preempted" // the cloud took it back
	EndedFailed    Ending = "failed"    // its host failed
)

// ClusterInfo is a running cluster, by rank.
type ClusterInfo struct {
	Instances []Instance
	SSHUser   string
}

// Capabilities are what a cloud can do, known without an account. The
// optimizer filters on them at plan, with the reason.
type Capabilities struct {
	// OptIn keeps the cloud out of every search that does not name it, since
	// its machines are not what a user who names no cloud is after.
	OptIn    bool
	Stop     bool
	StopSpot bool
	// StopBilled are instance types, as patterns of path.Match, that are billed
	// while they are stopped as if they ran, so that a stop saves nothing. They are
	// taken for machines that cannot stop.
	StopBilled  []string
	Spot        bool
	MultiNode   bool
	PortsLater  bool // ports can be opened and closed on a running cluster
	PortsLaunch bool // ports can be opened at launch
	// SourcesOpen says why AllowedCIDRs do not keep others from the ports, or not
	// all of them: "its firewall knows no sources". Empty is that they do.
	SourcesOpen string
	// UserData says that a machine runs its NodeSpec.UserData at its first boot.
	// StartCommand is the other way to bring it: the script is the command of a
	// container, run as root at every start, with no other process beside it.
	UserData     bool
	StartCommand bool
	// BirthShown says that the cloud's API shows to others than the machine with what
	// it was made, its host key among that. A machine makes another one then, at first
	// contact; the cluster template's renew_host_key does that.
	BirthShown  bool
	CustomImage bool
	CustomDisk  bool
	// Labels says that machines carry tags; otherwise names carry the identity.
	// LabelsFixed says that tags stay those of the launch: a later Run cannot
	// bring them up to date.
	Labels      bool
	LabelsFixed bool
	// DeadMan says that an uncommitted machine is removed at its deadline with
	// nobody there to do it. DeadManStops is less: it stops by itself then, so
	// that only its disk is charged for until somebody removes it.
	DeadMan      bool
	DeadManStops bool
	// SelfStop and SelfTerminate say that a running machine can stop, and remove,
	// itself with its disk, by what the cloud gives every machine (a power-off, a
	// token of its own) and never by the user's credentials. The commands are the
	// cluster template's self_stop and self_terminate. SelfStop concerns the
	// machines that can stop at all; see Stop and StopSpot.
	SelfStop      bool
	SelfTerminate bool
	// SelfTerminateIf tells people what would make SelfTerminate true, where it
	// is not and the user's settings can change that.
	SelfTerminateIf string
	// MaxNameLength, MaxLabels and MaxUserData bound a machine's name, the number of
	// the user's labels and the bytes of user data; 0 is no bound.
	MaxNameLength int
	MaxLabels     int
	MaxUserData   int
	DiskTiers     []string
	// SlowBoot is how long instance types may take from their launch until they run,
	// as patterns of path.Match, where that is longer than launches wait elsewhere.
	SlowBoot map[string]time.Duration
	// LaunchEvery is the time between two launches of one machine each, where all of
	// a process are paced; 0 is no pace. Launches wait that much longer.
	LaunchEvery time.Duration
}

// BootTime is how long a machine of the type may take to boot, at least usual.
func (c Capabilities) BootTime(instanceType string, usual time.Duration) time.Duration {
	for pattern, d := range c.SlowBoot {
		if ok, _ := path.Match(pattern, instanceType); ok { // a pattern that is none matches nothing
			usual = max(usual, d)
		}
	}
	return usual
}

// CannotStop says why machines of this cloud, market and type cannot be stopped
// to any use; empty is that they can.
func (c Capabilities) CannotStop(o Offer) string {
	switch {
	case !c.Stop:
		return fmt.Sprintf("machines of %s cannot be stopped, only removed", o.Cloud)
	case o.Market == Spot && !c.StopSpot:
		return fmt.Sprintf("spot machines of %s cannot be stopped, only removed", o.Cloud)
	}
	for _, pattern := range c.StopBilled {
		if ok, _ := path.Match(pattern, o.InstanceType.Name); ok { // a pattern that is none matches nothing
			return fmt.Sprintf("machines of type %s of %s are billed while they are stopped as if they ran", o.InstanceType.Name, o.Cloud)
		}
	}
	return ""
}

// CannotEndItself says why machines of this cloud, market and type cannot end
// that way by themselves; empty is that they can.
func (c Capabilities) CannotEndItself(o Offer, how Shutdown) string {
	if how == ShutdownTerminate {
		if !c.SelfTerminate {
			why := fmt.Sprintf("machines of %s cannot remove themselves", o.Cloud)
			if c.SelfTerminateIf != "" {
				why += " unless " + c.SelfTerminateIf
			}
			return why
		}
		return ""
	}
	if why := c.CannotStop(o); why != "" {
		return why
	}
	if !c.SelfStop {
		return fmt.Sprintf("machines of %s cannot stop by themselves", o.Cloud)
	}
	return ""
}

// ShortPlace joins non-empty parts of a place with slashes, "*" for a gap.
func ShortPlace(cloudName, region, zone string) string {
	parts := []string{cloudName, region, zone}
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	for i, p := range parts {
		if p == "" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}
