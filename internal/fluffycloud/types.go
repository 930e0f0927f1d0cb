// SPDX-License-Identifier: MPL-2.0

package fluffycloud

import "time"

// State is what a machine does.
type State string

// The states of a machine.
const (
	StatePending     State = "pending"
	StateRunning     State = "running"
	StateStopping    State = "stopping"
	StateStopped     State = "stopped"
	StateTerminating State = "terminating"
	StateTerminated  State = "terminated"
)

// gone reports whether the machine costs and holds nothing any more.
func (s State) gone() bool { return s == StateTerminated }

// Reasons for a state, beside free text.
const (
	reasonUser      = "user_request"
	reasonPreempted = "preempted"
	reasonExpired   = "expired"
	reasonHost      = "host_failure"
	reasonSelf      = "self_request"
	reasonBoot      = "boot_failed"
	reasonCapacity  = "insufficient_capacity"
)

// The markets.
const (
	marketOnDemand = "on_demand"
	marketSpot     = "spot"
)

// Instance is a machine as the API shows it.
type Instance struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Region       string            `json:"region"`
	Zone         string            `json:"zone"`
	InstanceType string            `json:"instance_type"`
	Image        string            `json:"image"`
	Market       string            `json:"market"`
	State        State             `json:"state"`
	StateReason  string            `json:"state_reason"`
	CreatedAt    time.Time         `json:"created_at"`
	ExpiresAt    *time.Time        `json:"expires_at"`
	PrivateIP    string            `json:"private_ip"`
	PublicIP     string            `json:"public_ip"`
	SSHPort      int               `json:"ssh_port"`
	Tags         map[string]string `json:"tags"`
	DiskID       string            `json:"disk_id"`
	FirewallID   string            `json:"firewall_id"`
	HourlyUSD    float64           `json:"hourly_usd"`
}

// instance is a machine as the store keeps it.
type instance struct {
	Instance
	ClientToken string    `json:"client_token,omitempty"`
	Digest      string    `json:"digest,omitempty"`
	UserData    []byte    `json:"user_data,omitempty"`
	SSHKeys     []string  `json:"ssh_keys,omitempty"`
	Token       string    `json:"token"`
	MaxPriceUSD float64   `json:"max_price_usd,omitempty"`
	Boots       int       `json:"boots"`
	HoldsStock  bool      `json:"holds_stock"`
	HiddenUntil time.Time `json:"hidden_until,omitzero"`
	BootAfter   time.Time `json:"boot_after,omitzero"`
	PreemptAt   time.Time `json:"preempt_at,omitzero"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
	Fault       bootFault `json:"fault,omitzero"`
}

// Disk is a machine's disk; it lives from launch to terminate.
type Disk struct {
	ID         string            `json:"id"`
	SizeGiB    int               `json:"size_gib"`
	InstanceID string            `json:"instance_id"`
	Region     string            `json:"region"`
	Zone       string            `json:"zone"`
	CreatedAt  time.Time         `json:"created_at"`
	Tags       map[string]string `json:"tags"`
}

// SSHKey is a public key that machines can be launched with.
type SSHKey struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	PublicKey string            `json:"public_key"`
	CreatedAt time.Time         `json:"created_at"`
	Tags      map[string]string `json:"tags"`
}

// Firewall is a group of rules. FluffyCloud records them; on loopback there is
// nothing to enforce them against.
type Firewall struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Region    string            `json:"region"`
	CreatedAt time.Time         `json:"created_at"`
	Tags      map[string]string `json:"tags"`
	Rules     []FirewallRule    `json:"rules"`
}

// FirewallRule opens an inclusive range of TCP ports to networks.
type FirewallRule struct {
	FromPort int      `json:"from_port"`
	ToPort   int      `json:"to_port"`
	CIDRs    []string `json:"cidrs"`
}

// Image is what a machine boots from.
type Image struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Tags    []string `json:"tags"`
	Arch    string   `json:"arch"`
	SSHUser string   `json:"ssh_user"`
}

// meter is one machine's part of the bill.
type meter struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Seconds   float64   `json:"seconds"`
	HourlyUSD float64   `json:"hourly_usd"`
	Since     time.Time `json:"since,omitzero"`
	CreatedAt time.Time `json:"created_at"`
}
